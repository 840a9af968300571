"""The checkpoints beside a training: the partner of the network in training, and the judge.

A diffusion model wants a classifier and a classifier a diffusion model. Neither need be there yet,
and the newest one counts: all are looked for again and again, by the first process, and loaded on
all processes or on none.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer

from cgd_lightning import checkpoints
from cgd_lightning.diffusion.classifier import NoisyClassifier
from cgd_lightning.diffusion.denoiser import Denoiser
from cgd_lightning.errors import InputError
from cgd_lightning.training.module import TrainingModule
from cgd_lightning.training.notices import Notices

WITHOUT = {
    "classifier": "grids are unguided until one appears",
    "diffusion": "no samples until one appears",
    "judge": "the guiding classifier judges itself until one appears",
}

WITHOUT_BOTH = {
    "classifier": "the diffusion model guides itself by the labels that it was trained with and "
    "without",
    "judge": "no measures until one appears",
}
"""The same for a diffusion model that guides itself."""


@dataclass(frozen=True)
class Loaded:
    """A checkpoint that was read, and when it was written."""

    file: Path
    written: float
    model: Any


class Partners:
    """Finds, checks and loads the networks that go with the one in training.

    classifier, diffusion, judge: run or file of each, where the user named it. trust: whose classes
    a checkpoint may name.
    """

    def __init__(
        self,
        classifier: str | None,
        diffusion: str | None,
        judge: str | None,
        trust: checkpoints.Trust,
        notices: Notices,
    ) -> None:
        self.named = {"classifier": classifier, "diffusion": diffusion, "judge": judge}
        self.trust, self.notices = trust, notices
        self.loaded: dict[str, Loaded] = {}

    @property
    def judge(self) -> Loaded | None:
        """The judge, once there is one."""
        return self.loaded.get("judge")

    def pair(self, module: TrainingModule) -> tuple[Denoiser | None, NoisyClassifier | None]:
        """The moving average of the network in training and its partner.

        They come in the order diffusion model and classifier.
        """
        partner = self.loaded.get(partner_of(module))
        other = partner.model if partner else None
        if isinstance(module.ema, Denoiser):
            return module.ema, other
        assert isinstance(module.ema, NoisyClassifier)
        return other, module.ema

    def path(self, kind: str, module: TrainingModule) -> str | None:
        """Run or file of the checkpoint of `kind`, as the user named it here or in the training."""
        return self.named[kind] or (module.partner if kind == "classifier" else None)

    def guides_itself(self, denoiser: Denoiser, module: TrainingModule) -> bool:
        """Whether the diffusion model has a null label, and no classifier is named.

        A null label is one that tells it nothing.
        """
        return denoiser.null_label is not None and self.path("classifier", module) is None

    def look_for(self, kind: str, trainer: Trainer, module: TrainingModule, folder: Path) -> None:
        """Load the newest checkpoint of `kind`, if it is there and was not loaded yet.

        folder: of the version that is trained, beside whose run others lie. Raises InputError, on
        all processes alike, for a checkpoint that is there and is not what was wanted; what was
        loaded before stays.
        """
        where, runs = self.path(kind, module), folder.absolute().parent.parent
        newest = _newest(where, runs) if trainer.is_global_zero else (None, 0.0)
        file, written = trainer.strategy.broadcast(newest)
        known = self.loaded.get(kind)
        if file is None:
            if known is None:
                self.say_missing(kind, where, trainer, module)
        elif known is None or (known.file, known.written) != (file, written):
            model = self.load(kind, file, trainer, module)
            self.loaded[kind] = Loaded(file, written, model)
            self.notices.always(f"{kind} {file}", trainer)

    def load(self, kind: str, file: Path, trainer: Trainer, module: TrainingModule) -> Any:
        """The model in `file`, checked against the one in training, on all processes or on none."""
        problem, model = None, None
        try:
            check(kind, file, module)
            model = checkpoints.load(file, device=module.device, trust=self.trust)
        except (InputError, OSError) as error:
            problem = InputError(str(error))
        if not trainer.strategy.reduce_boolean_decision(problem is None, all=True):
            raise problem or InputError(f"{file}: another process could not read it")
        return model

    def say_missing(
        self, kind: str, where: str | None, trainer: Trainer, module: TrainingModule
    ) -> None:
        """Say that there is no such checkpoint, and what follows from it."""
        alone = isinstance(module.ema, Denoiser) and self.guides_itself(module.ema, module)
        named = f"nothing at {where} yet" if where else "none named"
        without = (WITHOUT_BOTH if alone else WITHOUT)[kind]
        self.notices.once(f"{kind}: {named}; {without}", trainer)


WITHOUT_SAMPLES = (
    "name a diffusion model of the same data by --guided_sampler.diffusion, or make no samples by "
    "--guided_sampler.every_n_validations 0"
)


def partner_of(module: TrainingModule) -> str:
    """The kind of network that goes with the one in training."""
    return "classifier" if isinstance(module.ema, Denoiser) else "diffusion"


def check(kind: str, file: Path, module: TrainingModule) -> None:
    """Raises InputError unless the file is of `kind` and goes with the network in training.

    file: a checkpoint.
    """
    assert module.ema is not None
    card = checkpoints.Card(**checkpoints.describe(module.ema, module.data.name))
    mine, theirs = (Path("this run"), card), (file, checkpoints.read(file))
    if kind == "judge":
        checkpoints.check_judge(theirs, mine)
    elif kind == "classifier":
        checkpoints.check_pair(mine, theirs)
    else:
        checkpoints.check_pair(theirs, mine, WITHOUT_SAMPLES)


def _newest(where: str | None, runs: Path) -> tuple[Path | None, float]:
    """The checkpoint file that `where` means, and its time, if there is one.

    `where` may be the name of a run in `runs`.
    """
    try:
        file = checkpoints.find_partner(where, runs) if where else None
        return file, file.stat().st_mtime if file else 0.0
    except (InputError, OSError):
        return None, 0.0
