"""Which of Lightning's strategies work here: those that give each device the whole network.

FSDP and its like cut a network into shards. Samples, the moving average, the finding of what is not
finite and checkpoints work on whole networks, so that such a strategy is refused. Strategies are
known by their names here, so that Lightning is not imported.
"""

from cgd_lightning.errors import InputError

CUTTING = ("fsdp", "deepspeed", "xla", "model_parallel")
"""How the words for strategies begin that cut a network."""

CUTTING_CLASSES = (
    *("FSDPStrategy", "DeepSpeedStrategy", "ModelParallelStrategy"),
    *("XLAStrategy", "XLAFSDPStrategy"),
)
"""Their classes."""

OF_A_FUNCTION = ("ddp_spawn", "ddp_fork", "ddp_notebook")
"""How the words for strategies begin whose processes run one function, as a training is."""


def check_starts_commands(strategy: str) -> None:
    """Raises InputError for a strategy whose processes do not run the command itself again."""
    if strategy.startswith(OF_A_FUNCTION):
        raise InputError(
            f"trainer.strategy {strategy}: is for trainings; give --trainer.strategy ddp, whose "
            "processes run this command"
        )


def check_strategy(strategy: object) -> None:
    """Raises InputError for a strategy that shares out one network over devices.

    strategy: a word of Lightning's, a class, or an object.
    """
    kind = strategy if isinstance(strategy, type) else type(strategy)
    name = strategy if isinstance(strategy, str) else kind.__name__
    if name.startswith(CUTTING) or any(base.__name__ in CUTTING_CLASSES for base in kind.__mro__):
        raise InputError(
            f"trainer.strategy {name}: shares out one network over devices, and here each has a "
            "whole one; give --trainer.strategy ddp, and for less memory a smaller batch size or a "
            "lower precision"
        )
