"""Settings of a training before objects are made of them.

They tell what is asked for, and what goes without saying.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pkgutil import resolve_name
from typing import Any, get_type_hints

from cgd_lightning.errors import InputError
from cgd_lightning.sampling.hardware import fast_bf16, pick_device
from cgd_lightning.sampling.strategies import check_strategy


def class_of(class_path: str) -> type[Any]:
    """The class at the import path `class_path`.

    Where a function stands there, it is the class that the function says to return.
    """
    found = resolve_name(class_path)
    made = found if isinstance(found, type) else get_type_hints(found).get("return")
    return made if isinstance(made, type) else object


def listed(value: Any) -> list[Any]:
    """What an option holds that takes one thing, a list of things, or none."""
    if isinstance(value, list):
        return value
    return [] if value is None or isinstance(value, bool) else [value]


def fast_precision(accelerator: Any) -> str:
    """Lightning's precision where none was chosen: bf16-mixed where the hardware is fast at it."""
    device = pick_device("cpu" if accelerator == "cpu" else "auto")
    return "bf16-mixed" if fast_bf16(device) else "32-true"


def check_trainer(trainer: Any) -> None:
    """Raises InputError for settings by which Lightning would divide, or cut a network."""
    named = getattr(trainer.strategy, "class_path", None)
    check_strategy(class_of(named) if named else trainer.strategy)
    for name in ("val_check_interval", "accumulate_grad_batches", "check_val_every_n_epoch"):
        value = getattr(trainer, name)
        if type(value) in (int, float) and value <= 0:
            raise InputError(f"trainer.{name} {value}: wanted more than 0")


@contextmanager
def refusals_of_the_trainer() -> Iterator[None]:
    """Raises InputError for what Lightning's trainer refuses while it is made."""
    try:
        yield
    except InputError:
        raise
    except (ValueError, TypeError) as error:
        raise InputError(f"trainer: {str(error).splitlines()[0]}") from error
