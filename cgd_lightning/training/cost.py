"""What a training costs: said when it begins, and again once its first steps are timed.

    time left = steps left x (time per step)

The time per step is the wall clock's, from the start of one step to the start of the next. The
first steps warm up and do not count, and neither do validations. The clock and one wait for the
device at each end of what is timed are all that is added; no random number is drawn.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import Timer

from cgd_lightning.amounts import DAY, duration
from cgd_lightning.data.folder import Folder
from cgd_lightning.diffusion.codec import Pixels
from cgd_lightning.training.module import TrainingModule
from cgd_lightning.training.notices import Notices

WARM_UP = 2
"""Steps before the first that is timed."""

STEPS, SECONDS = 3, 2.0
"""At least so many steps are timed, and for at least so long."""

WIDTHS = ("model_channels", "width", "block_out_channels")
"""What a network may call the number of its channels."""

SMALL_PIXELS = 64
"""Width of an image from which on latents are the way to train without a GPU."""


class Cost(Callback):
    """Says the size of a training, the time of a step, and how long all steps take.

    Where that is over a day, it says which options to turn down. A trial run says nothing, nor does
    any process but the first.

    Args:
        clock: seconds since some moment.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.clock = clock
        self.notices = Notices("cost")
        self.times: list[float] | None = None
        """Seconds of each step so far; None if none are wanted (any more)."""
        self.start: float | None = None
        """When the clock was started; None while it stands."""
        self.spent = 0.0
        """Seconds of the present step before that."""
        self.first = self.last = 0
        """Steps done when the training began, and when the latest batch did."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        trial = trainer.fast_dev_run  # type: ignore[attr-defined]  # Lightning sets it at run time
        self.times = None
        if trial or not isinstance(pl_module, TrainingModule):
            return
        self.times, self.start, self.spent = [], None, 0.0
        self.first = self.last = trainer.global_step
        self.notices.always(described(trainer, pl_module), trainer)

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        # A step may have several batches, whose gradients are accumulated.
        if self.times is not None and trainer.global_step != self.last:
            self.last = trainer.global_step
            if self.last - self.first > WARM_UP:
                self._end_step(trainer, pl_module)
        if self.times is not None and self.start is None and self.last - self.first >= WARM_UP:
            _wait(trainer)
            self.start = self.clock()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._stop(trainer)

    def _end_step(self, trainer: Trainer, module: LightningModule) -> None:
        """A step ends and the next one begins; after enough of them what they cost is said."""
        assert self.times is not None
        enough = len(self.times) + 1 >= STEPS and sum(self.times) + self._elapsed() >= SECONDS
        if enough:
            self._stop(trainer)
        self.times.append(self._elapsed())
        self.spent = 0.0
        if self.start is not None:
            self.start = self.clock()
        if enough:
            # A device runs behind, so that only the time of all steps together is right there.
            on_cpu = trainer.strategy.root_device.type == "cpu"
            seconds = (statistics.median if on_cpu else statistics.fmean)(self.times)
            self.times = None
            assert isinstance(module, TrainingModule)
            for text in estimate(seconds, self.first, trainer, module):
                self.notices.always(text, trainer)

    def _elapsed(self) -> float:
        """Seconds of the present step."""
        return self.spent + (0.0 if self.start is None else self.clock() - self.start)

    def _stop(self, trainer: Trainer) -> None:
        """The clock stands, once the device has done what it was given."""
        if self.start is not None:
            _wait(trainer)
            self.spent, self.start = self._elapsed(), None


def described(trainer: Trainer, module: TrainingModule) -> str:
    """What is trained, how many parameters, how many steps, and of how many images."""
    assert module.model is not None
    trained = sum(each.numel() for each in module.model.parameters() if each.requires_grad)
    factors = [
        (trainer.world_size, "processes x "),
        (trainer.accumulate_grad_batches, "batches x "),
    ]
    parts = "".join(f"{count} {what}" for count, what in factors if count > 1)
    size = module.data.batch_size
    images = f"{parts}{size} {'image' if size == 1 else 'images'}"
    total, done = total_steps(trainer), trainer.global_step
    if total is None:
        steps = f"steps of {images}, without end"
    elif done:
        steps = f"{total - done} steps left of {total}, each of {images}"
    else:
        steps = f"{total} steps of {images}"
    return f"{module.kind}, {trained:,} parameters to train, {steps}"


def estimate(seconds: float, first: int, trainer: Trainer, module: TrainingModule) -> Iterator[str]:
    """What steps of `seconds` come to, from step `first` on, and how to come below a day."""
    total, step = total_steps(trainer), duration(seconds)
    if total is None:
        yield f"{step} a step, without validations"
        return
    whole = (total - first) * seconds
    steps = f"the {total - first} steps left" if first else f"{total} steps"
    yield f"{step} a step: {steps} take about {duration(whole)}, without validations"
    if whole > DAY and not _stops_before(trainer):
        options = ", ".join(_options(first + DAY / seconds, total, first, trainer, module))
        yield f"{duration(whole)} is over a day; what to turn down: {options}{_recipes(module)}"


def total_steps(trainer: Trainer) -> int | None:
    """Steps of a whole run, None if it has no end."""
    total = trainer.estimated_stepping_batches
    return None if total == float("inf") or total < 0 else int(total)


def _stops_before(trainer: Trainer) -> bool:
    """Whether --trainer.max_time ends the run within a day."""
    callbacks = trainer.callbacks  # type: ignore[attr-defined]  # Lightning sets it at run time
    timers = [each for each in callbacks if isinstance(each, Timer)]
    left = [each.time_remaining() for each in timers]
    return any(seconds is not None and seconds <= DAY for seconds in left)


def _options(
    fitting: float, total: int, first: int, trainer: Trainer, module: TrainingModule
) -> Iterator[str]:
    """The options that make a run shorter, as they are set, the surest first.

    fitting: steps that end within a day. A run that goes on has the network and the images that it
    began with.
    """
    name = "max_steps" if total == trainer.max_steps else "max_epochs"
    value = getattr(trainer, name)
    less = int(value * fitting / total)
    less -= less % 10 ** max(0, len(str(less)) - 2)  # in two digits
    fits = f" ({less} fit in a day)" if less else ""
    yield f"--trainer.{name}, now {value}{fits}"
    if first:
        return
    assert module.model is not None
    settings = getattr(module.model.network, "init_args", {})
    for width in WIDTHS:
        if width in settings:
            yield f"--model.network.{width}, now {settings[width]} (half takes about a quarter)"
    if isinstance(module.data, Folder) and isinstance(module.data.codec, Pixels):
        side = module.data.image_shape[-1]
        yield f"--data.image_size, now {side} (half takes about a quarter)"
    if module.data.batch_size > 1:
        yield f"--data.batch_size, now {module.data.batch_size} (half takes about half)"


def _recipes(module: TrainingModule) -> str:
    """Where a folder of images is trained on in pixels, that there is another way."""
    data = module.data
    if not (isinstance(data, Folder) and isinstance(data.codec, Pixels)):
        return ""
    if data.image_shape[-1] < SMALL_PIXELS:
        return ""
    return ". The packaged folder-*.yaml finish on a laptop, folder-large-*.yaml want a GPU"


def _wait(trainer: Trainer) -> None:
    """Until the device has done all that it was given."""
    device = trainer.strategy.root_device
    accelerator = torch.accelerator.current_accelerator()
    if accelerator is not None and accelerator.type == device.type:
        torch.accelerator.synchronize(device)
