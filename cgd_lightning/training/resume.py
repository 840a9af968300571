"""Going on with a training: what is read of its checkpoint, entry by entry, and nothing else.

A checkpoint holds weights, counters of the loops, the states of optimisers, schedules of the
learning rate and callbacks. Each is held against the live object that it is for: the same names,
tensors of the same shapes, counters where there are counters. No path, no function and no name of a
class is taken from it; what is not understood is left out.
"""

from collections.abc import Mapping
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch import __version__ as lightning_version
from lightning.pytorch.callbacks import Checkpoint, EarlyStopping, Timer
from torch import Tensor

from cgd_lightning import checkpoints
from cgd_lightning.checkpoints import schema
from cgd_lightning.checkpoints.weights import mismatch
from cgd_lightning.errors import InputError
from cgd_lightning.training.optimizer_states import ODD, listed, not_such
from cgd_lightning.training.training_file import LARGEST

STATES: dict[type[Callback], tuple[str, ...]] = {
    EarlyStopping: ("wait_count", "stopped_epoch", "best_score", "patience"),
    Timer: ("time_elapsed",),
}
"""Of Lightning's callbacks, those that have a state of numbers, and its entries."""

SCALER = ("scale", "growth_factor", "backoff_factor", "growth_interval", "_growth_tracker")


def checked(checkpoint: Mapping[str, Any], module: LightningModule) -> dict[str, Any]:
    """What of `checkpoint` may reach the objects of a run of `module`.

    `checkpoint` is as `read_training` gives it. `optimizer_states.fit_states` looks at those of
    optimisers and learning rates, once these are there.

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
        kept["optimizer_states"] = listed(checkpoint["optimizer_states"])
        kept["lr_schedulers"] = listed(checkpoint["lr_schedulers"])
        kept["callbacks"] = _callbacks(checkpoint.get("callbacks") or {}, trainer)
        kept |= _own_states(checkpoint, trainer)
    except InputError:
        raise
    except ODD as error:
        raise not_such(where, error) from error
    return kept


def _weights(state: Any, module: LightningModule, where: str) -> dict[str, Tensor]:
    if not isinstance(state, dict) or not all(
        isinstance(value, Tensor) for value in state.values()
    ):
        raise InputError(f"{where}: its weights are damaged")
    if problem := mismatch(state, module.state_dict()):
        differs = _other_network(where, module) or problem
        raise InputError(
            f"{where}: its weights are not those of this network: {differs}; give the "
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


def _other_network(file: str, module: LightningModule) -> str:
    """What a checkpoint tells of its network that is otherwise in `module`, as far as it does."""
    ema = getattr(module, "ema", None)
    if ema is None:
        return ""
    theirs = checkpoints.read(file).network
    mine = checkpoints.describe(ema, "")["network"]
    kinds = [str(spec["class_path"]).rpartition(".")[2] for spec in (theirs, mine)]
    if kinds[0] != kinds[1]:
        return f"{kinds[0]} there, {kinds[1]} here"
    there, here = (schema.plain(spec.get("init_args") or {}) for spec in (theirs, mine))
    return ", ".join(
        f"{name} {_shown(there[name])} there, {_shown(here[name])} here"
        for name in sorted(there.keys() & here.keys())
        if there[name] != here[name]
    )


def _shown(value: Any) -> str:
    """A short list of numbers as it is; all else as `schema.shown` has it."""
    if not isinstance(value, list | tuple) or len(value) > 9:
        return schema.shown(value)
    numbers = all(type(number) in (int, float) for number in value)
    return f"[{', '.join(f'{x:g}' for x in value)}]" if numbers else schema.shown(value)


def _counters(value: Any, like: Any) -> Any:
    """`value`, checked against `like`, the live state of a loop.

    It has the same entries, with numbers and bools in the same places.
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


def _callbacks(states: Any, trainer: Trainer) -> dict[str, Any]:
    """The states of the callbacks that are there.

    Of ours and Lightning's, numbers alone; of the user's own, plain data.
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
