"""The states of optimisers and learning rates in a checkpoint, held against the live ones.

Moments have the shapes of their parameters, and numbers stand where there are numbers. What a run's
own settings decide, such as betas and weight decay, is never taken from a file.
"""

import math
from typing import Any

from lightning.pytorch import Trainer
from torch import Tensor
from torch.optim import Adam, Optimizer
from torch.optim.lr_scheduler import LRScheduler

from cgd_lightning.checkpoints import schema
from cgd_lightning.errors import InputError, one_line
from cgd_lightning.training.muon import MuonAdamW

ODD = (ValueError, TypeError, KeyError, AttributeError, RuntimeError, IndexError)
"""What comes of looking at a state that is none."""


def not_such(where: str, error: Exception) -> InputError:
    """What is said of a checkpoint in which a state is not of the kind that was wanted."""
    return InputError(f"{where}: not the state of such a training: {one_line(error)}")


def fit_states(kept: dict[str, Any], trainer: Trainer) -> None:
    """Put the states of optimisers and learning rates into `kept`, as far as they fit `trainer`.

    `kept` is as `resume.checked` gives it. Raises InputError, naming file and entry, for a state
    that does not fit.
    """
    try:
        for name, live in (
            ("optimizer_states", trainer.optimizers),
            ("lr_schedulers", trainer.lr_scheduler_configs),
        ):
            if len(kept[name]) != len(live):
                raise ValueError(f"{len(kept[name])} {name}, where {len(live)} were wanted")
        optimizers = zip(trainer.optimizers, kept["optimizer_states"], strict=True)
        kept["optimizer_states"] = [_optimizer(state, optimizer) for optimizer, state in optimizers]
        schedules = zip(trainer.lr_scheduler_configs, kept["lr_schedulers"], strict=True)
        kept["lr_schedulers"] = [_schedule(state, own.scheduler) for own, state in schedules]
    except ODD as error:
        raise not_such(f"{trainer.ckpt_path}", error) from error


def listed(value: Any) -> list[Any]:
    """`value`, a list of at most 16 states. Raises ValueError if it is none."""
    if not isinstance(value, list) or len(value) > 16:
        raise ValueError(f"a {type(value).__name__}, where a list of states was wanted")
    return value


def _optimizer(state: Any, live: Optimizer) -> dict[str, Any]:
    schema.mapping(state, ("state", "param_groups"))
    groups, own = listed(state["param_groups"]), live.state_dict()["param_groups"]
    if len(groups) != len(own):
        raise ValueError(
            f"{len(groups)} groups of parameters, where {len(own)} were wanted: of another "
            "optimiser; give the --model.optimizer of its own run"
        )
    kept = [_group(theirs, group) for group, theirs in zip(own, groups, strict=True)]
    _check_moments(state["state"], live)
    return {"state": state["state"], "param_groups": kept}


def _check_moments(moments: Any, live: Optimizer) -> None:
    """Raises ValueError unless `moments` are of parameters of `live`, the same ones in a group."""
    if not set(moments) <= set(range(sum(len(group["params"]) for group in live.param_groups))):
        raise ValueError("moments of other parameters")
    first = 0
    for group in live.param_groups:
        places = range(first, first + len(group["params"]))
        own = {index: moments[index] for index in places if index in moments}
        _check_group(own, dict(zip(places, group["params"])), _moments_of(live, group))
        first = places.stop


def _moments_of(live: Optimizer, group: dict[str, Any]) -> set[str]:
    """Names of what `live` keeps of a parameter of `group`, as far as they are known here."""
    if isinstance(live, MuonAdamW) and "momentum" in group:
        return {"momentum_buffer"}
    return {"step", "exp_avg", "exp_avg_sq"} if isinstance(live, Adam | MuonAdamW) else set()


def _check_group(moments: Any, parameters: dict[int, Tensor], wanted: set[str]) -> None:
    names = next(iter(moments.values())).keys() if moments else ()
    if moments and not wanted <= set(names):
        raise ValueError(
            f"the moments {', '.join(map(str, names))[:100] or 'of nothing'}, where "
            f"{', '.join(sorted(wanted))} were wanted"
        )
    for index, own in moments.items():
        if own.keys() != names:
            raise ValueError("other moments of one parameter than of another")
        for name, value in own.items():
            _check_moment(name, value, parameters[index])


def _check_moment(name: str, value: Any, parameter: Tensor) -> None:
    """Raises ValueError unless `value` is a number of steps or floats.

    Floats have the shape of the parameter, or there is one alone.
    """
    if not isinstance(value, Tensor):
        if name != "step" or type(value) not in (int, float):
            raise ValueError(f"a {type(value).__name__} for {schema.shown(name)} of a parameter")
        schema.scalar(value)
    elif (
        not value.is_floating_point()
        or (value.ndim and value.shape != parameter.shape)
        or (not value.ndim and (name.startswith("exp_") or name == "momentum_buffer"))
    ):
        raise ValueError(
            f"{schema.shown(name)}: a tensor {list(value.shape)} of {value.dtype} for a parameter "
            f"{list(parameter.shape)}"
        )
    elif not value.isfinite().all():
        raise ValueError(f"{schema.shown(name)}: not finite")


def _group(group: Any, live: dict[str, Any]) -> dict[str, Any]:
    """The settings of `live`, those of this run, with the learning rate of `group`."""
    schema.mapping(group)
    if group["params"] != live["params"]:
        raise ValueError("an optimiser of other parameters")
    if not _alike(group["lr"], live["lr"]) or group["lr"] < 0:
        raise ValueError(f"learning rate {schema.shown(group['lr'])}")
    missing = [
        name
        for name, value in live.items()
        if name not in group and type(value) in (int, float, tuple)
    ]
    if missing:
        raise ValueError(
            f"of another optimiser, which has no {missing[0]}; give the --model.optimizer of its "
            "own run"
        )
    if not _alike(group.get("initial_lr", 0.0), 0.0):
        raise ValueError("initial_lr of an optimiser")
    return {**live, **{name: group[name] for name in ("lr", "initial_lr") if name in group}}


def _alike(value: Any, live: Any) -> bool:
    """Whether `value` is what may take the place of a setting.

    A number does for a number, and a list of as many numbers for a list.
    """
    if isinstance(live, list | tuple):
        alike = isinstance(value, list | tuple) and len(value) == len(live)
        return alike and all(_alike(part, own) for part, own in zip(value, live))
    if type(live) in (int, float):
        return type(value) in (int, float) and math.isfinite(value)
    return type(value) is type(live)


def _schedule(state: Any, live: LRScheduler) -> dict[str, Any]:
    """The state of `live`, with the counters and rates that `state` has for them.

    Its functions are its own.
    """
    own, saved = live.state_dict(), schema.mapping(state)
    kept = {}
    for name, value in own.items():
        numbers = value if isinstance(value, list) else [value]
        plain = all(type(number) in (int, float, bool) for number in numbers)
        if name == "last_epoch" or (plain and name in saved):
            if not _alike(saved[name], value):
                raise ValueError(f"{name} {schema.shown(saved[name])} of a learning rate")
            kept[name] = saved[name]
        else:
            kept[name] = value
    return kept
