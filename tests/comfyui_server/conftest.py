"""A running ComfyUI per installation, and the workflows ready to be run on it quickly."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from comfyui_server.client import ComfyClient, Run
from comfyui_server.graph import FRONTEND_ONLY, Prompt, Workflow, edited, to_prompt
from comfyui_server.server import REPOSITORY, ComfyServer, installations, running

WORKFLOWS = REPOSITORY / "example_workflows"
BLUEPRINTS = REPOSITORY / "subgraphs"
FOUND = installations()
QUICK: dict[str, dict[str, Any]] = {
    "LineasConceptPrompts": {"count": 2},
    "LineasTrainSteering": {"steps": 3, "preview_every": 1, "micro_batch": 2, "learning_rate": 0.2},
    "LineasSteerConcept": {"count": 2, "steps": 3},
}
"""Inputs of nodes in a test: whether it works, not how well."""

REQUIRED = ("aiohttp", "comfyui_frontend_package", "torchsde", "einops", "av", "alembic")


def needs_of_a_server() -> None:
    """Skip the test where ComfyUI's requirements are not installed."""
    for module in REQUIRED:
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"ComfyUI's requirements are not installed for {sys.executable}: no {module}")


def workflow(name: str) -> Workflow:
    saved: Workflow = json.loads((WORKFLOWS / f"{name}.json").read_text(encoding="utf-8"))
    return saved


@dataclass(frozen=True)
class Comfy:
    """A running server: ComfyUI's folder, its client and what it says of its nodes."""

    folder: Path
    server: ComfyServer
    client: ComfyClient
    info: dict[str, Any]

    def workflow(self, name: str) -> Workflow:
        """A workflow; the test is skipped where this release lacks a node of it."""
        flow = workflow(name)
        lacking = {node["type"] for node in flow["nodes"]} - set(self.info) - FRONTEND_ONLY
        if lacking:
            pytest.skip(f"this release lacks {', '.join(sorted(lacking))}")
        return flow

    def prompt(self, flow: Workflow, **training: Any) -> Prompt:
        """A workflow as the editor would send it, with little training and with other inputs of it."""
        prompt = to_prompt(flow, self.info)
        types = {content["class_type"] for content in prompt.values()}
        for kind in types & set(QUICK):
            prompt = edited(prompt, kind, **QUICK[kind])
        return edited(prompt, "LineasTrainSteering", **training) if training else prompt

    def run(self, prompt: Prompt, **options: Any) -> Run:
        """Run a prompt to its end, which must be a success."""
        run = self.client.run(prompt, **options)
        assert run.end == "success", run.error() or run.end
        assert not run.refused
        return run


@pytest.fixture(scope="session", params=FOUND or [None], ids=lambda path: path.name if path else "none")
def comfy(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Comfy]:
    if request.param is None:
        pytest.skip("no ComfyUI: set COMFYUI_PATH to a folder with its main.py (~/ComfyUI is looked at too)")
    needs_of_a_server()
    folder: Path = request.param
    with running(folder, tmp_path_factory.mktemp(folder.name)) as server:
        client = ComfyClient(server.url)
        yield Comfy(folder, server, client, client.get("/object_info"))
