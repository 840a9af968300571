"""A data set with generated images as one more class, and what is trained and sampled with it."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from cgd_lightning import checkpoints
from cgd_lightning.checkpoints.listed import NO_TRUST
from cgd_lightning.commands.stored_data import stored_data
from cgd_lightning.data import generated
from cgd_lightning.data.digits import Digits
from cgd_lightning.data.generated import Both, WithGenerated, list_generated
from cgd_lightning.data.images import ImageTensors
from cgd_lightning.data.lesions import Lesions
from cgd_lightning.errors import InputError
from tests.command_line import TINY_CLASSIFIER

Cgd = Callable[..., tuple[int, str, str]]


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    """40 images, whose first pixel is their number."""
    folder = tmp_path / "samples"
    folder.mkdir()
    for number in range(40):
        pixels = np.full((16, 16), 200, np.uint8)
        pixels[0, 0] = number
        Image.fromarray(pixels).save(folder / f"{number:04}.png")
    return folder


def numbers(images: Tensor) -> list[int]:
    return [int(image[0, 0, 0]) for image in images]


def test_every_split_has_as_many_generated_images_and_each_is_in_one_split(
    samples: Path,
) -> None:
    data, digits = WithGenerated(str(samples)), Digits()
    assert data.class_names == (*digits.class_names, "generated")
    assert data.image_shape == digits.image_shape
    assert data.name == "digits with generated"
    seen = []
    for name in ("train", "val", "test"):
        split, own = data.split(name), digits.split(name)
        assert len(split) == 2 * len(own)
        images, labels, index = split.__getitems__(range(len(split)))
        assert torch.equal(labels, split.labels)
        assert torch.equal(index, torch.arange(len(split)))
        assert torch.equal(images[labels != 10], own.images)
        assert torch.equal(labels[labels != 10], own.labels)
        made = numbers(images[labels == 10])
        assert len(made) == len(own)
        assert (images[labels == 10, :, 1:] == 200).all()
        seen.append(set(made))
        counts = torch.tensor(made).bincount()
        assert counts[counts > 0].max() - counts[counts > 0].min() <= 1
    assert [len(each) for each in seen] == [32, 4, 4]
    assert set.union(*seen) == set(range(40))
    assert data.class_shares()[-1] == 0.5
    again = WithGenerated(str(samples)).split("val")
    assert torch.equal(again[3].images, data.split("val")[3].images)
    assert again.fingerprint() == data.split("val").fingerprint()
    assert again.fingerprint() != data.split("test").fingerprint()
    one = ImageTensors(torch.zeros(1, 1, 16, 16, dtype=torch.uint8), torch.zeros(1).long())
    other = Both(again.real, one, 10)
    assert other.fingerprint() != again.fingerprint()


def test_a_batch_keeps_the_order_it_was_asked_for_in() -> None:
    real = ImageTensors(
        torch.arange(3, dtype=torch.uint8).reshape(3, 1, 1, 1), torch.tensor([4, 5, 6])
    )
    made = ImageTensors(
        torch.arange(100, 107, dtype=torch.uint8).reshape(7, 1, 1, 1), torch.zeros(7).long()
    )
    both = Both(real, made, 9)
    assert len(both) == 14  # there are fewer real ones: these come round again
    images, labels, index = both.__getitems__([13, 0, 8, 1, 6, 2])
    assert images.flatten().tolist() == [106, 0, 1, 100, 0, 1]
    assert labels.tolist() == [9, 4, 5, 9, 4, 5]
    assert index.tolist() == [13, 0, 8, 1, 6, 2]
    assert both[3].labels.tolist() == [9]
    unknown = type(
        "Unknown",
        (),
        {"__len__": lambda self: 3, "__getitems__": lambda self, places: real.__getitems__(places)},
    )()
    assert not hasattr(Both(unknown, made, 9), "labels")
    assert Both(unknown, made, 9).__getitems__([0, 1]).labels.tolist() == [4, 9]


def test_many_samples_stay_in_their_files(samples: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = WithGenerated(str(samples)).split("train")
    monkeypatch.setattr(generated, "MOST_IN_MEMORY", 0)
    streamed = WithGenerated(str(samples)).split("train")
    assert isinstance(whole.generated, ImageTensors)
    assert not isinstance(streamed.generated, ImageTensors)
    some = list(range(0, 200, 7))
    assert torch.equal(whole.__getitems__(some).images, streamed.__getitems__(some).images)


def test_what_cannot_be_is_refused_in_one_line(samples: Path, tmp_path: Path) -> None:
    def refused(says: str, folder: Path = samples, **options: Any) -> None:
        with pytest.raises(InputError, match=says) as error:
            WithGenerated(str(folder), **options).split("train")
        assert "\n" not in str(error.value)

    refused(r"--data\.generated .*nowhere: no such folder; cgd sample", tmp_path / "nowhere")
    refused(
        r"32 of 32 images cannot.*\.png: of shape \[1, 16, 16\].* are \[1, 28, 28\]", of=Digits(28)
    )
    refused(r"of\.autoencoder runs/a: leave it out", of=Digits(autoencoder="runs/a"))
    of_generated = Lesions()
    of_generated.class_names = ("healthy", "generated")
    refused("has a class 'generated' already", of=of_generated)
    few = tmp_path / "few"
    few.mkdir()
    for number in range(29):
        shutil.copy(samples / "0000.png", few / f"{number}.png")
    refused("29 images; wanted 30 or more", few)
    (few / "samples.npz").write_bytes(b"")
    refused(r"holds an array; wanted pictures, by cgd sample --format png", few)
    (few / "edits.json").write_text("{}")
    refused("a folder that cgd edit wrote", few)
    ours = tmp_path / "ours"
    shutil.copytree(samples, ours / "images")
    shutil.copytree(samples, ours / "images" / ".unfinished")
    shutil.copy(samples / "0000.png", ours / "grid.png")
    record = ours / "samples.json"
    for says, why in (
        ('{"options": {"scale": 5.0}}', "drawn at scale 5; wanted"),
        ('{"options": [', "samples.json: cannot be read"),
        ('{"options": 3}', "samples.json: cannot be read"),
    ):
        record.write_text(says)
        refused(why, ours)
    for says in ('{"options": {"scale": 0.0}}', '{"options": {"scale": null}}', "{}"):
        record.write_text(says)
        assert len(list_generated(ours)) == 40
    Image.fromarray(np.zeros((16, 17), np.uint8)).save(samples / "0007.png")
    refused(r"0007\.png: of shape \[1, 16, 17\]")
    Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(samples / "0007.png")
    refused(r"0007\.png: of shape \[3, 16, 16\]")
    (samples / "0007.png").write_bytes(b"no image")
    refused(r"0007\.png")


def test_from_samples_to_a_guided_picture_and_the_same_again(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, cgd: Cgd
) -> None:
    few = ("--num_samples=30", "--sampler.steps=3", "--batch_size=30")
    code, _, err = cgd("sample", "--ckpt=runs/diffusion", "--scale=0", *few, "--out=made")
    assert code == 0, err
    kept = [word for word in TINY_CLASSIFIER if not word.startswith("--data.image_size")]
    code, _, err = cgd(
        "fit", *kept, "--name=discriminator", "--data=WithGenerated", "--data.generated=made"
    )
    assert code == 0, err
    code, out, err = cgd("info", "runs/discriminator")
    assert code == 0, err
    assert "generated" in out

    diffusion = checkpoints.find("runs/diffusion")
    nameless = replace(checkpoints.read(diffusion), class_names=[], partner=None)
    guide = checkpoints.find_classifier(diffusion, nameless)  # not the newest, which would fit
    assert guide is not None
    assert guide.parent.parent.name == "classifier"

    fit = ("fit", *kept, "--data=WithGenerated", "--data.generated=made")
    code, _, err = cgd(*fit, "--guided_sampler.every_n_validations=1")
    assert code == 1
    assert "--guided_sampler.every_n_validations 0" in err.strip().splitlines()[-1]
    Path("made/images/0003-3.png").write_bytes(b"no image")
    monkeypatch.setattr(generated, "MOST_IN_MEMORY", 0)
    code, _, err = cgd(*fit, "--data.num_workers=1", "--trainer.max_steps=60")
    assert code == 1
    assert "0003-3.png" in err.strip().splitlines()[-1]
    assert "Traceback" not in err.strip().splitlines()[-1]

    def sampled(out: str, rules: str, *words: str) -> bytes:
        code, _, err = cgd(
            *("sample", "--ckpt=runs/diffusion", "--num_samples=2", "--sampler.steps=3"),
            *(f"--guidance={rules}", f"--out={out}", *words),
        )
        assert code == 0, err
        return b"".join(file.read_bytes() for file in sorted(Path(out, "images").iterdir()))

    (file,) = Path("runs/discriminator/version_0").glob("last.ckpt")
    data = stored_data(file, NO_TRUST)
    assert data is not None
    assert data["class_path"] == "cgd_lightning.data.generated.WithGenerated"
    assert not {"generated", "schedule"} & set(data["init_args"])
    few = ("--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false")
    code, _, err = cgd("validate", f"--ckpt_path={file}", *few)
    assert code == 2
    assert "give --data.generated" in err.strip().splitlines()[-1]
    code, out, err = cgd("validate", f"--ckpt_path={file}", "--data.generated=made", *few)
    assert code == 0, err
    assert "val/accuracy" in out

    term = "{class_path: DiscriminatorGuidance, init_args: {discriminator: runs/discriminator}}"
    corrected = sampled("corrected", f"[{term}, ClassifierGuidance]", "--scale=2")
    assert corrected != sampled("plain", "[ClassifierGuidance]", "--scale=2")
    alone = sampled("alone", f"[{term}, ClassifierGuidance]", "--scale=0")
    assert alone != sampled("unguided", "[ClassifierGuidance]", "--scale=0")
    record = json.loads(Path("corrected/samples.json").read_text())
    assert "runs/discriminator/version_0" in json.dumps(record["options"]["guidance"])
    assert cgd("sample", "--from=corrected/samples.json", "--out=again")[0] == 0
    again = b"".join(file.read_bytes() for file in sorted(Path("again/images").iterdir()))
    assert again == corrected

    code, _, err = cgd(
        *("sample", "--ckpt=runs/diffusion", "--num_samples=1", "--out=wrong", "--scale=1"),
        "--guidance=DiscriminatorGuidance",
        "--guidance.discriminator=runs/classifier",
    )
    assert code == 1
    assert "wanted a class 'generated' among others" in err.strip().splitlines()[-1]
