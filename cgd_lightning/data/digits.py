"""Handwritten digits that need no download: 1,797 images of 43 people.

They are scaled up from 8 x 8 to 16 x 16 pixels. The test set of "Optical Recognition of Handwritten
Digits" (Alpaydin and Kaynak 1998, doi:10.24432/C50P49), as scikit-learn packs it.
"""

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch.nn import functional as F

from cgd_lightning.data.datamodule import NoisingDataModule
from cgd_lightning.data.images import ImageTensors
from cgd_lightning.diffusion.schedules import NoiseSchedule
from cgd_lightning.errors import InputError

MOST_SIDE = 256


class Digits(NoisingDataModule):
    """1,297 handwritten digits to train on, 250 each in val and test.

    The splits are drawn once for all, with equal shares of the classes.

    Args:
        image_size: width and height in pixels after scaling, from 4 to 256.
    """

    name = "digits"
    class_names = tuple("0123456789")

    def __init__(
        self,
        image_size: int = 16,
        schedule: NoiseSchedule | None = None,
        batch_size: int = 128,
        num_workers: int = 0,
        seed: int = 0,
        predict_timestep: int = 0,
        shift: int = 0,
        mirror: bool = False,
        autoencoder: str | None = None,
    ) -> None:
        super().__init__(
            *(schedule, batch_size, num_workers, seed, predict_timestep, shift, mirror),
            autoencoder,
        )
        if not 4 <= image_size <= MOST_SIDE:
            raise InputError(
                f"image_size {image_size}: digits of 8 x 8 pixels are scaled to 4 to {MOST_SIDE}"
            )
        self.image_shape = (1, image_size, image_size)
        self._splits: dict[str, ImageTensors] = {}

    def split(self, name: str) -> ImageTensors:
        if not self._splits:
            digits = load_digits()
            small = torch.from_numpy(digits.images).float()[:, None] * (255 / 16)
            size = self.image_shape[1:]
            images = (
                F.interpolate(small, size, mode="bicubic", align_corners=False)
                .round()
                .clamp(0, 255)
                .to(torch.uint8)
            )
            labels = torch.from_numpy(digits.target).long()
            train, held_out = train_test_split(
                range(len(labels)), test_size=500, stratify=labels, random_state=0
            )
            val, test = train_test_split(
                held_out, test_size=250, stratify=labels[held_out], random_state=0
            )
            parts = {"train": train, "val": val, "test": test}
            self._splits = {
                part: ImageTensors(images[where], labels[where]) for part, where in parts.items()
            }
        return self._splits[name]
