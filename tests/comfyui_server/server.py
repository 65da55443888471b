"""A ComfyUI process of its own: loopback, a temporary base folder, this repository as its only pack.

It runs on the CPU; COMFYUI_FLAGS takes the place of --cpu, empty for a GPU.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
PACK = "lineas"
"""The name of the pack's folder in custom_nodes, as the Manager gives it."""
FOLDERS = ("custom_nodes", "input", "output", "temp", "user", "models/checkpoints", "models/loras")


class ServerError(RuntimeError):
    """ComfyUI did not start, or started without the pack."""


@dataclass(frozen=True)
class ComfyServer:
    """A running server: where it listens, the folder it works in and what it has logged."""

    url: str
    base: Path
    log: Path

    def logged(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")


def installations() -> list[Path]:
    """ComfyUI folders to test against, none when there is none.

    `COMFYUI_PATHS` (several, separated as in PATH) or `COMFYUI_PATH` (one) name them; otherwise ~/ComfyUI and
    folders beside it that are called ComfyUI-<version>.
    """
    named = os.environ.get("COMFYUI_PATHS") or os.environ.get("COMFYUI_PATH")
    if named:
        return [Path(part).expanduser() for part in named.split(os.pathsep) if part]
    found = [Path.home() / "ComfyUI", *sorted(Path.home().glob("ComfyUI-[0-9]*"))]
    return [folder for folder in found if (folder / "main.py").is_file()]


@contextmanager
def running(
    comfyui: Path, base: Path, patience: float = 300, pack: Path = REPOSITORY
) -> Iterator[ComfyServer]:
    """Start ComfyUI, wait until it answers, and stop it in any case.

    Args:
        comfyui: folder with ComfyUI's main.py.
        base: empty folder for its models, input, output and user data.
        patience: seconds to wait for it to answer.
        pack: folder of the node pack.

    Raises:
        ServerError: it ended early, did not answer in time, or could not import the pack.
    """
    for folder in FOLDERS:
        (base / folder).mkdir(parents=True, exist_ok=True)
    (base / "custom_nodes" / PACK).symlink_to(pack, target_is_directory=True)
    server = ComfyServer(f"http://127.0.0.1:{_free_port()}", base, base / "comfyui.log")
    with server.log.open("wb") as log:
        process = subprocess.Popen(
            _command(comfyui, server),
            cwd=comfyui,
            env=_environment(comfyui, base),
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        with _ended_by_terminate():
            _wait(process, server, patience)
            yield server
    finally:
        _stop(process)


def _command(comfyui: Path, server: ComfyServer) -> list[str]:
    python = os.environ.get("COMFYUI_PYTHON", sys.executable)
    arguments = {
        "--listen": "127.0.0.1",
        "--port": server.url.rsplit(":", 1)[1],
        "--base-directory": str(server.base),
        "--database-url": f"sqlite:///{server.base / 'user' / 'comfyui.db'}",
    }
    device = os.environ.get("COMFYUI_FLAGS", "--cpu").split()
    flags = [*device, "--disable-auto-launch", "--disable-api-nodes"]
    return [
        python,
        "-u",
        str(comfyui / "main.py"),
        *flags,
        *(part for pair in arguments.items() for part in pair),
    ]


def _environment(comfyui: Path, base: Path) -> dict[str, str]:
    """Older versions serve the stock templates from a folder that newer template packages do not have.

    An empty one in its place lets several versions run from one Python.
    """
    environment = dict(os.environ)
    if "iter_templates" not in (comfyui / "app" / "frontend_management.py").read_text(encoding="utf-8"):
        stand_in = base / "stand_in" / "comfyui_workflow_templates"
        (stand_in / "templates").mkdir(parents=True)
        (stand_in / "__init__.py").touch()
        paths = [str(stand_in.parent), environment.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    return environment


@contextmanager
def _ended_by_terminate() -> Iterator[None]:
    """SIGTERM ends this process as Ctrl-C does, so that the server does not outlive it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(process: subprocess.Popen[bytes], server: ComfyServer, patience: float) -> None:
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise ServerError(f"ComfyUI ended with code {process.returncode}. Its log ends:\n{_tail(server)}")
        if _answers(server.url):
            break
        time.sleep(0.25)
    else:
        raise ServerError(f"ComfyUI did not answer within {patience:.0f} s. Its log ends:\n{_tail(server)}")
    failed = [line for line in server.logged().splitlines() if "IMPORT FAILED" in line and PACK in line]
    if failed:
        raise ServerError(f"ComfyUI could not import the pack: {failed}. Its log ends:\n{_tail(server, 60)}")


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/system_stats", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _tail(server: ComfyServer, lines: int = 25) -> str:
    return "\n".join(server.logged().splitlines()[-lines:])


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the process and what it started: politely, then for good."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None:
            return
        os.killpg(process.pid, sign)
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            continue
