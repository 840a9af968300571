"""A stand-in for the Hugging Face Hub: as much of its API as its own client asks for."""

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import unquote, urlsplit

TOKEN = "hf_standin"


@dataclass
class Hub:
    """What lies on the Hub: {repository: {name: contents}}, and what was asked of it."""

    address: str = ""
    repositories: dict[str, dict[str, bytes]] = field(default_factory=dict)
    private: set[str] = field(default_factory=set)
    gated: set[str] = field(default_factory=set)
    uploads: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def commit(self, repository: str) -> str:
        files = self.repositories[repository]
        told = json.dumps({name: sha256(contents) for name, contents in sorted(files.items())})
        return hashlib.sha1(told.encode()).hexdigest()


def sha256(contents: bytes) -> str:
    return hashlib.sha256(contents).hexdigest()


@contextmanager
def standing_in() -> Iterator[Hub]:
    hub = Hub()

    class Handler(_Handler):
        pass

    Handler.hub = hub
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.address = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        path = self._path()
        if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/(.+))?", path):
            self._info(match[1], match[2] or "main")
        elif match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/tree/(.+)", path):
            self._tree(match[1])
        elif match := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            self._file(match[1], match[3])
        else:
            self._tell(404, {"error": f"no such address: {path}"})

    do_HEAD = do_GET  # noqa: N815  (the name that http.server calls)

    def do_POST(self) -> None:
        path, body = self._path(), self._body()
        if path == "/api/validate-yaml":
            self._tell(200, {"errors": [], "warnings": []})
        elif self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._tell(401, {"error": "Invalid username or password."})
        elif path == "/api/repos/create":
            told = json.loads(body)
            name = f"{told.get('organization', 'user')}/{told['name']}"
            self.hub.repositories.setdefault(name, {})
            self._tell(200, {"url": f"{self.hub.address}/{name}", "name": name})
        elif re.fullmatch(r"/api/models/[^/]+/[^/]+/preupload/.+", path):
            files = [
                {"path": f["path"], "uploadMode": _mode(f["path"]), "shouldIgnore": False}
                for f in json.loads(body)["files"]
            ]
            self._tell(200, {"files": files})
        elif path.endswith(".git/info/lfs/objects/batch"):
            objects = [
                {**o, "actions": {"upload": {"href": f"{self.hub.address}/lfs/{o['oid']}"}}}
                for o in json.loads(body)["objects"]
            ]
            self._tell(200, {"transfer": "basic", "objects": objects})
        elif match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/commit/.+", path):
            self._commit(match[1], body)
        else:
            self._tell(404, {"error": f"no such address: {path}"})

    def do_PUT(self) -> None:
        path, body = self._path(), self._body()
        self.hub.uploads[path.removeprefix("/lfs/")] = body
        self._tell(200, {})

    def _commit(self, repository: str, body: bytes) -> None:
        files = self.hub.repositories[repository]
        for line in body.decode().splitlines():
            told = json.loads(line)
            value = told["value"]
            if told["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif told["key"] == "lfsFile":
                files[value["path"]] = self.hub.uploads[value["oid"]]
        oid = self.hub.commit(repository)
        url = f"{self.hub.address}/{repository}/commit/{oid}"
        self._tell(200, {"success": True, "commitOid": oid, "commitUrl": url})

    def _info(self, repository: str, revision: str) -> None:
        if not self._may_read(repository):
            return
        commit = self.hub.commit(repository)
        if revision not in ("main", commit):
            self._tell(404, {"error": "Invalid rev id"}, {"X-Error-Code": "RevisionNotFound"})
            return
        names = [{"rfilename": name} for name in self.hub.repositories[repository]]
        self._tell(200, {"id": repository, "sha": commit, "siblings": names})

    def _tree(self, repository: str) -> None:
        if self._may_read(repository):
            files = self.hub.repositories[repository].items()
            told = [
                {"type": "file", "path": name, "size": len(contents), "oid": sha256(contents)[:40]}
                for name, contents in files
            ]
            self._tell(200, told)

    def _file(self, repository: str, name: str) -> None:
        if not self._may_read(repository):
            return
        contents = self.hub.repositories[repository][name]
        head = {
            "ETag": f'"{sha256(contents)[:40]}"',
            "X-Repo-Commit": self.hub.commit(repository),
            "Accept-Ranges": "bytes",
        }
        self._send(200, contents, head)

    def _may_read(self, repository: str) -> bool:
        mine = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        if repository in self.hub.gated and not mine:
            self._tell(403, {"error": "Access is restricted"}, {"X-Error-Code": "GatedRepo"})
        elif repository not in self.hub.repositories or (
            repository in self.hub.private and not mine
        ):
            error = {"error": "Repository not found"}
            self._tell(401 if not mine else 404, error, {"X-Error-Code": "RepoNotFound"})
        else:
            return True
        return False

    def _path(self) -> str:
        path = unquote(urlsplit(self.path).path)
        self.hub.asked.append(f"{self.command} {path}")
        return path

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while length := int(self.rfile.readline(), 16):
            body += self.rfile.read(length)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _tell(self, status: int, told: Any, head: dict[str, str] | None = None) -> None:
        kind = {"Content-Type": "application/json"}
        self._send(status, json.dumps(told).encode(), kind | (head or {}))

    def _send(self, status: int, contents: bytes, head: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**head, "Content-Length": str(len(contents))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(contents)


def _mode(path: str) -> str:
    return "lfs" if path.endswith((".safetensors", ".png")) else "regular"
