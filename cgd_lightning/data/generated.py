"""A data set beside what a diffusion model of it draws, as one more class: generated.

A classifier of it tells what the diffusion model does wrong, for `DiscriminatorGuidance`.
"""

import hashlib
import math
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Dataset

from cgd_lightning.checkpoints import schema
from cgd_lightning.checkpoints.plain_json import read_mapping
from cgd_lightning.data.datamodule import NoisingDataModule
from cgd_lightning.data.digits import Digits
from cgd_lightning.data.folder import MOST_IN_MEMORY, ImageFiles, split_by_class
from cgd_lightning.data.images import ImageBatch
from cgd_lightning.data.latents import fingerprint
from cgd_lightning.data.of_another import Images, OfAnother
from cgd_lightning.data.pictures import ENDINGS, decode_as_it_is
from cgd_lightning.diffusion.guidance.discriminator import GENERATED
from cgd_lightning.diffusion.schedules import NoiseSchedule
from cgd_lightning.errors import InputError, one_line
from cgd_lightning.files import open_plain

MOST_RECORD = 2**24
"""Bytes of a samples.json."""

LEAST = 30
"""Generated images, of which val and test get a tenth each."""


class WithGenerated(OfAnother):
    """Images of another data set in their classes, and generated ones in the class generated.

    In every split there are as many generated images as others: the fewer come round again. A
    classifier of them asks for no class by itself: train it by a packaged configuration with
    `--guided_sampler.every_n_validations 0`.

    Args:
        generated: folder that `cgd sample --scale 0` wrote with the diffusion model of this data
            set, or any folder of such images, all of them of its shape. A tenth each is held out
            for val and test; the same images always.
        of: the data set; Digits() if none is given.
    """

    def __init__(
        self,
        generated: str,
        of: NoisingDataModule | None = None,
        schedule: NoiseSchedule | None = None,
        batch_size: int = 128,
        num_workers: int = 0,
        seed: int = 0,
        predict_timestep: int = 0,
        shift: int = 0,
        mirror: bool = False,
    ) -> None:
        super().__init__(
            schedule, batch_size, num_workers, seed, predict_timestep, shift, mirror, None
        )
        self.generated, self.of = Path(generated), of or Digits()
        if self.of.autoencoder is not None:
            raise InputError(
                f"of.autoencoder {self.of.autoencoder}: leave it out; in latents, what is decoded "
                "and encoded again is told from what is real by that"
            )
        if GENERATED in self.of.class_names:
            raise InputError(f"of {self.of.name}: has a class {GENERATED!r} already")
        self.name = f"{self.of.name} with generated"
        self.class_names = (*self.of.class_names, GENERATED)
        self.image_shape = self.of.image_shape
        self._parts: dict[str, Images] = {}

    def split(self, name: str) -> Dataset[ImageBatch]:
        return Both(self.split_of(name), self._drawn()[name], len(self.class_names) - 1)

    def _drawn(self) -> dict[str, Images]:
        if not self._parts:
            files = list_generated(self.generated)
            size = len(files) * math.prod(self.image_shape)
            for part, places in split_by_class(torch.zeros(len(files)).long(), 0.1).items():
                chosen = [files[place] for place in places]
                kept = SampleFiles(chosen, torch.zeros(len(chosen)).long(), self.image_shape)
                self._parts[part] = kept.in_memory() if size <= MOST_IN_MEMORY else kept
        return self._parts


class SampleFiles(ImageFiles):
    """Pictures that are taken as they are, for resizing would tell them from the real ones."""

    def read(self, file: Path) -> Tensor:
        image = decode_as_it_is(file)
        if tuple(image.shape) != tuple(self.image_shape):
            raise InputError(
                f"{file}: of shape {list(image.shape)}, and the data set's images are "
                f"{list(self.image_shape)}; wanted samples of a diffusion model of the same data"
            )
        return image


class Both(Dataset[ImageBatch]):
    """Real images and generated ones in turn; of the fewer, each comes round again.

    labels: (N,) int64, those of the real ones, and `generated_label`; where those are not known,
    there are none.
    """

    def __init__(self, real: Images, generated: Images, generated_label: int) -> None:
        self.real, self.generated, self.generated_label = real, generated, generated_label
        self.pairs = max(len(real), len(generated))
        known = getattr(real, "labels", None)
        if known is not None:
            own = known[torch.arange(self.pairs) % len(real)]
            other = torch.full_like(own, generated_label)
            self.labels = torch.stack([own, other], dim=1).flatten()

    def __len__(self) -> int:
        return 2 * self.pairs

    def fingerprint(self) -> str:
        """A SHA-256, in hexadecimal digits, of what is known of both."""
        known = f"{fingerprint(self.real)[0]} and {fingerprint(self.generated)[0]}"
        return hashlib.sha256(known.encode()).hexdigest()

    def __getitem__(self, index: int) -> ImageBatch:
        return self.__getitems__([index])

    def __getitems__(self, indices: Sequence[int]) -> ImageBatch:
        index = torch.as_tensor(indices)
        pair, made = index // 2, index % 2 == 1
        parts, places = [], []
        for source, mine in ((self.real, ~made), (self.generated, made)):
            if mine.any():
                parts.append(source.__getitems__((pair[mine] % len(source)).tolist()))
                places.append(mine.nonzero().flatten())
        order = torch.cat(places).argsort()
        images = torch.cat([part.images for part in parts])[order]
        labels = torch.cat([part.labels for part in parts])[order]
        return ImageBatch(images, labels.where(~made, self.generated_label), index)


def list_generated(folder: Path) -> list[Path]:
    """The pictures of a folder that `cgd sample` wrote, or those in any folder, in order.

    Raises InputError for a folder that is not there, one of `cgd edit` or of an array, one that was
    drawn under guidance, and one with fewer than LEAST pictures.
    """
    where = f"--data.generated {folder}"
    advice = "cgd sample --ckpt RUN --scale 0 --num_samples 3000 --out FOLDER makes them"
    if not folder.is_dir():
        raise InputError(f"{where}: no such folder; {advice}")
    if (folder / "edits.json").exists():
        raise InputError(f"{where}: a folder that cgd edit wrote; {advice}")
    if (folder / "samples.npz").exists():
        raise InputError(f"{where}: holds an array; wanted pictures, by cgd sample --format png")
    record, pictures = folder / "samples.json", folder
    if record.exists():
        _check_unguided(record, where)
        pictures = folder / "images"
    found = sorted(pictures.iterdir()) if pictures.is_dir() else []
    files = [path for path in found if path.suffix.lower() in ENDINGS and path.is_file()]
    if len(files) < LEAST:
        raise InputError(f"{where}: {len(files)} images; wanted {LEAST} or more; {advice}")
    return files


def _check_unguided(record: Path, where: str) -> None:
    """Raises InputError for samples whose record says that they were guided, or is damaged."""
    try:
        with open_plain(record, MOST_RECORD) as file:
            scale = schema.mapping(read_mapping(file.read()).get("options", {})).get("scale")
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{record}: cannot be read ({one_line(error)})") from error
    if isinstance(scale, int | float) and scale:
        raise InputError(
            f"{where}: drawn at scale {scale:g}; wanted what the noise predictor draws alone, by "
            "cgd sample --scale 0"
        )
