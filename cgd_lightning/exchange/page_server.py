"""A server of files for the programs of this machine, which shows a page without publishing it."""

import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cgd_lightning.errors import InputError

HOST = "127.0.0.1"

NAMES = (HOST, "localhost")
"""By which a browser here asks for it. By any other, a page of the web would read what is served,
whose own name it lets point here."""

TYPES = {
    ".css": "text/css",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript",
    ".json": "application/json",
    ".onnx": "application/octet-stream",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".wasm": "application/wasm",
}
"""By the ends of the names: a browser runs no scripts and no WebAssembly of other types, and what
the system believes them to be is not asked."""


class _Files(SimpleHTTPRequestHandler):
    # The class that it comes from declares it as a plain attribute, too.
    extensions_map = {**SimpleHTTPRequestHandler.extensions_map, **TYPES}  # noqa: RUF012

    def send_head(self) -> Any:
        if (self.headers.get("Host") or HOST).rsplit(":", 1)[0] not in NAMES:
            self.send_error(HTTPStatus.FORBIDDEN)
            return None
        folder = Path(self.directory).resolve()
        if not Path(self.translate_path(self.path)).resolve().is_relative_to(folder):
            self.send_error(HTTPStatus.NOT_FOUND)  # a link leads out of it
            return None
        return super().send_head()

    def list_directory(self, path: Any) -> None:
        self.send_error(HTTPStatus.NOT_FOUND)

    def end_headers(self) -> None:
        # Another page may be served at this address tomorrow.
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is said of what is asked for."""


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):  # a browser that went away
            super().handle_error(request, client_address)


@contextmanager
def listening(folder: Path, port: int) -> Iterator[ThreadingHTTPServer]:
    """A server of the files of `folder` to this machine alone; its `serve_forever` answers.

    The folder may be made meanwhile. port: 0 takes any that is free. Raises InputError for a port
    that cannot be had.
    """
    try:
        server = _Server((HOST, port), partial(_Files, directory=str(folder)))
    except (OSError, OverflowError) as error:
        if isinstance(error, OSError) and error.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise
        raise InputError(f"--port {port}: cannot be had; give another, or 0") from error
    with server:
        yield server


def address(server: ThreadingHTTPServer) -> str:
    """Where a browser of this machine finds it."""
    return f"http://{HOST}:{server.server_address[1]}/"
