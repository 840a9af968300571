"""Going on with a training: what is read of its checkpoint, entry by entry, and nothing else.

A checkpoint holds weights, counters of the loops, the states of optimisers, schedules of the
learning rate and callbacks. Each is held against the live object that it is for: the same names,
tensors of the same shapes, counters where there are counters. No path, no function and no name of a
class is taken from it; what is not understood is left out.
"""

import math
from collections.abc import Mapping
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch import __version__ as lightning_version
from lightning.pytorch.callbacks import Checkpoint, EarlyStopping, Timer
from torch import Tensor
from torch.optim import Adam, Optimizer
from torch.optim.lr_scheduler import LRScheduler

from cgd_lightning.checkpoints import schema
from cgd_lightning.checkpoints.files import mismatch
from cgd_lightning.errors import InputError, one_line

LARGEST = 2**53

STATES: dict[type[Callback], tuple[str, ...]] = {
    EarlyStopping: ("wait_count", "stopped_epoch", "best_score", "patience"),
    Timer: ("time_elapsed",),
}
"""Of Lightning's callbacks, those that have a state of numbers, and its entries."""

SCALER = ("scale", "growth_factor", "backoff_factor", "growth_interval", "_growth_tracker")


def checked(checkpoint: Mapping[str, Any], module: LightningModule) -> dict[str, Any]:
    """What of `checkpoint`, as `read_training` gives it, may reach the objects of a run of
    `module`.

    `fit_states` looks at the states of optimisers and learning rates, once these are there.

    Raises InputError, naming file and entry, for what does not fit them.
    """
    trainer = module.trainer
    where = f"{trainer.ckpt_path}"
    kept = {
        "pytorch-lightning_version": lightning_version,
        "state_dict": _weights(checkpoint.get("state_dict"), module, where),
    }
    try:
        for name in ("epoch", "global_step"):
            kept[name] = schema.integer(checkpoint[name], 0, LARGEST)
        if trainer.state.fn != "fit":
            return {**kept, "callbacks": {}}
        kept["loops"] = {
            "fit_loop": _counters(
                checkpoint["loops"].get("fit_loop"), trainer.fit_loop.state_dict()
            )
        }
        kept["optimizer_states"] = _listed(checkpoint["optimizer_states"])
        kept["lr_schedulers"] = _listed(checkpoint["lr_schedulers"])
        kept["callbacks"] = _callbacks(checkpoint.get("callbacks") or {}, trainer)
        kept |= _own_states(checkpoint, trainer)
    except InputError:
        raise
    except _ODD as error:
        raise InputError(f"{where}: not the state of such a training: {one_line(error)}") from error
    return kept


_ODD = (ValueError, TypeError, KeyError, AttributeError, RuntimeError, IndexError)
"""What comes of looking at a state that is none."""


def fit_states(kept: dict[str, Any], trainer: Trainer) -> None:
    """Put into `kept`, as `checked` gives it, the states of optimisers and learning rates, as far
    as they fit those of `trainer`.

    Raises InputError, naming file and entry, for what does not.
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
    except _ODD as error:
        raise InputError(
            f"{trainer.ckpt_path}: not the state of such a training: {one_line(error)}"
        ) from error


def _weights(state: Any, module: LightningModule, where: str) -> dict[str, Tensor]:
    if not isinstance(state, dict) or not all(
        isinstance(value, Tensor) for value in state.values()
    ):
        raise InputError(f"{where}: its weights are damaged")
    if problem := mismatch(state, module.state_dict()):
        raise InputError(
            f"{where}: its weights are not those of this network: {problem}; give the "
            "configuration of its own run"
        )
    bad = [
        name
        for name, value in state.items()
        if value.is_floating_point() and not bool(value.isfinite().all())
    ]
    if bad:
        raise InputError(
            f"{where}: its weights are not finite, beginning with {bad[0]}; go on from an earlier "
            "one"
        )
    return state


def _counters(value: Any, like: Any) -> Any:
    """`value`, of the same shape as `like`, the live state of a loop: the same entries, numbers and
    bools in the same places.
    """
    if isinstance(like, dict):
        value = schema.mapping(value)
        if not value.keys() - {"combined_loader"} == like.keys() - {"combined_loader"}:
            raise ValueError(
                f"the counters {', '.join(sorted(map(str, value)))[:100]}, where others were wanted"
            )
        return {
            name: _counters(value[name], part)
            for name, part in like.items()
            if name != "combined_loader"
        }
    if type(like) is bool:
        if type(value) is not bool:
            raise ValueError(f"{schema.shown(value)} for a switch")
        return value
    return schema.integer(value, 0, LARGEST)


def _listed(value: Any) -> list[Any]:
    if not isinstance(value, list) or len(value) > 16:
        raise ValueError(f"a {type(value).__name__}, where a list of states was wanted")
    return value


def _optimizer(state: Any, live: Optimizer) -> dict[str, Any]:
    schema.mapping(state, ("state", "param_groups"))
    parameters = [parameter for group in live.param_groups for parameter in group["params"]]
    groups = zip(live.state_dict()["param_groups"], _listed(state["param_groups"]), strict=True)
    moments = state["state"]
    if not set(moments) <= set(range(len(parameters))):
        raise ValueError("moments of other parameters")
    names = next(iter(moments.values())).keys() if moments else ()
    if moments and isinstance(live, Adam) and not {"step", "exp_avg", "exp_avg_sq"} <= set(names):
        raise ValueError(
            f"the moments {', '.join(map(str, names))[:100]}, where those of Adam were wanted"
        )
    for index, own in moments.items():
        if own.keys() != names:
            raise ValueError("other moments of one parameter than of another")
        for name, value in own.items():
            _check_moment(name, value, parameters[index])
    return {"state": moments, "param_groups": [_group(theirs, group) for group, theirs in groups]}


def _check_moment(name: str, value: Any, parameter: Tensor) -> None:
    """Raises ValueError unless `value` is the number of steps, or floating numbers in the shape of
    the parameter, or one alone.
    """
    if not isinstance(value, Tensor):
        if name != "step" or type(value) not in (int, float):
            raise ValueError(f"a {type(value).__name__} for {schema.shown(name)} of a parameter")
        schema.scalar(value)
    elif (
        not value.is_floating_point()
        or (value.ndim and value.shape != parameter.shape)
        or (not value.ndim and name.startswith("exp_"))
    ):
        raise ValueError(
            f"{schema.shown(name)}: a tensor {list(value.shape)} of {value.dtype} for a parameter "
            f"{list(parameter.shape)}"
        )


def _group(group: Any, live: dict[str, Any]) -> dict[str, Any]:
    """The settings of `live`, which are those of this run, with the learning rate that `group` had
    come to.
    """
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
    """Whether `value` is what may take the place of a setting: a number for a number, a list of as
    many numbers for a list.
    """
    if isinstance(live, list | tuple):
        alike = isinstance(value, list | tuple) and len(value) == len(live)
        return alike and all(_alike(part, own) for part, own in zip(value, live))
    if type(live) in (int, float):
        return type(value) in (int, float) and math.isfinite(value)
    return type(value) is type(live)


def _schedule(state: Any, live: LRScheduler) -> dict[str, Any]:
    """The state of `live`, with those counters and rates in their place that `state` has for them;
    its functions are its own.
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


def _callbacks(states: Any, trainer: Trainer) -> dict[str, Any]:
    """The states of the callbacks that are there: of ours and Lightning's, numbers alone; of your
    own, plain data.
    """
    kept = {}
    for callback in trainer.callbacks:
        state = schema.mapping(states).get(callback.state_key)
        if state is None:
            continue
        package = type(callback).__module__.partition(".")[0]
        entries = getattr(callback, "resumes", STATES.get(type(callback)))
        if entries is not None:
            found = {
                name: _number(state[name])
                for name in entries
                if schema.mapping(state).get(name) is not None
            }
            if found.keys() == set(entries) or isinstance(callback, Checkpoint):
                kept[callback.state_key] = found
        elif package not in ("lightning", "pytorch_lightning", "cgd_lightning") and not isinstance(
            callback, Checkpoint
        ):
            kept[callback.state_key] = state
    return kept


def _number(value: Any) -> Any:
    if isinstance(value, Tensor) and value.ndim == 0:
        return value
    if isinstance(value, dict):
        return {name: _number(part) for name, part in value.items()}
    if type(value) not in (int, float, bool):
        raise ValueError(f"{schema.shown(value)} in the state of a callback")
    return value


def _own_states(checkpoint: Mapping[str, Any], trainer: Trainer) -> dict[str, Any]:
    """The scale of mixed precision, and what a data module of your own keeps."""
    kept: dict[str, Any] = {}
    scaler = checkpoint.get("MixedPrecision")
    if scaler is not None:
        kept["MixedPrecision"] = {
            name: schema.scalar(value) for name, value in schema.mapping(scaler, SCALER).items()
        }
    name = type(trainer.datamodule).__qualname__
    if name in checkpoint and name not in ("state_dict", "loops", "callbacks"):
        kept[name] = checkpoint[name]
    return kept
