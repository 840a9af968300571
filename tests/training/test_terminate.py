"""What SIGTERM does to a training, asked of handlers without one."""

import os
import signal
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch.utilities.exceptions import SIGTERMException

from cgd_lightning.training.terminate import StopTogether, soft_termination

MODULE: Any = None


@pytest.fixture(autouse=True)
def heard() -> Iterator[list[int]]:
    """The numbers that came to the handler from before, which is put back."""
    numbers: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: numbers.append(number))
    yield numbers
    signal.signal(signal.SIGTERM, before)


def tell() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def trainer(world_size: int, fn: str = "fit") -> Any:
    connector = SimpleNamespace(received_sigterm=False)
    state = SimpleNamespace(fn=fn)
    return SimpleNamespace(world_size=world_size, state=state, _signal_connector=connector)


def test_sigterm_ends_the_block_and_then_goes_where_it_went(heard: list[int]) -> None:
    with pytest.raises(SIGTERMException), soft_termination():
        tell()
    assert heard == []
    tell()
    assert heard == [signal.SIGTERM]


def test_a_trainer_that_took_sigterm_decides(heard: list[int]) -> None:
    with soft_termination():
        ours: Any = signal.getsignal(signal.SIGTERM)
        signal.signal(signal.SIGTERM, lambda *of: (ours(*of), heard.append(0)))
        tell()
        assert heard == [0]
    tell()
    assert heard == [0, signal.SIGTERM]


def test_in_another_thread_there_is_no_handler_to_set() -> None:
    entered: list[bool] = []

    def enter() -> None:
        with soft_termination():
            entered.append(True)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert entered == [True]


@pytest.mark.parametrize("world_size", [1, 2])
def test_one_of_several_takes_note_and_one_alone_leaves_it_to_lightning(
    world_size: int, heard: list[int]
) -> None:
    stop = StopTogether()
    stop.on_sanity_check_start(trainer(world_size), MODULE)
    stop.on_validation_start(trainer(world_size), MODULE)
    tell()
    assert (stop.told, heard) == ((False, [signal.SIGTERM]) if world_size == 1 else (True, []))


@pytest.mark.parametrize("hook", ["on_validation_start", "on_test_start", "on_predict_start"])
def test_of_several_that_have_nothing_to_save_one_ends_at_once(hook: str) -> None:
    getattr(StopTogether(), hook)(trainer(2, "validate"), MODULE)
    with pytest.raises(SIGTERMException):
        tell()


@pytest.mark.parametrize("others", [False, True])
@pytest.mark.parametrize("told", [False, True])
def test_all_stop_after_the_step_when_any_was_told(
    told: bool, others: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def all_reduce(ours: torch.Tensor, how: object, group: object) -> None:
        assert (how, group) == (torch.distributed.ReduceOp.MAX, "all of them")
        ours |= others

    monkeypatch.setattr(torch.distributed, "all_reduce", all_reduce)
    stop, two = StopTogether(), trainer(2)
    stop.told, stop.group = told, "all of them"
    stop.on_train_batch_end(two, MODULE, None, None, 0)
    assert two._signal_connector.received_sigterm is (told or others)
