"""`cgd`: one command line. Only the standard library is imported until a command is known."""

import gc
import io
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module

from cgd_lightning.peers import Peers

HELP = """usage: cgd COMMAND [OPTIONS]

Classifier-guided diffusion: train a noise predictor and a classifier of noisy images,
then steer the one with the other.

commands:
  fit         train a network:                    cgd fit --config diffusion.yaml
                                                  cgd fit --config classifier.yaml
  sample      make guided images:                 cgd sample --ckpt runs/diffusion --scale 5
  edit        real images as another class:       cgd edit --ckpt RUN --images FILE --to 9
  validate    measure on held-out images:         cgd validate --ckpt_path runs/classifier
  test        the same on test images:            cgd test --ckpt_path runs/classifier
  predict     class probabilities, as CSV:        cgd predict --ckpt_path runs/classifier
  evaluate    what a judge says of samples:       cgd evaluate --samples FOLDER --judge runs/judge
  sweep       which scale to use:                 cgd sweep --ckpt runs/diffusion --scales 0,1,2,5
  likelihood  bits per dimension of test images:  cgd likelihood --ckpt runs/diffusion
  diagnose    is a classifier fit to guide:       cgd diagnose --ckpt runs/classifier
  convert     take over another project's model:  cgd convert 64x64_diffusion.pt --out runs/adm64
  info        what a checkpoint is:               cgd info runs/diffusion
  export      a folder that others read:          cgd export runs/diffusion --out FOLDER
  page        the pair in a browser:              cgd page --ckpt runs/diffusion --serve
  demo        the whole story on handwritten digits, in minutes

options:
  --help, --version; cgd COMMAND --help tells a command's options

settings: a typed option wins over a variable as CGD_SAMPLE__SCALE=3, and that over --config

options of all commands but convert, info and demo:
  --trust NAME  let files name classes of this package, module or class, too
  --trust-size  let files ask for networks of any size
"""

COMMANDS = {
    "fit": "fit",
    "validate": "fit",
    "test": "fit",
    "predict": "fit",
    "sample": "sample",
    "edit": "edit",
    "evaluate": "evaluate",
    "sweep": "sweep",
    "likelihood": "likelihood",
    "diagnose": "diagnose",
    "convert": "convert",
    "info": "info",
    "export": "export",
    "page": "page",
    "demo": "demo",
}


def main(args: list[str] | None = None) -> None:
    """Run one command and exit with its status.

    0 if it was done, 1 if it could not be, 2 for a wrong command line, 130 or 143 if interrupted.
    """
    own_process = args is None
    args = sys.argv[1:] if args is None else args
    if not args or args[0] in ("-h", "--help", "help"):
        print(HELP, end="")
        return
    if args[0] == "--version":
        from importlib.metadata import version

        print(f"cgd-lightning {version('cgd-lightning')}")
        return
    if args[0] not in COMMANDS:
        from cgd_lightning.configuration.words import meant_command

        near = meant_command(args[0], COMMANDS)
        meant = f"did you mean {near}? Commands" if near else "commands"
        _fail(f"no command {args[0]!r}; {meant}: {', '.join(COMMANDS)}", 2)
    _run(args, own_process)


def _run(args: list[str], own_process: bool) -> None:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A name that the terminal does not know is shown by its code.
            stream.reconfigure(errors="backslashreplace")
    with Peers(f"cgd {args[0]}") as peers:
        _do(args, peers, own_process)


def _do(args: list[str], peers: Peers, own_process: bool) -> None:
    try:
        with _terminable(peers):
            if own_process:
                _start_quickly(args)
            command = import_module(f"cgd_lightning.commands.{COMMANDS[args[0]]}")
            command.run(args)
            peers.join()
    except Terminated:
        if peers.told:
            sys.exit(1)
        _stop(f"cgd {args[0]}: terminated", 143, peers)
    except KeyboardInterrupt:
        _stop(f"cgd {args[0]}: interrupted", 130, peers)
    except MemoryError:
        _fail(f"cgd {args[0]}: out of memory; give a smaller batch size or fewer samples", 1)
    except Exception as error:
        if "CGD_DEBUG" in os.environ:
            raise
        _fail(f"cgd {args[0]}: {_in_one_line(error, peers)}", 1)


class Terminated(BaseException):
    """SIGTERM, which ends a command as Ctrl-C does: what is half-written is removed."""


@contextmanager
def _terminable(peers: Peers) -> Iterator[None]:
    """SIGTERM raises Terminated in this block, and `peers` may send it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def terminate(number: int, frame: object) -> None:
        peers.heard()
        raise Terminated

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        peers.stop()
        signal.signal(signal.SIGTERM, before)


def _in_one_line(error: Exception, peers: Peers) -> str:
    """What the user is told of `error`.

    Of an error that nobody foresaw, also its kind, and how to see where it came from.
    """
    from cgd_lightning.errors import InputError, printable

    if isinstance(error, FileExistsError | NotADirectoryError) and error.filename:
        return printable(f"{error.filename}: a file, where a folder was wanted; give another name")
    if isinstance(error, InputError) and str(error).startswith("Caught InputError in DataLoader"):
        return printable(str(error).rpartition("InputError: ")[2])  # without a worker's traceback
    if isinstance(error, InputError | FloatingPointError | OSError | UnicodeError):
        return printable(str(error))
    if isinstance(error, RuntimeError) and type(error).__name__ == "OutOfMemoryError":
        return f"{str(error).splitlines()[0]} Give a smaller batch size, or --precision bf16"
    gone = peers.lost()
    if gone is not None:
        return gone
    unforeseen = printable(str(error))[:500]
    return f"{type(error).__name__}: {unforeseen}; CGD_DEBUG=1 shows where"


def _start_quickly(args: list[str]) -> None:
    """Keep the garbage collector from looking through what imports leave behind.

    This saves half a second's work at start and end. Only for the commands without Lightning, which
    wants to be collected when it ends, and not in a program that calls one of them.
    """
    if args and args[0] in ("sample", "info"):
        gc.disable()
        import torch  # noqa: F401

        gc.freeze()
        gc.enable()


def _stop(message: str, status: int, peers: Peers) -> None:
    """As `_fail`, but the first of several processes speaks for those that it started."""
    if peers.follows:
        sys.exit(status)
    _fail(message, status)


def _fail(message: str, status: int) -> None:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(status)


if __name__ == "__main__":
    main()
