"""Watch it learn: guided samples of the two networks, while one of them trains, as a picture and as
numbers.

At the end of a validation the network in training and its partner's checkpoint are put together, as
`cgd sample` would. The noise is the same every time, so that pictures of different steps can be
laid side by side, and none of it comes from the random state of the training.
"""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.seed import isolate_rng
from PIL.Image import Image
from torch import Tensor

from cgd_lightning import checkpoints
from cgd_lightning.checkpoints import schema
from cgd_lightning.data.images import sample_images
from cgd_lightning.diffusion.classifier import NoisyClassifier
from cgd_lightning.diffusion.denoiser import Denoiser
from cgd_lightning.diffusion.generate import generate
from cgd_lightning.diffusion.guidance import Chain, Clamp, ClassifierFree, ClassifierGuidance, Rule
from cgd_lightning.diffusion.samplers import DDIM, Sampler
from cgd_lightning.errors import InputError
from cgd_lightning.evaluation.features import look, look_with_guide
from cgd_lightning.evaluation.metrics import accuracy, frechet_distance
from cgd_lightning.evaluation.plots import grid
from cgd_lightning.files import whole
from cgd_lightning.training.module import TrainingModule

ROWS = 20
"""At most so many classes have a row in the picture."""

REFERENCE = 10_000
"""At most so many held-out images are compared with."""

HARMLESS = (ValueError, FloatingPointError, OSError, RuntimeError, TypeError, LookupError)
"""What may go wrong with a sample while the training goes on."""

DTYPES = {
    "bf16-mixed": torch.bfloat16,
    "bf16-true": torch.bfloat16,
    "16-mixed": torch.float16,
    "16-true": torch.float16,
}


@dataclass
class Loaded:
    """A checkpoint that was read, and when it was written."""

    file: Path
    written: float
    model: Any


class GuidedSampler(Callback):
    """Every n-th validation: a grid of guided samples in `samples/` and in every logger, their
    class accuracy and their FID-lite.

    Rows of the grid are classes; the first columns are unguided, from the same noise as the guided
    ones beyond the gap. The moving averages of the weights are used. On several processes each
    makes its share.

    A diffusion model that is told the class is told it in every column. One that was trained with
    label dropout guides itself, by `ClassifierFree`, unless a classifier is named; then scale 1 is
    what the unguided columns show.

    classifier: run or file of the classifier that guides, while the diffusion model trains.
    diffusion: the same while the classifier trains. A partner that is not there yet is looked for
    again each time; until then grids are unguided. judge: run or file of the judge whose features
    and classes count; without one the guiding classifier judges itself, and the measures are called
    self_judged. scale: of the guidance, 1 is Bayes' rule. every_n_validations: 0 is never. columns,
    unguided_columns: of the grid. num_metric_samples: images that are measured, 0 for none.
    sampler: DDIM with 20 steps and eta 1 if none is given. batch_size: images at a time. seed: of
    the noise.
    """

    def __init__(
        self,
        classifier: str | None = None,
        diffusion: str | None = None,
        judge: str | None = None,
        scale: float = 5.0,
        every_n_validations: int = 1,
        columns: int = 8,
        unguided_columns: int = 2,
        num_metric_samples: int = 200,
        sampler: Sampler | None = None,
        batch_size: int = 256,
        seed: int = 0,
    ) -> None:
        for name, value, least in (
            ("every_n_validations", every_n_validations, 0),
            ("columns", columns, 1),
            ("unguided_columns", unguided_columns, 0),
            ("num_metric_samples", num_metric_samples, 0),
            ("batch_size", batch_size, 1),
        ):
            if value < least:
                raise InputError(f"guided_sampler.{name} {value}: wanted at least {least}")
        if num_metric_samples == 1:
            raise InputError(
                "guided_sampler.num_metric_samples 1: one image has no distribution; wanted 0 or "
                "at least 2"
            )
        self.paths = {"classifier": classifier, "diffusion": diffusion, "judge": judge}
        self.scale, self.every_n_validations = scale, every_n_validations
        self.columns, self.unguided_columns, self.num_metric_samples = (
            columns,
            unguided_columns,
            num_metric_samples,
        )
        self.sampler, self.batch_size, self.seed = (
            sampler or DDIM(steps=20, eta=1.0),
            batch_size,
            seed,
        )
        self.folder: Path | None = None
        self.trust = checkpoints.Trust()
        self.validations = 0
        self._loaded: dict[str, Loaded] = {}
        self._noticed: set[str] = set()
        self._reference: tuple[str, Tensor, float] | None = None
        self._began = self._spent = 0.0

    resumes = ("validations",)
    """The state that a continued run reads."""

    def state_dict(self) -> dict[str, Any]:
        return {"validations": self.validations}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        try:
            self.validations = schema.integer(state_dict["validations"], 0, 2**53)
        except ValueError as error:
            raise InputError(f"the state of guided_sampler in this checkpoint: {error}") from error

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look for the partner and the judge. Raises InputError for one that is there and does not
        fit, before anything was trained.
        """
        self._began, self._spent = time.perf_counter(), 0.0
        folder = self.folder or Path(trainer.log_dir or trainer.default_root_dir)
        self.folder = folder
        if not self._active(trainer, pl_module):
            return
        assert isinstance(pl_module, TrainingModule)
        pl_module.data.schedule.levels(self.sampler.steps, self.sampler.spacing)
        self.paths["classifier"] = self.paths["classifier"] or pl_module.partner
        with isolate_rng():
            for kind in self._wanted(pl_module):
                self._look_for(kind, trainer, pl_module)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.sanity_checking or not self._active(trainer, pl_module):
            return
        assert isinstance(pl_module, TrainingModule)
        self.validations += 1
        if self.validations % self.every_n_validations:
            return
        with self._timed(), isolate_rng():
            for kind in self._wanted(pl_module):
                try:
                    self._look_for(kind, trainer, pl_module)
                except InputError as error:
                    self._notice(f"{kind}: {error}", trainer)
            self._run(trainer, pl_module)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._spent and trainer.is_global_zero:
            whole = time.perf_counter() - self._began
            print(
                f"guided_sampler: {self._spent:.1f} s of {whole:.1f} s, {self._spent / whole:.1%} "
                "of the run",
                file=sys.stderr,
            )

    def _active(self, trainer: Trainer, module: LightningModule) -> bool:
        trains_one = isinstance(module, TrainingModule) and isinstance(
            module.ema, Denoiser | NoisyClassifier
        )
        return (
            trains_one
            and bool(self.every_n_validations)
            and trainer.state.fn == "fit"
            and not trainer.fast_dev_run  # type: ignore[attr-defined]
        )

    @contextmanager
    def _timed(self) -> Iterator[None]:
        begin = time.perf_counter()
        try:
            yield
        finally:
            self._spent += time.perf_counter() - begin

    @staticmethod
    def _partner_of(module: TrainingModule) -> str:
        return "classifier" if isinstance(module.ema, Denoiser) else "diffusion"

    def _wanted(self, module: TrainingModule) -> list[str]:
        return [self._partner_of(module)] + (
            ["judge"] if self.num_metric_samples and self.paths["judge"] else []
        )

    def _look_for(self, kind: str, trainer: Trainer, module: TrainingModule) -> None:
        """Load the newest checkpoint of `kind`, if it is there and was not loaded yet, on all
        processes or on none.

        Raises InputError if it is there and is not what was wanted; what was loaded before stays.
        """
        where = self.paths[kind]
        assert self.folder is not None
        newest = (
            _newest(where, self.folder.absolute().parent.parent)
            if trainer.is_global_zero
            else (None, 0.0)
        )
        found, written = trainer.strategy.broadcast(newest)
        if found is None:
            if kind not in self._loaded:
                named = f"nothing at {where} yet" if where else "none named"
                without = (
                    _WITHOUT_BOTH
                    if isinstance(module.ema, Denoiser) and self._guides_itself(module.ema)
                    else _WITHOUT
                )
                self._notice(f"{kind}: {named}; {without[kind]}", trainer)
            return
        if kind in self._loaded and (self._loaded[kind].file, self._loaded[kind].written) == (
            found,
            written,
        ):
            return
        problem, model = None, None
        try:
            self._check(kind, found, module)
            model = checkpoints.load(found, device=module.device, trust=self.trust)
        except (InputError, OSError) as error:
            problem = InputError(str(error))
        if not trainer.strategy.reduce_boolean_decision(problem is None, all=True):
            raise problem or InputError(f"{found}: another process could not read it")
        self._loaded[kind] = Loaded(found, written, model)
        if trainer.is_global_zero:
            print(f"guided_sampler: {kind} {found}", file=sys.stderr)

    def _check(self, kind: str, file: Path, module: TrainingModule) -> None:
        assert module.ema is not None
        mine = (
            Path("this run"),
            checkpoints.Card(**checkpoints.describe(module.ema, module.data.name)),
        )
        theirs = (file, checkpoints.read(file))
        if kind == "judge":
            checkpoints.check_judge(theirs, mine)
        elif kind == "classifier":
            checkpoints.check_pair(mine, theirs)
        else:
            checkpoints.check_pair(theirs, mine)

    def _run(self, trainer: Trainer, module: TrainingModule) -> None:
        denoiser, guide = self._networks(module)
        if denoiser is None:
            return
        term = self._term(denoiser, guide)
        names = module.data.class_names
        rows = min(len(names), ROWS)
        guided_labels = list(range(rows)) * self.columns
        plain_labels = list(range(rows)) * (self.unguided_columns if term else self.columns)
        # With a row for each class the images in the grid are the first of those that are measured.
        first = 0 if rows == len(names) else len(guided_labels)
        total = first + self.num_metric_samples
        labels = guided_labels + [
            i % len(names) for i in range(len(guided_labels) - first, total - first)
        ]
        try:
            plain = self._images(trainer, denoiser, plain_labels)
            guided = self._images(trainer, denoiser, labels, term, guide) if term else None
        except HARMLESS as error:
            self._notice(f"no samples: {error}", trainer)
            return
        measures: dict[str, float] = {}
        if trainer.is_global_zero:
            try:
                picture = self._picture(plain, guided, rows, names)
                self._save(picture, trainer)
                if (
                    guided is not None
                    and (guide or "judge" in self._loaded)
                    and self.num_metric_samples
                ):
                    measures = self._measure(
                        guided[first:total],
                        torch.tensor(labels[first:total]),
                        guide,
                        trainer,
                        module,
                    )
            except HARMLESS as error:
                self._notice(f"no picture or no measures: {error}", trainer)
        module.log_dict(trainer.strategy.broadcast(measures))

    def _networks(self, module: TrainingModule) -> tuple[Denoiser | None, NoisyClassifier | None]:
        loaded = self._loaded.get(self._partner_of(module))
        partner = loaded.model if loaded else None
        if isinstance(module.ema, Denoiser):
            return module.ema, partner
        assert isinstance(module.ema, NoisyClassifier)
        return partner, module.ema

    def _guides_itself(self, denoiser: Denoiser) -> bool:
        return denoiser.null_label is not None and self.paths["classifier"] is None

    def _term(self, denoiser: Denoiser, guide: NoisyClassifier | None) -> Rule | None:
        if guide:
            return ClassifierGuidance(self.scale)
        return ClassifierFree(self.scale) if self._guides_itself(denoiser) else None

    def _images(
        self,
        trainer: Trainer,
        denoiser: Denoiser,
        labels: list[int],
        term: Rule | None = None,
        guide: NoisyClassifier | None = None,
    ) -> Tensor:
        """All images, uint8 (N, C, H, W) on the host, of which this process makes its share. Raises
        on all processes alike.
        """
        images = torch.zeros(len(labels), *denoiser.image_shape, dtype=torch.uint8)
        problem = None
        rank, processes, size = (
            trainer.global_rank,
            trainer.world_size,
            min(self.batch_size, len(labels)),
        )
        rule = Chain([term, Clamp()] if term else [Clamp()])
        dtype = DTYPES.get(str(trainer.precision), torch.float32)
        options: dict[str, Any] = {
            "seed": self.seed,
            "batch_size": self.batch_size,
            "shard": (rank, processes),
            "dtype": dtype,
        }
        try:
            chunks = generate(denoiser, labels, self.sampler, rule, guide, **options)
            for start, chunk in zip(range(rank * size, len(labels), processes * size), chunks):
                images[start : start + len(chunk)] = chunk
        except HARMLESS as error:
            problem = error
        if not trainer.strategy.reduce_boolean_decision(problem is None, all=True):
            raise problem or InputError("another process could not make its share")
        if processes == 1:
            return images
        return trainer.strategy.reduce(
            images.to(trainer.strategy.root_device), reduce_op="sum"
        ).cpu()

    def _picture(
        self, plain: Tensor, guided: Tensor | None, rows: int, names: tuple[str, ...]
    ) -> Image:
        """A row a class; images lie column by column, so that the same place in `plain` and
        `guided` is the same noise.
        """
        left = plain.reshape(-1, rows, *plain.shape[1:]).transpose(0, 1)
        if guided is None:
            return grid(list(left), names[:rows])
        right = guided[: rows * self.columns].reshape(-1, rows, *plain.shape[1:]).transpose(0, 1)
        gap = torch.full_like(right[:, :1], 255)
        return grid(
            list(torch.cat([left, gap, right] if self.unguided_columns else [right], dim=1)),
            names[:rows],
        )

    def _save(self, picture: Image, trainer: Trainer) -> None:
        assert self.folder is not None
        samples = self.folder / "samples"
        samples.mkdir(parents=True, exist_ok=True)
        path = samples / f"step_{trainer.global_step:07}.png"
        with whole(path) as unfinished:
            picture.save(unfinished, format="png")
        for logger in trainer.loggers:
            try:
                _show(logger, picture, trainer.global_step)
            except Exception as error:  # a logger's network may fail in its own ways, and is no reason to lose a training
                self._notice(f"{type(logger).__name__} did not take the picture: {error}", trainer)

    def _measure(
        self,
        images: Tensor,
        labels: Tensor,
        guide: NoisyClassifier | None,
        trainer: Trainer,
        module: TrainingModule,
    ) -> dict[str, float]:
        judge = self._loaded.get("judge")
        eyes = str(judge.file) if judge else "the guiding classifier itself"

        def see(images: Tensor) -> tuple[Tensor, Tensor]:
            if judge:
                return look(judge.model, images)
            assert guide is not None
            return look_with_guide(guide, images)

        if self._reference is None or self._reference[0] != eyes or judge is None:
            reference = see(sample_images(module.data.split("val"), REFERENCE).images)[0]
            real = see(sample_images(module.data.split("train"), len(images)).images)[0]
            self._reference = eyes, reference, frechet_distance(reference, real)
        _, reference, real_distance = self._reference
        seen, classes = see(images)
        values = {
            "accuracy": accuracy(classes, labels),
            "fid_lite": frechet_distance(reference, seen),
            "fid_lite_real": real_distance,
        }
        record = {
            "step": trainer.global_step,
            "n": len(images),
            "scale": self.scale,
            "features": eyes,
            "reference": len(reference),
        }
        assert self.folder is not None
        with (self.folder / "samples" / "measures.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps({**record, **values}) + "\n")
        if f"measured by {eyes}" not in self._noticed:
            self._noticed.add(f"measured by {eyes}")
            print(
                f"guided_sampler: {len(images)} samples at scale {self.scale:g}, judged by {eyes}; FID-lite in its features against "
                f"{len(reference)} held-out images of {module.data.name}; {len(images)} real training images score {real_distance:.3g}",
                file=sys.stderr,
            )
        prefix = "guided" if judge else "self_judged"
        return {f"{prefix}/{name}": value for name, value in values.items()} | {
            f"{prefix}/n": float(len(images))
        }

    def _notice(self, text: str, trainer: Trainer) -> None:
        """Say it once."""
        text = " ".join(text.split())
        if text not in self._noticed and trainer.is_global_zero:
            print(f"guided_sampler: {text}", file=sys.stderr)
        self._noticed.add(text)


_WITHOUT = {
    "classifier": "grids are unguided until one appears",
    "diffusion": "no samples until one appears",
    "judge": "the guiding classifier judges itself until one appears",
}

_WITHOUT_BOTH = {
    "classifier": "the diffusion model guides itself by the labels that it was trained with and without",
    "judge": "no measures until one appears",
}
"""The same for a diffusion model that guides itself."""


def _show(logger: Any, picture: Image, step: int) -> None:
    """Hand the picture to a logger that takes pictures: as PIL to Weights & Biases, which would
    read floats as black, else as bytes.
    """
    if hasattr(logger, "log_image"):
        logger.log_image(key="guided/samples", images=[picture], step=step)
    elif hasattr(logger.experiment, "add_image"):
        logger.experiment.add_image(
            "guided/samples", np.asarray(picture.convert("RGB")), step, dataformats="HWC"
        )


def _newest(where: str | None, beside: Path) -> tuple[Path | None, float]:
    """The checkpoint file that `where` means, or a run of that name in `beside`, and its time, if
    there is one.
    """
    try:
        file = checkpoints.find_partner(where, beside) if where else None
        return file, file.stat().st_mtime if file else 0.0
    except (InputError, OSError):
        return None, 0.0
