"""A stand-in for the Hugging Face hub: the endpoints that huggingface_hub asks for models, over HTTP."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml


class Repositories:
    """What was uploaded: files by repository and path, and the facts of models that a test sets."""

    def __init__(self) -> None:
        self.files: dict[str, dict[str, bytes]] = {}
        self.uploads: dict[str, bytes] = {}
        self.facts: dict[str, dict[str, Any]] = {}
        self.asked: list[tuple[str, str]] = []
        self.private: set[str] = set()

    def commit(self, repo: str) -> str:
        """The revision, as a hash of what is there."""
        state = sorted((path, hashlib.sha1(data).hexdigest()) for path, data in self.files[repo].items())
        return hashlib.sha1(json.dumps(state).encode()).hexdigest()


@contextmanager
def serve() -> Iterator[tuple[str, Repositories]]:
    """A server on a free port; gives its address and what it holds."""
    held = Repositories()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (_Handler,), {"held": held}))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", held
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def ask(address: str, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    """What HF_ENDPOINT, HF_TOKEN and HF_HUB_CACHE do before huggingface_hub is imported."""
    values = {
        "ENDPOINT": address,
        "HUGGINGFACE_CO_URL_TEMPLATE": address + "/{repo_id}/resolve/{revision}/{filename}",
        "HF_HUB_CACHE": str(cache),
        "HF_HUB_OFFLINE": False,
        "HF_HUB_DISABLE_XET": True,  # the hub's newer way to upload is a program of its own
        "HF_HUB_DISABLE_SHARED_BLOBS": True,
    }
    for name, value in values.items():
        for module in ("constants", "file_download"):  # older ones hold names of their own
            monkeypatch.setattr(f"huggingface_hub.{module}.{name}", value, raising=False)
    monkeypatch.setenv("HF_TOKEN", "hf_test")
    monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")


class _Handler(BaseHTTPRequestHandler):
    held: Repositories
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Quiet."""

    def do_POST(self) -> None:
        body = self._body()
        if self._path == "/api/repos/create":
            asked = json.loads(body)
            repo = f"{asked['organization']}/{asked['name']}" if asked.get("organization") else asked["name"]
            self.held.files.setdefault(repo, {})
            if asked.get("private") or asked.get("visibility") == "private":
                self.held.private.add(repo)
            self._json({"url": f"{self._host}/{repo}", "name": repo, "id": repo})
        elif self._path == "/api/validate-yaml":
            head = yaml.safe_load(json.loads(body)["content"].split("---\n")[1])
            wrong = (
                [] if isinstance(head.get("license", ""), str) else [{"message": "license must be a text"}]
            )
            self._json({"errors": wrong, "warnings": []}, 400 if wrong else 200)
        elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/preupload/[^/]+", self._path):
            self._json({"files": [self._mode(found[1], each) for each in json.loads(body)["files"]]})
        elif found := re.fullmatch(r"/([^/]+/[^/]+?)\.git/info/lfs/objects/batch", self._path):
            self._json({"transfer": "basic", "objects": [self._lfs(o) for o in json.loads(body)["objects"]]})
        elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/commit/[^/]+", self._path):
            self._commit(found[1], [json.loads(line) for line in body.splitlines() if line.strip()])
        else:
            self._json({"error": f"no such endpoint {self._path}"}, 404)

    def do_PUT(self) -> None:
        self.held.uploads[self._path.rpartition("/")[2]] = self._body()
        self._json({})

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.held.asked.append((self.command, self._path))
        if found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/[^/]+/(.+)", self._path):
            self._file(found[1], found[2])
        elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/[^/]+)?", self._path):
            self._model(found[1])
        else:
            self._json({"error": f"no such endpoint {self._path}"}, 404)

    def _mode(self, repo: str, file: dict[str, Any]) -> dict[str, Any]:
        mode = "lfs" if file["path"].endswith((".safetensors", ".png")) else "regular"
        return {"path": file["path"], "uploadMode": mode, "shouldIgnore": False, "oid": None}

    def _lfs(self, asked: dict[str, Any]) -> dict[str, Any]:
        actions = {"upload": {"href": f"{self._host}/lfs/{asked['oid']}"}}
        return {"oid": asked["oid"], "size": asked["size"], "actions": actions}

    def _commit(self, repo: str, lines: list[dict[str, Any]]) -> None:
        files = self.held.files[repo]
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.held.uploads[value["oid"]]
                assert hashlib.sha256(files[value["path"]]).hexdigest() == value["oid"]
        commit = self.held.commit(repo)
        self._json({"commitUrl": f"{self._host}/{repo}/commit/{commit}", "commitOid": commit})

    def _file(self, repo: str, path: str) -> None:
        if repo not in self.held.files:
            self._json({"error": "no such repository"}, 404, {"X-Error-Code": "RepoNotFound"})
        elif path not in self.held.files[repo]:
            self._json({"error": "no such file"}, 404, {"X-Error-Code": "EntryNotFound"})
        else:
            data = self.held.files[repo][path]
            tag = hashlib.sha256(data).hexdigest()
            self._send(data, 200, {"X-Repo-Commit": self.held.commit(repo), "ETag": f'"{tag}"'})

    def _model(self, repo: str) -> None:
        if repo not in self.held.files and repo not in self.held.facts:
            self._json({"error": "no such repository"}, 404, {"X-Error-Code": "RepoNotFound"})
            return
        files = [{"rfilename": path} for path in self.held.files.get(repo, {})]
        facts = {"id": repo, "siblings": files, "tags": [], "downloads": 0, "likes": 0, "private": False}
        self._json(facts | self.held.facts.get(repo, {}))

    @property
    def _path(self) -> str:
        return self.path.partition("?")[0]

    @property
    def _host(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"  # type: ignore[attr-defined]

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _json(self, value: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self._send(
            json.dumps(value).encode(), status, {"Content-Type": "application/json", **(headers or {})}
        )

    def _send(self, data: bytes, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)
