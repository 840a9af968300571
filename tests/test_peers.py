"""What a process knows of the others of its command, and what it leaves as it was."""

import os
import signal
import socket
import subprocess
import sys

import pytest

from cgd_lightning import peers
from cgd_lightning.peers import Peers, current, is_first


@pytest.mark.parametrize(
    ("variables", "first"),
    [
        ({}, True),
        ({"LOCAL_RANK": "0", "NODE_RANK": "0"}, True),
        ({"LOCAL_RANK": "1"}, False),
        ({"LOCAL_RANK": "0", "NODE_RANK": "1"}, False),
        ({"LOCAL_RANK": "0", "GROUP_RANK": "1"}, False),
        ({"RANK": "2", "LOCAL_RANK": "0", "GROUP_RANK": "1"}, False),
        ({"SLURM_PROCID": "3"}, False),
    ],
)
def test_one_process_of_all_machines_is_the_first(
    variables: dict[str, str], first: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID", "NODE_RANK", "GROUP_RANK"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert is_first() is first


def test_the_wakeup_handle_of_a_program_is_its_own_again_after_a_command() -> None:
    one, other = socket.socketpair()
    with one, other:
        other.setblocking(False)
        before = signal.set_wakeup_fd(other.fileno())
        try:
            with Peers("cgd fit") as peers, peers.starting():
                peers.met()
                assert signal.set_wakeup_fd(other.fileno()) == other.fileno()
            with Peers("cgd fit") as peers, peers.starting():
                pass
            assert signal.set_wakeup_fd(-1) == other.fileno()
        finally:
            signal.set_wakeup_fd(before)


@pytest.mark.parametrize(
    ("code", "how"),
    [
        ("os.kill(os.getpid(), 40)", "by signal 40"),
        ("os.kill(os.getpid(), 9)", "by SIGKILL"),
        ("sys.exit(3)", "with status 3"),
    ],
)
def test_a_process_that_ended_is_told_by_its_signal_or_status(code: str, how: str) -> None:
    with Peers("cgd fit") as peers:
        child = subprocess.Popen([sys.executable, "-I", "-c", f"import os, sys; {code}"])
        child.wait()
        peers.watch([child])
        assert peers.lost() == f"process 1 of 0 to 1 ended {how}, and so do the others"


def test_processes_and_variables_of_a_command_are_gone_when_it_has_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    monkeypatch.setenv("MASTER_PORT", "1")
    with Peers("cgd fit") as peers:
        child = subprocess.Popen([sys.executable, "-I", "-c", "import time; time.sleep(100)"])
        peers.watch([child])
        os.environ |= {"LOCAL_RANK": "0", "MASTER_PORT": "2"}
        assert current() is peers
    assert child.returncode == -signal.SIGTERM
    assert current() is not peers
    assert "LOCAL_RANK" not in os.environ
    assert os.environ["MASTER_PORT"] == "1"


def test_a_process_ends_though_what_it_cleans_up_fails() -> None:
    program = (
        "from cgd_lightning.peers import Peers\n"
        "with Peers('cgd fit') as peers:\n"
        "    peers.at_last(lambda: 1 / 0)\n"
        "    peers._leave(5)\n"
    )
    assert subprocess.run([sys.executable, "-c", program]).returncode == 5


def test_once_its_command_is_over_a_process_is_left_alone() -> None:
    program = (
        "from cgd_lightning.peers import Peers\n"
        "with Peers('cgd fit') as peers:\n"
        "    peers.stop()\n"
        "    peers._leave(5)\n"
        "raise SystemExit(7)\n"
    )
    assert subprocess.run([sys.executable, "-c", program]).returncode == 7


def test_a_process_that_ends_takes_with_it_what_it_started_and_cleans_up() -> None:
    program = (
        "import subprocess, sys\n"
        "from cgd_lightning.peers import Peers\n"
        "with Peers('cgd fit') as peers:\n"
        "    slow = [sys.executable, '-I', '-c', 'import time; time.sleep(100)']\n"
        "    child = subprocess.Popen(slow)\n"
        "    peers.watch([child])\n"
        "    peers.at_last(lambda: print(child.wait(50), flush=True))\n"
        "    peers._leave(5)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert (done.returncode, done.stdout) == (5, f"{-signal.SIGKILL}\n")


def test_one_that_does_not_stop_when_it_is_told_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "GRACE", 0.1)
    program = (
        "import signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print(flush=True)\n"
        "time.sleep(100)\n"
    )
    deaf = [sys.executable, "-I", "-c", program]
    with Peers("cgd fit") as command:
        child = subprocess.Popen(deaf, stdout=subprocess.PIPE)
        assert child.stdout is not None
        with child.stdout as told:
            assert told.readline() == b"\n"
        command.watch([child])
    assert child.returncode == -signal.SIGKILL


def test_one_that_is_about_to_end_is_waited_for() -> None:
    with Peers("cgd fit") as command:
        child = subprocess.Popen(["sh", "-c", "sleep 0.1; exit 3"])
        command.watch([child])
        told = command.lost()
        command.stop()
    assert told == "process 1 of 0 to 1 ended with status 3, and so do the others"


def test_one_that_nobody_listens_to_ends_with_the_others() -> None:
    program = (
        "import subprocess, time\n"
        "from cgd_lightning import peers\n"
        "peers.GRACE = 0.1\n"
        "with peers.Peers('cgd fit') as command:\n"
        "    command.watch([subprocess.Popen(['sh', '-c', 'exit 3'])])\n"
        "    while True:\n"
        "        try:\n"
        "            time.sleep(100)\n"
        "        except BaseException:\n"
        "            pass\n"  # waits for the others, as the meeting point of processes does
    )
    read, write = os.pipe()
    os.close(read)
    deaf = subprocess.run([sys.executable, "-c", program], stderr=write, timeout=60)
    os.close(write)
    assert deaf.returncode == 1
