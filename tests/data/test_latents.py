"""The latents of a data set: encoded once, kept, mapped, and what is wrong with a cache is told."""

import json
import os
import pickle
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import Dataset

from cgd_lightning import checkpoints
from cgd_lightning.data.digits import Digits
from cgd_lightning.data.images import ImageBatch, ImageTensors
from cgd_lightning.data.latents import BATCH, cache_folder, encoded, fingerprint, read_latents
from cgd_lightning.diffusion.autoencoder import Autoencoder
from cgd_lightning.diffusion.data_spec import DataSpec
from cgd_lightning.diffusion.latents import Latents
from cgd_lightning.diffusion.process import add_noise
from cgd_lightning.errors import InputError
from cgd_lightning.networks import ConvAutoencoder

CPU = torch.device("cpu")


def autoencoder(size: int = 8, seed: int = 0) -> Autoencoder:
    torch.manual_seed(seed)
    network = ConvAutoencoder(size, 1, 1, latent_channels=3, width=8)
    model = Autoencoder(network, DataSpec((1, size, size), ("a", "b")))
    model.mean += torch.tensor([0.1, -0.2, 0.3])
    return model.eval().requires_grad_(False)


def codec(seed: int = 0) -> Latents:
    return checkpoints.latents_of(autoencoder(seed=seed), "runs/autoencoder")


def images(count: int = 10, seed: int = 0) -> ImageTensors:
    generator = torch.Generator().manual_seed(seed)
    pictures = torch.randint(0, 256, (count, 1, 8, 8), generator=generator, dtype=torch.uint8)
    return ImageTensors(pictures, torch.arange(count) % 2)


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_a_cache_holds_what_the_codec_gives_and_reads_like_a_data_set() -> None:
    data, space = images(), codec()
    latents = encoded(data, space, CPU)
    batch = latents.__getitems__([7, 0, 3])
    torch.testing.assert_close(batch.images, space.encode(data.images[[7, 0, 3]]))
    assert batch.labels.tolist() == [1, 0, 1]
    assert batch.indices.tolist() == [7, 0, 3]
    assert len(latents) == 10
    assert latents[4].images.shape == (1, 3, 2, 2)


def test_mirror_images_have_latents_of_their_own() -> None:
    data, space = images(), codec()
    pair = encoded(data, space, CPU, mirrored_too=True).__getitems__([2, 5]).images
    torch.testing.assert_close(pair[:, 0], space.encode(data.images[[2, 5]]))
    torch.testing.assert_close(pair[:, 1], space.encode(data.images[[2, 5]].flip(3)))


def test_images_are_encoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    data, space = images(), codec()
    before = encoded(data, space, CPU)
    monkeypatch.setattr(Latents, "encode", lambda self, data: pytest.fail("encoded again"))
    again = encoded(images(), space, CPU)
    assert np.array_equal(before.latents, again.latents)
    assert isinstance(again.latents, np.memmap)


def test_other_images_and_other_autoencoders_have_caches_of_their_own() -> None:
    encoded(images(), codec(), CPU)
    encoded(images(seed=1), codec(), CPU)
    encoded(images(), codec(seed=1), CPU)
    assert len(list(cache_folder().iterdir())) == 3
    assert fingerprint(images())[0] == fingerprint(images())[0]


class Streamed(Dataset[ImageBatch]):
    """Images that are made when they are asked for."""

    def __init__(self, count: int) -> None:
        self.count, self.most = count, 0

    def __len__(self) -> int:
        return self.count

    def __getitems__(self, indices: Sequence[int]) -> ImageBatch:
        self.most = max(self.most, len(indices))
        index = torch.as_tensor(indices)
        pixels = (index[:, None] * 7 + torch.arange(64)) % 256
        return ImageBatch(pixels.to(torch.uint8).reshape(-1, 1, 8, 8), index % 2, index)


def test_images_that_do_not_fit_in_memory_are_encoded_batch_by_batch() -> None:
    data, space = Streamed(2 * BATCH + 3), codec()
    latents = encoded(data, space, CPU)
    assert data.most == BATCH
    last = [2 * BATCH + 2]
    torch.testing.assert_close(
        latents.__getitems__(last).images, space.encode(data.__getitems__(last).images)
    )
    assert latents.labels.tolist() == [n % 2 for n in range(2 * BATCH + 3)]
    assert isinstance(pickle.loads(pickle.dumps(latents)).latents, np.memmap)
    assert len(pickle.dumps(latents)) < 10_000


def folder_of_cache() -> Path:
    encoded(images(), codec(), CPU)
    (folder,) = cache_folder().iterdir()
    return folder


def test_a_cache_of_other_data_is_told() -> None:
    folder = folder_of_cache()
    encoded(images(seed=1), codec(), CPU)
    (other,) = (path for path in cache_folder().iterdir() if path != folder)
    shutil.rmtree(folder)
    shutil.move(other, folder)
    with pytest.raises(InputError, match=r"holds latents of other data or another .*; remove it"):
        encoded(images(), codec(), CPU)


def linked(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def piped(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "latents.npy").write_bytes(b"rubbish"),
        lambda folder: (folder / "latents.npy").unlink(),
        lambda folder: (folder / "about.json").write_text("{"),
        lambda folder: (folder / "about.json").unlink(),
        lambda folder: np.save(folder / "latents.npy", np.zeros((10, 1, 3, 2, 1), np.float32)),
        lambda folder: np.save(folder / "latents.npy", np.zeros((10, 1, 3, 2, 2))),
        lambda folder: np.save(folder / "latents.npy", np.array([{}], object)),
        lambda folder: (folder / "latents.npy").write_bytes(b"PK\x03\x04xxxx"),
        lambda folder: (folder / "latents.npy").write_bytes(b"\x93NUMPY\x01\x00\x02\x00(\n"),
        lambda folder: linked(folder / "latents.npy"),
        lambda folder: linked(folder),
        lambda folder: piped(folder / "latents.npy"),
        lambda folder: (folder / "latents.npy").write_bytes(
            (folder / "latents.npy").read_bytes()[:-8]
        ),
    ],
)
def test_a_damaged_cache_is_one_line(damage: object) -> None:
    folder = folder_of_cache()
    damage(folder)  # type: ignore[operator]  # each does
    with pytest.raises(InputError, match=r"remove it$") as told:
        encoded(images(), codec(), CPU)
    assert "\n" not in str(told.value)


def test_latents_that_are_not_finite_are_refused_when_made_and_when_read() -> None:
    broken = autoencoder()
    next(broken.network.parameters()).fill_(torch.nan)
    with pytest.raises(InputError, match="not finite; train the autoencoder again"):
        encoded(images(), checkpoints.latents_of(broken, "runs/autoencoder"), CPU)
    assert not list(cache_folder().glob("*"))
    folder = folder_of_cache()
    values = np.load(folder / "latents.npy")
    values[4] = np.inf
    np.save(folder / "latents.npy", values)
    latents = encoded(images(), codec(), CPU)
    latents.__getitems__([0, 1])
    with pytest.raises(InputError, match="not finite; remove it"):
        latents.__getitems__([3, 4])


@pytest.fixture
def stored(tmp_path: Path) -> str:
    path = tmp_path / "autoencoder.ckpt"
    checkpoints.save(autoencoder(), path)
    return str(path)


def test_a_data_module_noises_the_latents(stored: str) -> None:
    data = Digits(image_size=8, autoencoder=stored)
    assert data.spec.x0_shape == (3, 2, 2)
    assert data.spec.shape == (1, 8, 8)
    batches = iter(data.val_dataloader())
    batch = data.on_after_batch_transfer(next(batches), 0)
    pictures = data.split("val").images[batch.index]
    assert pictures.dtype == torch.uint8
    torch.testing.assert_close(batch.x0, data.codec.encode(pictures))
    torch.testing.assert_close(batch.x_t, add_noise(batch.x0, batch.t, batch.eps, data.schedule))
    assert batch.eps.shape == (128, 3, 2, 2)


def test_training_batches_show_both_sides(stored: str) -> None:
    data = Digits(image_size=8, autoencoder=stored, mirror=True)
    raw = next(iter(data.train_dataloader()))
    assert raw.images.shape == (128, 2, 3, 2, 2)
    x0 = data._training_batch(raw).x0

    def same(side: Tensor) -> Tensor:
        return (x0 == side).flatten(1).all(1)

    first, second = same(raw.images[:, 0]), same(raw.images[:, 1])
    assert (first | second).all()
    assert 40 < first.sum() < 88


def test_an_autoencoder_of_other_images_and_what_is_none_are_told(stored: str) -> None:
    with pytest.raises(InputError, match=r"of images \[1, 8, 8\], and these are \[1, 16, 16\]"):
        _ = Digits(image_size=16, autoencoder=stored).spec
    with pytest.raises(InputError, match="no autoencoder there; train one first"):
        read_latents("nowhere", (1, 8, 8), checkpoints.Trust())
    with pytest.raises(InputError, match="shift 1 and autoencoder"):
        Digits(image_size=8, autoencoder=stored, shift=1)


def test_about_says_which_images_and_which_autoencoder() -> None:
    about = json.loads((folder_of_cache() / "about.json").read_text())
    assert about == {
        "images": fingerprint(images())[0],
        "autoencoder": codec().hash,
        "shape": [10, 1, 3, 2, 2],
    }
