"""The DataModule that noises: uint8 images go to the device, and the noisy batch is made there.

    x_t = alpha_t x0 + sigma_t eps

Training noise is keyed by (seed, counter of batches, process), never by the global random state:
processes draw different noise, and a run resumed in mid-epoch draws what the uninterrupted one
would have drawn. Held-out noise is keyed by (seed, image), so that losses can be compared between
epochs and runs.
"""

import hashlib
from abc import ABC, abstractmethod
from functools import cached_property
from typing import Any

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from cgd_lightning.checkpoints.listed import NO_TRUST, Trust
from cgd_lightning.data.augment import mirrored, one_of_two, shifted
from cgd_lightning.data.images import ImageBatch
from cgd_lightning.data.latents import CachedLatents, encoded, read_latents
from cgd_lightning.data.loader import OrderedShard, ResumableLoader, ShuffledShard
from cgd_lightning.diffusion.codec import PIXELS, Codec
from cgd_lightning.diffusion.data_spec import DataSpec
from cgd_lightning.diffusion.latents import Latents
from cgd_lightning.diffusion.noise import SeededNoise
from cgd_lightning.diffusion.process import NoisyBatch, add_noise
from cgd_lightning.diffusion.schedules import Linear, NoiseSchedule
from cgd_lightning.errors import InputError

GOLDEN_32 = 2654435769
"""2^32 divided by the golden ratio: its multiples, modulo 2^32, spread evenly.

Knuth, TAOCP vol. 3, sec. 6.4.
"""


MOST_WORKERS = 256


class MissingError(InputError, AttributeError):
    """A data set does not say what it has to."""


class NoisingDataModule(LightningDataModule, ABC):
    """Images with labels, in splits train, val and test, that leave as `NoisyBatch`.

    A subclass calls this constructor and fills `split`, `name`, `class_names` and `image_shape`,
    and `codec` where its data are no uint8 images. A `prepare_data` of its own calls this one's.

    Args:
        schedule: noise schedule of both networks; Linear() if none is given.
        batch_size: images per step and process, at least 1.
        num_workers: loader processes; 0 is best for sets that are held in memory.
        seed: seed of the order of the images and of their noise.
        predict_timestep: timestep, from 0 to T-1, at which `cgd predict` reads the test images.
        shift: move each training image by up to so many pixels, down and across.
        mirror: swap left and right of a training image, or not, with equal chances each time.
        autoencoder: run or file of an autoencoder of such images, in whose latents the networks
            live; in the pixels if none is given.
    """

    name: str
    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int]
    trust: Trust = NO_TRUST
    """What the file of the autoencoder may name."""

    def __init__(
        self,
        schedule: NoiseSchedule | None = None,
        batch_size: int = 128,
        num_workers: int = 0,
        seed: int = 0,
        predict_timestep: int = 0,
        shift: int = 0,
        mirror: bool = False,
        autoencoder: str | None = None,
    ) -> None:
        super().__init__()
        if batch_size < 1:
            raise InputError(f"batch_size {batch_size}: wanted at least 1")
        if shift < 0:
            raise InputError(f"shift {shift}: wanted 0 pixels or more")
        if shift and autoencoder is not None:
            raise InputError(
                f"shift {shift} and autoencoder {autoencoder}: latents are encoded once and cannot "
                "be moved by pixels; leave shift out"
            )
        if not 0 <= num_workers <= MOST_WORKERS:
            raise InputError(f"num_workers {num_workers}: wanted 0 to {MOST_WORKERS}")
        self.schedule = schedule or Linear()
        self.schedule.level(predict_timestep)
        self.batch_size, self.num_workers, self.seed = batch_size, num_workers, seed
        self.predict_timestep, self.shift, self.mirror = predict_timestep, shift, mirror
        self.autoencoder = autoencoder
        self._latents: dict[str, CachedLatents] = {}
        self.allow_zero_length_dataloader_with_multiple_devices = True

    def __getattr__(self, name: str) -> Any:
        if name in ("name", "class_names", "image_shape"):
            raise MissingError(
                f"{type(self).__name__} has no {name}: a data set says name, class_names and "
                'image_shape, as "shapes", ("lying", "standing") and (1, 16, 16)'
            )
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    @abstractmethod
    def split(self, name: str) -> Dataset[ImageBatch]:
        """The data set "train", "val" or "test", whose `__getitems__` gives an `ImageBatch`."""

    @cached_property
    def codec(self) -> Codec:
        """Between the images and x0.

        A subclass whose data are no uint8 images has its own. Raises InputError for an autoencoder
        of other images.
        """
        if self.autoencoder is None:
            return PIXELS
        return read_latents(self.autoencoder, self.image_shape, self.trust)

    @property
    def spec(self) -> DataSpec:
        """What a model is told of the data that it is trained on."""
        return DataSpec(self.image_shape, self.class_names, tuple(self.class_shares()), self.codec)

    def class_shares(self) -> list[float]:
        """The share of each class in the training images, (K,), summing to 1.

        Empty if the data set has no `labels`.
        """
        labels = getattr(self.split("train"), "labels", None)
        if labels is None or not len(labels):
            return []
        least, most, classes = int(labels.min()), int(labels.max()), len(self.class_names)
        if least < 0 or most >= classes:
            raise InputError(
                f"{self.name}: labels from {least} to {most}, and {classes} class_names; wanted "
                f"labels from 0 to {classes - 1}"
            )
        counts = torch.bincount(labels, minlength=classes)
        return (counts.double() / counts.sum()).tolist()

    def train_dataloader(self) -> DataLoader:
        if self.trainer and self.trainer.overfit_batches:
            return self._held_out("train")
        data, (rank, processes) = self._source("train"), self._place()
        size = len(data)  # type: ignore[arg-type]
        if self.batch_size * processes > size:
            raise InputError(
                f"batch_size {self.batch_size} on {processes} process(es): {self.name} has "
                f"{size} training images; give a smaller --data.batch_size"
            )
        if self.shift >= min(self.image_shape[1:]):
            raise InputError(
                f"shift {self.shift}: wanted less than the side of an image, "
                f"{min(self.image_shape[1:])} pixels; give a smaller --data.shift"
            )
        shard = ShuffledShard(size, self.seed, rank, processes)
        return ResumableLoader(
            data, shard, self.batch_size, self._batches_trained, **self._options()
        )

    def val_dataloader(self) -> DataLoader:
        return self._held_out("val")

    def test_dataloader(self) -> DataLoader:
        return self._held_out("test")

    def predict_dataloader(self) -> DataLoader:
        return self._held_out("test")

    def _held_out(self, split: str) -> DataLoader:
        data = self._source(split)
        shard = OrderedShard(len(data), *self._place())  # type: ignore[arg-type]
        return DataLoader(data, batch_size=self.batch_size, sampler=shard, **self._options())

    def prepare_data(self) -> None:
        """Encode the images of a latent training, in one process, before any training begins."""
        if self.autoencoder is not None and self.trainer and self.trainer.state.fn == "fit":
            for part in ("train", "val"):
                self._source(part)

    def _source(self, split: str) -> Dataset[ImageBatch]:
        """What batches are made of: the images, or their latents, which are encoded once."""
        codec = self.codec
        if not isinstance(codec, Latents):
            return self.split(split)
        if split not in self._latents:
            device = self.trainer.strategy.root_device if self.trainer else torch.device("cpu")
            both, name = self.mirror and split == "train", f"{self.name}, {split}"
            self._latents[split] = encoded(self.split(split), codec, device, both, name)
        return self._latents[split]

    def _place(self) -> tuple[int, int]:
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)

    def _options(self) -> dict[str, Any]:
        return {
            "collate_fn": _as_is,
            "num_workers": self.num_workers,
            "persistent_workers": self.num_workers > 0,
            "pin_memory": torch.cuda.is_available(),
        }

    def on_after_batch_transfer(self, batch: ImageBatch, dataloader_idx: int) -> NoisyBatch:
        """The noisy batch of uint8 images, on their device."""
        self._check(batch)
        images, labels, index = batch
        if self.trainer and self.trainer.training:
            return self._training_batch(batch)
        x0 = self._x0(images)
        t, eps = self._held_out_noise(x0, index)
        return NoisyBatch(x0, add_noise(x0, t, eps, self.schedule), t, eps, labels, index)

    def _training_batch(self, batch: ImageBatch) -> NoisyBatch:
        images, labels, index = batch
        key = f"{self.seed} {self._batches_trained()} {self._place()[0]}"
        number = int.from_bytes(
            hashlib.blake2b(key.encode(), digest_size=8).digest(), "big", signed=True
        )
        generator = torch.Generator(images.device).manual_seed(number)
        here: dict[str, Any] = {"generator": generator, "device": images.device}
        t = self._spread_timesteps(len(images), here)
        eps = torch.randn((len(images), *self.codec.shape(self.image_shape)), **here)
        chance = torch.rand(len(images), dtype=torch.float32, **here)
        if self.shift:
            images = shifted(images, self.shift, generator)
        if self.mirror:
            choose = one_of_two if isinstance(self.codec, Latents) else mirrored
            images = choose(images, generator)
        x0 = self._x0(images)
        return NoisyBatch(x0, add_noise(x0, t, eps, self.schedule), t, eps, labels, index, chance)

    def _check(self, batch: ImageBatch) -> None:
        """Raises InputError for what is no batch of the images that this data set tells of."""
        wanted = (
            "wanted an ImageBatch of images (B, C, H, W), labels and indices, as the data set "
            "ImageTensors(images, labels) gives"
        )
        if not isinstance(batch, ImageBatch):
            raise InputError(f"{self.name}: a batch is a {type(batch).__name__}; {wanted}")
        if isinstance(self.codec, Latents):
            return
        shape, dtype = tuple(batch.images.shape[1:]), batch.images.dtype
        if shape != tuple(self.image_shape):
            raise InputError(
                f"{self.name}: images of shape {shape}, and image_shape is {self.image_shape}"
            )
        if self.codec == PIXELS and dtype != torch.uint8:
            raise InputError(
                f"{self.name}: images of {dtype}; wanted torch.uint8, 0 to 255, or a codec of "
                "your own"
            )

    def _x0(self, images: Tensor) -> Tensor:
        """x0 of a batch, of which latents are encoded already."""
        if isinstance(self.codec, Latents):
            return images.float()
        x0, wanted = self.codec.encode(images), self.codec.shape(self.image_shape)
        if tuple(x0.shape[1:]) != tuple(wanted):
            raise InputError(
                f"{type(self.codec).__name__}.encode gives x0 of shape {tuple(x0.shape[1:])}, and "
                f"its shape({tuple(self.image_shape)}) says {tuple(wanted)}; wanted the same"
            )
        return x0

    def _spread_timesteps(self, count: int, here: dict[str, Any]) -> Tensor:
        """t (count,), each uniform over 0 ... T-1 and all of them spread evenly.

        So the loss of a batch varies less than with independent draws: the low-discrepancy sampler
        of Kingma et al. 2021 (arXiv:2107.00630), appendix I.1.
        """
        first = torch.rand((), dtype=torch.float32, **here)
        places = (first + torch.arange(count, device=first.device) / count) % 1
        return (places * self.schedule.timesteps).floor().clamp(max=self.schedule.timesteps - 1)

    def _batches_trained(self) -> int:
        """How many batches this run was trained on; in a step its batch does not count yet."""
        return self.trainer.fit_loop.epoch_loop.batch_progress.total.ready if self.trainer else 0

    def _held_out_noise(self, x0: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        eps = SeededNoise(self.seed, index, x0.shape[1:])()
        if self.trainer and self.trainer.predicting:
            return torch.full_like(index, self.predict_timestep).float(), eps
        spread = index * GOLDEN_32 & 0xFFFFFFFF
        return (spread * self.schedule.timesteps >> 32).float(), eps


def _as_is(batch: ImageBatch) -> ImageBatch:
    return batch
