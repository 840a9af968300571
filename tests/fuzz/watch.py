"""What a case does beside reading: an audit hook, a canary beside its folder, traps in it.

`Watch` belongs to one folder. While it is open, it collects whatever starts a program, opens a
socket, or writes, moves or removes a file outside of that folder. CPython tells of each of these
by an audit event (PEP 578); what compiled libraries do unseen is looked for afterwards, in the
canary folder.
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any

from cgd_lightning.configuration.files import OWN_FILES

FORBIDDEN = (
    *("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork"),
    *("os.startfile", "os.kill", "os.killpg", "pty.spawn", "socket.", "urllib.Request", "ftplib."),
    *("http.client.connect", "smtplib.", "webbrowser.open", "ctypes.dlopen"),
    *("signal.pthread_kill", "syslog.", "code.__new__", "sqlite3.connect"),
)
"""Beginnings of the events that no reader of a file has any use for."""

HARMLESS = ("socket.gethostname", "os.exec_prefix")

CHANGES = {
    "open": (0,),
    **dict.fromkeys(("os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.chmod"), (0,)),
    **dict.fromkeys(
        ("os.chdir", "os.chown", "os.utime", "os.setxattr", "os.removexattr", "os.mkfifo"), (0,)
    ),
    **dict.fromkeys(("os.rename", "os.link", "shutil.move", "shutil.copyfile"), (0, 1)),
    **dict.fromkeys(("os.symlink", "shutil.copytree"), (1,)),
    **dict.fromkeys(("shutil.rmtree", "shutil.chown", "shutil.unpack_archive"), (0,)),
}
"""Events that change files, and the places of the paths among their arguments."""

OF_NAMES = ("os.remove", "os.rmdir", "os.rename", "os.link", "os.symlink")
"""Of these, such as change a name and not what a link of that name leads to."""

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

TRAPS = ("random.py", "json.py", "evil.py", "yaml.py", "torch.py", "numpy.py", "sitecustomize.py")
TRAP = "open({canary!r} + '/sprung', 'w').close()\n"


class Watch:
    """Open, it collects in `seen` what a case does that it may not.

    folder: where a case may write. `folder`/../canary must stay as it is, and unread, unless
    `may_read` is set.
    """

    may_read = False

    open: "Watch | None" = None
    """The one that is open."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.canary = folder, folder.parent / "canary"
        self.seen: list[str] = []
        # Found here, as looking for it writes files, and holds a lock while the hook asks again.
        self.temporary = os.path.join(os.path.realpath(tempfile.gettempdir()), OWN_FILES)
        if not _hooked:
            _hooked.append(True)
            sys.addaudithook(_hook)

    def set(self) -> None:
        """Put the canary and the traps in their places."""
        self.canary.mkdir(exist_ok=True)
        for name in ("kept", "target"):
            (self.canary / name).write_text("as it was", encoding="utf-8")
        os.utime(self.canary / "kept", (1, 1))
        for name in TRAPS:
            trap = TRAP.format(canary=str(self.canary))
            (self.folder / name).write_text(trap, encoding="utf-8")
        self._before = self._state()

    def __enter__(self) -> "Watch":
        self.seen = []
        self._modules = set(sys.modules)
        Watch.open = self
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        Watch.open = None
        if self._state() != self._before:
            self.seen.append(f"the canary: {self._state()} where {self._before} was wanted")
            shutil.rmtree(self.canary, ignore_errors=True)
            self.set()
        for name in set(sys.modules) - self._modules:
            file = getattr(sys.modules[name], "__file__", None) or ""
            if file.startswith(str(self.folder.parent)):
                self.seen.append(f"import of {name} from {file}")
                del sys.modules[name]

    def _state(self) -> list[tuple[Any, ...]]:
        files = sorted(self.canary.iterdir()) if self.canary.is_dir() else []
        return [(f.name, f.read_bytes(), f.stat().st_mode, f.stat().st_mtime_ns) for f in files]

    def take(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Look at one event."""
        if event.startswith(FORBIDDEN) and event not in HARMLESS:
            self.seen.append(f"{event} {ascii(arguments)[:200]}")
        elif event in ("compile", "exec"):
            code = arguments[-1]
            name = getattr(code, "co_filename", code)
            if str(name).startswith(str(self.folder.parent)):
                self.seen.append(f"{event} of {name}")
        elif event == "open" and not _writes(arguments):
            if not self.may_read and self._is_canary(*arguments):
                self.seen.append(f"{event} {ascii(arguments)[:200]}")
        elif event in CHANGES:
            for place in CHANGES[event]:
                if not self._may_change(arguments[place], follow=event not in OF_NAMES):
                    self.seen.append(f"{event} {ascii(arguments)[:200]}")

    def _is_canary(self, path: Any, _: Any, flags: Any) -> bool:
        if isinstance(path, int) or (isinstance(flags, int) and flags & os.O_NOFOLLOW):
            return False
        return os.path.realpath(os.fsdecode(path)).startswith(str(self.canary))

    def _may_change(self, path: Any, follow: bool) -> bool:
        if isinstance(path, int):  # a file that is open already
            return True
        folder, name = os.path.split(os.path.abspath(os.fsdecode(path)))
        real = os.path.join(os.path.realpath(folder), name)
        real = os.path.realpath(real) if follow else real
        bytecode = f"{os.sep}__pycache__{os.sep}" in real
        own = real == str(self.folder) or real.startswith(f"{self.folder}{os.sep}")
        return own or bytecode or real == os.devnull or real.startswith(self.temporary)


_hooked: list[bool] = []


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    """For the whole life of the process: a hook cannot be taken away."""
    watch = Watch.open
    if watch is not None:
        watch.take(event, arguments)


def _writes(arguments: tuple[Any, ...]) -> bool:
    _, mode, flags = arguments
    asked = isinstance(mode, str) and any(letter in mode for letter in "wax+")
    return asked or bool(isinstance(flags, int) and flags & WRITES)
