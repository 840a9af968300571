"""Watch it learn: guided samples while a network trains, as a picture and as numbers.

At the end of a validation the network in training and its partner's checkpoint are put together, as
`cgd sample` would. The noise is always the same one, and none of the training's.
"""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.seed import isolate_rng

from cgd_lightning.checkpoints import schema
from cgd_lightning.checkpoints.listed import NO_TRUST, Trust
from cgd_lightning.diffusion.classifier import NoisyClassifier
from cgd_lightning.diffusion.denoiser import Denoiser
from cgd_lightning.diffusion.guidance import ClassifierFree, ClassifierGuidance
from cgd_lightning.diffusion.samplers import DDIM, Sampler
from cgd_lightning.errors import InputError
from cgd_lightning.sampling.job import Job
from cgd_lightning.sampling.request import Request
from cgd_lightning.training.images import HARMLESS, computes_in, make_all
from cgd_lightning.training.measures import Measures
from cgd_lightning.training.module import TrainingModule
from cgd_lightning.training.notices import Notices
from cgd_lightning.training.partners import Partners, partner_of
from cgd_lightning.training.pictures import Layout, show


class GuidedSampler(Callback):
    """Guided samples at every n-th validation: a grid, and their class accuracy and FID-lite.

    The grid goes to `samples/` and to every logger. Rows of the grid are classes; the first columns
    are unguided, from the same noise as the guided ones beyond the gap. The moving averages of the
    weights are used.

    A diffusion model that is told the class is told it in every column. One that was trained with
    label dropout guides itself, by `ClassifierFree`, unless a classifier is named; then scale 1 is
    what the unguided columns show.

    Args:
        classifier: run or file of the classifier that guides, while the diffusion model trains. If
            it is not there yet, it is looked for again each time; until then grids are unguided.
        diffusion: run or file of the diffusion model, while the classifier trains.
        judge: run or file of the judge whose features and classes count; without one the guiding
            classifier judges itself, and the measures are called self_judged.
        scale: guidance scale; 0 is off, 1 is Bayes' rule.
        every_n_validations: number of validations from one grid to the next; 0 is never.
        columns: number of guided columns of the grid, at least 1.
        unguided_columns: number of unguided columns, left of these; 0 for none.
        num_metric_samples: number of images that are measured, at least 2; 0 for none.
        sampler: sampler and its settings; DDIM with 20 steps and eta 1 if none is given.
        batch_size: images at a time.
        seed: seed of the noise.
        folder: of `samples/`; without one, that of the first logger.
        trust: whose classes the checkpoints may name.
    """

    resumes = ("validations",)
    """The state that a continued run reads."""

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
        folder: str | Path | None = None,
        trust: Trust = NO_TRUST,
    ) -> None:
        _check("every_n_validations", every_n_validations, 0)
        _check("columns", columns, 1)
        _check("unguided_columns", unguided_columns, 0)
        _check("num_metric_samples", num_metric_samples, 0)
        _check("batch_size", batch_size, 1)
        self.scale, self.every_n_validations, self.folder = scale, every_n_validations, folder
        self.columns, self.unguided_columns = columns, unguided_columns
        self.num_metric_samples = num_metric_samples
        self.notices = Notices("guided_sampler")
        self.partners = Partners(classifier, diffusion, judge, trust, self.notices)
        sampler = sampler or DDIM(steps=20, eta=1.0)
        self.request = Request(sampler=sampler, seed=seed, batch_size=batch_size)
        self.measures = Measures(scale, self.partners, self.notices)
        self.validations = 0
        self._began = self._spent = 0.0

    def state_dict(self) -> dict[str, Any]:
        return {"validations": self.validations}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        try:
            self.validations = schema.integer(state_dict["validations"], 0, 2**53)
        except ValueError as error:
            raise InputError(f"the state of guided_sampler in this checkpoint: {error}") from error

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look for the partner and the judge.

        Raises InputError for one that is there and does not fit, before anything was trained.
        """
        self._began, self._spent = time.perf_counter(), 0.0
        self._here = Path(self.folder or trainer.log_dir or trainer.default_root_dir)
        if not self._active(trainer, pl_module):
            return
        assert isinstance(pl_module, TrainingModule)
        sampler = self.request.sampler
        pl_module.data.schedule.levels(sampler.steps, sampler.spacing)
        with isolate_rng():
            for kind in self._wanted(pl_module):
                self.partners.look_for(kind, trainer, pl_module, self._here)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.sanity_checking or not self._active(trainer, pl_module):
            return
        assert isinstance(pl_module, TrainingModule)
        self.validations += 1
        if self.validations % self.every_n_validations:
            return
        begin = time.perf_counter()
        with isolate_rng():
            for kind in self._wanted(pl_module):
                try:
                    self.partners.look_for(kind, trainer, pl_module, self._here)
                except InputError as error:
                    self.notices.once(f"{kind}: {error}", trainer)
            self._sample(trainer, pl_module)
        self._spent += time.perf_counter() - begin

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._spent:
            whole = time.perf_counter() - self._began
            share = f"{self._spent:.1f} s of {whole:.1f} s, {self._spent / whole:.1%} of the run"
            self.notices.always(share, trainer)

    def _active(self, trainer: Trainer, module: LightningModule) -> bool:
        model = module.ema if isinstance(module, TrainingModule) else None
        trial = trainer.fast_dev_run  # type: ignore[attr-defined]
        fits = trainer.state.fn == "fit" and not trial and self.every_n_validations > 0
        return fits and isinstance(model, Denoiser | NoisyClassifier)

    def _wanted(self, module: TrainingModule) -> list[str]:
        judged = self.num_metric_samples and self.partners.path("judge", module)
        return [partner_of(module), "judge"] if judged else [partner_of(module)]

    def _sample(self, trainer: Trainer, module: TrainingModule) -> None:
        """Make samples, then show, measure and log them; what goes wrong with them is said once."""
        denoiser, guide = self.partners.pair(module)
        if denoiser is None:
            return
        plain = Job(replace(self.request, scale=0.0), denoiser, dtype=computes_in(trainer))
        guided = self._guided(plain, guide, module)
        names = module.data.class_names
        layout = Layout(names, self.columns, self.unguided_columns, self.num_metric_samples)
        columns = self.columns if guided is None else self.unguided_columns
        left = replace(plain, asked=layout.shown(columns)) if columns else None
        right = None if guided is None else replace(guided, asked=layout.guided)
        try:
            unguided, samples = make_all([left, right], trainer)
        except HARMLESS as error:
            self.notices.once(f"no samples: {error}", trainer)
            return
        values: dict[str, float] = {}
        if trainer.is_global_zero:
            try:
                told = denoiser.conditional
                picture = layout.picture(unguided, samples, self.scale, told)
                request = (guided or plain).request
                show(picture, self._here, trainer, self.notices, request)
                if samples is not None:
                    seen = samples[layout.measured], layout.labels
                    values = self.measures.measure(*seen, guide, trainer, module, self._here)
            except HARMLESS as error:
                self.notices.once(f"no picture or no measures: {error}", trainer)
        module.log_dict(trainer.strategy.broadcast(values))

    def _guided(
        self, plain: Job, guide: NoisyClassifier | None, module: TrainingModule
    ) -> Job | None:
        """The same job with guidance, if there is something that guides."""
        if guide is None and not self.partners.guides_itself(plain.denoiser, module):
            return None
        rule = (ClassifierFree if guide is None else ClassifierGuidance)(self.scale)
        return replace(plain, request=replace(self.request, guidance=rule), classifier=guide)


def _check(name: str, value: int, least: int) -> None:
    if value < least:
        raise InputError(f"guided_sampler.{name} {value}: wanted at least {least}")
    if name == "num_metric_samples" and value == 1:
        raise InputError(
            "guided_sampler.num_metric_samples 1: one image has no distribution; wanted 0 or at "
            "least 2"
        )
