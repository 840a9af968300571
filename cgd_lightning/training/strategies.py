"""Which of Lightning's strategies a training can run under: those that copy the network whole.

FSDP and its like cut a network into shards. The moving average, the finding of what is not finite,
checkpoints and guided samples work on whole networks, so that such a strategy is refused.
"""

from typing import Any

from lightning.pytorch.strategies import (
    DeepSpeedStrategy,
    FSDPStrategy,
    ModelParallelStrategy,
    Strategy,
    StrategyRegistry,
    XLAStrategy,
)

from cgd_lightning.errors import InputError

CUTTING = (DeepSpeedStrategy, FSDPStrategy, ModelParallelStrategy, XLAStrategy)


def check_strategy(strategy: Any) -> None:
    """Raises InputError for a strategy that shares out one network over devices.

    strategy: a word of Lightning's, a class, or an object.
    """
    known: Any = StrategyRegistry
    found = known[strategy]["strategy"] if strategy in list(known) else strategy
    kind = found if isinstance(found, type) else type(found)
    if issubclass(kind, Strategy) and issubclass(kind, CUTTING):
        raise InputError(refusal(strategy if isinstance(strategy, str) else kind.__name__))


def refusal(name: str) -> str:
    """Why a strategy of this name is not taken, and what to do."""
    return (
        f"trainer.strategy {name}: shares out one network over devices, and here each has a whole "
        "one; give --trainer.strategy ddp, and for less memory --trainer.precision bf16-mixed, a "
        "smaller data.batch_size or trainer.accumulate_grad_batches"
    )
