"""ComfyUI's HTTP and websocket interface, as far as the tests and the pictures of the docs use it."""

from __future__ import annotations

import asyncio
import io
import json
import struct
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    import aiohttp

Message = tuple[str, dict[str, Any]]
ENDS = {
    "execution_success": "success",
    "execution_error": "error",
    "execution_interrupted": "interrupted",
}
_PREVIEW, _PREVIEW_WITH_METADATA = 1, 4


class RejectedError(RuntimeError):
    """The server refused a prompt; `node_errors` says which node and why."""

    def __init__(self, answer: dict[str, Any]):
        super().__init__(json.dumps(answer)[:2000])
        self.node_errors: dict[str, Any] = answer.get("node_errors", {})


@dataclass
class Run:
    """One prompt from start to end.

    Attributes:
        refused: errors of nodes that the server leaves out while it runs the rest.
        end: success, error or interrupted.
        messages: what the server sent about this prompt, in order, without previews.
        previews: (id of the node, picture), in order.
        texts: (id of the node, text that it shows below its widgets), in order.
    """

    prompt_id: str
    refused: dict[str, Any] = field(default_factory=dict)
    end: str = ""
    messages: list[Message] = field(default_factory=list)
    previews: list[tuple[str, Image.Image]] = field(default_factory=list)
    texts: list[tuple[str, str]] = field(default_factory=list)

    def cached(self) -> set[str]:
        """Ids of the nodes whose result was taken from an earlier run."""
        return {node for kind, data in self.messages if kind == "execution_cached" for node in data["nodes"]}

    def executed(self) -> set[str]:
        """Ids of the nodes that were run."""
        started = [data["node"] for kind, data in self.messages if kind == "executing"]
        return {node for node in started if node is not None} - self.cached()

    def shown(self, node: str) -> dict[str, Any]:
        """What a node showed in the graph, such as {"images": [...]}."""
        results = [d["output"] for kind, d in self.messages if kind == "executed" and d["node"] == node]
        return (results[-1] if results else None) or {}

    def progress(self, node: str) -> list[tuple[int, int]]:
        """(value, max) of each report of progress of a node."""
        return [
            (d["value"], d["max"]) for kind, d in self.messages if kind == "progress" and d["node"] == node
        ]

    def error(self) -> str:
        """The exception of the node that failed, "" when none did."""
        for kind, data in self.messages:
            if kind == "execution_error":
                return f"{data['node_type']}: {data['exception_type']}: {data['exception_message']}"
        return ""


Watch = Callable[["ComfyClient", Run, Message], None]
"""Called at every message while a prompt runs; may call the client, for example to interrupt."""


class ComfyClient:
    """A client of one server. Each run opens its own websocket and closes it."""

    def __init__(self, url: str):
        self.url = url

    def get(self, path: str, **query: str) -> Any:
        return json.loads(self.read(path, **query))

    def read(self, path: str, **query: str) -> bytes:
        address = f"{self.url}{path}" + (f"?{urllib.parse.urlencode(query)}" if query else "")
        with urllib.request.urlopen(address, timeout=60) as answer:
            return answer.read()

    def interrupt(self) -> None:
        urllib.request.urlopen(
            urllib.request.Request(f"{self.url}/interrupt", data=b"{}"), timeout=60
        ).close()

    def run(
        self,
        prompt: dict[str, Any],
        watch: Watch | None = None,
        patience: float = 300,
        workflow: dict[str, Any] | None = None,
    ) -> Run:
        """Queue a prompt in the API's format and follow it to its end.

        workflow: the same graph as the editor has it, which it sends along for the files.

        Raises:
            RejectedError: the server does not accept the prompt.
            TimeoutError: no end within `patience` seconds; the prompt is interrupted first.
        """
        sent = {"prompt": prompt, "client_id": uuid.uuid4().hex}
        if workflow is not None:
            sent["extra_data"] = {"extra_pnginfo": {"workflow": workflow}}
        return asyncio.run(self._run(sent, watch, patience))

    def images(self, run: Run, node: str) -> list[np.ndarray]:
        """[h, w, 3] uint8 per picture that a node showed or saved."""
        return [self.image(found) for found in run.shown(node).get("images", [])]

    def image(self, found: dict[str, str]) -> np.ndarray:
        data = self.read("/view", **{key: found[key] for key in ("filename", "subfolder", "type")})
        return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))

    async def _run(self, sent: dict[str, Any], watch: Watch | None, patience: float) -> Run:
        import aiohttp

        address = f"{self.url}/ws?clientId={sent['client_id']}"
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(address, max_msg_size=0) as socket,
        ):
            await socket.send_json({"type": "feature_flags", "data": {"supports_preview_metadata": True}})
            async with session.post(f"{self.url}/prompt", json=sent) as answer:
                accepted = await answer.json()
            if answer.status != 200:
                raise RejectedError(accepted)
            run = Run(accepted["prompt_id"], refused=accepted.get("node_errors") or {})
            try:
                await asyncio.wait_for(self._follow(socket, run, watch), patience)
            except asyncio.TimeoutError:
                self.interrupt()
                raise
            return run

    async def _follow(self, socket: aiohttp.ClientWebSocketResponse, run: Run, watch: Watch | None) -> None:
        async for frame in socket:
            if isinstance(frame.data, bytes):
                preview = _preview(frame.data)
                if preview is None:
                    continue
                run.previews.append(preview)
                message: Message = ("preview", {"node": preview[0]})
            else:
                told = json.loads(frame.data)
                message = (told["type"], told.get("data", {}))
                if message[1].get("prompt_id") != run.prompt_id:
                    continue
                run.messages.append(message)
                if message[0] == "lineas.told":
                    run.texts.append((message[1]["node"], message[1]["text"]))
            if watch is not None:
                watch(self, run, message)
            if message[0] in ENDS:
                run.end = ENDS[message[0]]
                return
        raise ConnectionError(f"The server closed the websocket during prompt {run.prompt_id}.")


def _preview(data: bytes) -> tuple[str, Image.Image] | None:
    """(id of the node, "" when it is not told; picture), None for other binary messages."""
    kind, length = struct.unpack(">II", data[:8])
    if kind == _PREVIEW:
        return "", Image.open(io.BytesIO(data[8:]))
    if kind == _PREVIEW_WITH_METADATA:
        told = json.loads(data[8 : 8 + length])
        return str(told["node_id"]), Image.open(io.BytesIO(data[8 + length :]))
    return None
