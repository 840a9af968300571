import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

from cgd_lightning.checkpoints.listed import NO_TRUST
from cgd_lightning.commands.stored_data import stored_data
from cgd_lightning.data.digits import Digits
from cgd_lightning.data.folder import Folder
from cgd_lightning.data.images import ImageTensors
from cgd_lightning.data.lesions import Lesions, Planted
from cgd_lightning.data.planting import BLOT, DRAWS, MISSING, NONE, STROKE, counts, plant
from cgd_lightning.data.vision import MNIST
from cgd_lightning.errors import InputError
from tests.command_line import TINY_CLASSIFIER


def drawn(n: int, seed: int = 0) -> Tensor:
    return torch.rand(n, DRAWS, generator=torch.Generator().manual_seed(seed))


def digits(n: int) -> Tensor:
    return Digits(image_size=28).split("train").images[:n]


@pytest.mark.parametrize("size", [16, 28])
def test_half_of_the_images_have_a_lesion_of_one_of_three_kinds_and_the_mask_says_where(
    size: int,
) -> None:
    data = Lesions(Digits(size))
    for split in ("train", "val", "test"):
        images, labels = data.split(split).images, data.split(split).labels
        masks, kinds, before = data.masks(split), data.kinds(split), data.originals(split)
        n = len(labels)
        assert torch.equal(before, Digits(size).split(split).images)
        assert masks.shape == (n, 1, size, size)
        assert torch.equal(masks, (images != before).any(dim=1, keepdim=True))
        assert torch.equal(labels, (kinds > 0).long())
        assert abs(int(labels.sum()) - n / 2) <= 1
        assert kinds.bincount()[1:].tolist() == pytest.approx([n / 6] * 3, abs=2)
        changed = masks.flatten(1).sum(dim=1)
        assert (changed[labels == 0] == 0).all()
        low, high = counts(size**2)
        assert low <= changed[labels == 1].min() < changed[labels == 1].max() <= high
    assert data.class_shares() == pytest.approx([0.5, 0.5], abs=0.01)


def test_a_lesion_adds_ink_no_bolder_than_the_strokes_or_takes_it_away() -> None:
    data = Lesions(Digits())
    images, before, kinds = (
        data.split("train").images.int(),
        data.originals("train"),
        data.kinds("train"),
    )
    change = images - before.int()
    assert (change[(kinds == STROKE) | (kinds == BLOT)] >= 0).all()
    assert (change[kinds == MISSING] <= 0).all()
    assert (images.amax((1, 2, 3)) <= before.amax((1, 2, 3))).all()
    for kind in (STROKE, BLOT, MISSING):
        own = change[kinds == kind]
        assert own[own != 0].abs().float().median() > 64


def test_missing_parts_leave_most_of_the_strokes() -> None:
    images = digits(200)
    after, kinds = plant(images, torch.full((200,), MISSING), drawn(200))
    left = (after > 64).flatten(1).sum(1) / (images > 64).flatten(1).sum(1)
    assert (kinds == MISSING).all()
    assert left.min() > 0.4
    assert left.max() < 1


def test_lesions_depend_on_the_image_its_index_and_split_and_on_nothing_else() -> None:
    data, again = Lesions(Digits()), Lesions(Digits(), seed=7, batch_size=3)
    one = data.split("val")
    torch.rand(3)
    assert torch.equal(one.images, again.split("val").images)
    streamed = Planted(Digits().split("val"), 0, 1)
    for indices in ([5], [249, 5, 0], list(range(100, 180))):
        batch = streamed.__getitems__(indices)
        assert torch.equal(batch.images, one.images[indices])
        assert torch.equal(batch.labels, one.labels[indices])
        assert batch.indices.tolist() == indices
    of_test = Planted(Digits().split("val"), 0, 2)
    other = Planted(Digits().split("val"), 1, 1)
    for different in (of_test, other):
        assert (different.labels != streamed.labels).float().mean() > 0.3
        both = (different.labels * streamed.labels).nonzero().flatten().tolist()
        a, b = different.__getitems__(both).images, streamed.__getitems__(both).images
        assert (a != b).flatten(1).any(dim=1).float().mean() > 0.95
        assert different.fingerprint() != streamed.fingerprint()
    assert Planted(Digits().split("val"), 0, 1).fingerprint() == streamed.fingerprint()


def test_ink_may_be_darker_than_paper_or_coloured() -> None:
    images, kinds, numbers = digits(60), torch.arange(60) % 4, drawn(60)
    after, _ = plant(images, kinds, numbers)
    dark, _ = plant(255 - images, kinds, numbers)
    assert (255 - dark.int() - after.int()).abs().max() <= 1  # a half is rounded to even
    colours, _ = plant(images.expand(-1, 3, -1, -1), kinds, numbers)
    assert torch.equal(colours, after.expand(-1, 3, -1, -1))
    red = images * torch.tensor([1, 0, 0], dtype=torch.uint8)[:, None, None]
    assert plant(red, kinds, numbers)[0][:, 1:].max() == 0


def test_images_without_strokes_and_with_few_are_sick_too() -> None:
    blank = torch.full((6, 3, 10, 20), 200, dtype=torch.uint8)
    thin = blank.clone()
    thin[:, :, 5, 10] = 0
    for images in (blank, thin):
        kinds = torch.tensor([NONE, STROKE, BLOT, MISSING, MISSING, NONE])
        after, found = plant(images, kinds, drawn(6))
        assert found.tolist() == [NONE, STROKE, BLOT, STROKE, STROKE, NONE]
        changed = (after != images).any(dim=1).flatten(1).sum(dim=1)
        low, high = counts(200)
        assert ((changed >= low) & (changed <= high)).tolist() == [
            False,
            True,
            True,
            True,
            True,
            False,
        ]
        assert changed[[0, 5]].tolist() == [0, 0]


def test_the_smallest_images_change_in_one_pixel() -> None:
    after, _ = plant(digits(50)[..., 12:16, 12:16], torch.arange(50) % 3 + 1, drawn(50))
    changed = (after != digits(50)[..., 12:16, 12:16]).flatten(1).sum(dim=1)
    assert counts(16) == (1, 1)
    assert changed.max() == 1
    assert changed.float().mean() > 0.9  # of some nothing can be made: all of it is strokes


def test_images_of_a_folder_are_read_when_they_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, image in enumerate(digits(40)):
        file = tmp_path / "pages" / "ab"[number % 2] / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[0].numpy()).save(file)
    inside = Lesions(Folder(str(tmp_path / "pages"), image_size=28, channels=1))
    assert isinstance(inside.split("train"), ImageTensors)
    monkeypatch.setattr("cgd_lightning.data.folder.MOST_IN_MEMORY", 0)
    streamed = Lesions(Folder(str(tmp_path / "pages"), image_size=28, channels=1))
    assert isinstance(streamed.split("train"), Planted)
    assert inside.name == "pages with lesions"
    for data in (inside, streamed):
        assert data.class_names == ("healthy", "sick")
        assert data.image_shape == (1, 28, 28)
    whole = inside.split("train").images
    assert torch.equal(streamed.split("train").__getitems__(range(len(whole))).images, whole)
    assert torch.equal(streamed.masks("train"), inside.masks("train"))
    assert torch.equal(streamed.kinds("train"), inside.kinds("train"))
    assert streamed.class_shares() == inside.class_shares()


def test_what_cannot_be_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="of Lesions: wanted a data set of healthy images"):
        Lesions(Lesions())
    with pytest.raises(InputError, match=r"of\.autoencoder runs/a: .* --data\.autoencoder"):
        Lesions(Digits(autoencoder="runs/a"))
    with pytest.raises(InputError, match="lesion_seed -1: wanted 0 to"):
        Lesions(lesion_seed=-1)
    with pytest.raises(InputError, match=r"--data\.of\.root .*--data\.of\.download true"):
        Lesions(MNIST(str(tmp_path), download=False)).split("val")


def test_a_training_of_lesions_tells_its_data_set_without_its_places(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cgd: Callable[..., tuple[int, str, str]]
) -> None:
    monkeypatch.chdir(tmp_path)
    for number, image in enumerate(digits(60)):
        file = tmp_path / "pages" / "ab"[number % 2] / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[0].numpy()).save(file)
    short = ("--trainer.max_steps=2", "--trainer.val_check_interval=2")
    of = ("--data=Lesions", "--data.of=Folder", "--data.of.root=pages", "--data.of.image_size=16")
    code, _, err = cgd(
        "fit", *TINY_CLASSIFIER, *of, *short, "--data.of.channels=1", "--data.lesion_seed=3"
    )
    assert code == 0, err
    (file,) = Path("runs/classifier/version_0").glob("last.ckpt")
    data = stored_data(file, NO_TRUST)
    assert data is not None
    assert data["class_path"] == "cgd_lightning.data.lesions.Lesions"
    inner = data["init_args"]["of"]
    assert inner["class_path"] == "cgd_lightning.data.folder.Folder"
    assert not {"root", "schedule", "num_workers"} & set(inner["init_args"])
    assert (inner["init_args"]["image_size"], data["init_args"]["lesion_seed"]) == (16, 3)
    few = ("--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false")
    code, out, err = cgd("validate", f"--ckpt_path={file}", "--data.of.root=pages", *few)
    assert code == 0, err
    assert re.search(r"val/accuracy", out)
