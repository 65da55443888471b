"""The workflows in the real frontend: it reads them as the tests do, and nothing lies on anything else."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from itertools import combinations

import pytest
from comfyui_server.browser import Frontend, chromium, frontend
from comfyui_server.conftest import BLUEPRINTS, FOUND, WORKFLOWS, Comfy
from comfyui_server.graph import to_prompt

NAMES = sorted(path.stem for path in WORKFLOWS.glob("*.json"))
TITLE = 30
DISPLAY_ONLY = {"PreviewAny": {"preview", "previewMode", "preview_markdown", "preview_text"}}
"""Widgets that the frontend adds to a node for itself, and sends along."""


@pytest.fixture(scope="module")
def editor(comfy: Comfy) -> Iterator[Frontend]:
    if comfy.folder != FOUND[0]:
        pytest.skip("one frontend is installed, and it is looked at once")
    if importlib.util.find_spec("playwright") is None or chromium() is None:
        pytest.skip("no browser: install Chromium (or set CHROMIUM to it) and pip install playwright")
    with frontend(comfy.server.url, 1200, 900) as opened:
        yield opened


@pytest.mark.parametrize("name", NAMES)
def test_the_frontend_reads_a_workflow_as_it_is_meant(comfy, editor, name):
    flow = comfy.workflow(name)
    editor.load(flow, name)
    sent = editor.prompt()
    for content in sent.values():
        for added in DISPLAY_ONLY.get(content["class_type"], set()) & set(content["inputs"]):
            del content["inputs"][added]
    assert sent == to_prompt(flow, comfy.info)

    nodes = {str(node["id"]): node for node in editor.nodes()}  # strings from frontend 1.49 on
    for saved in flow["nodes"]:
        assert [round(side) for side in nodes[str(saved["id"])]["size"]] == saved["size"], saved["type"]
    for one, other in combinations(nodes.values(), 2):
        assert not overlap(one, other), f"{one['type']} lies on {other['type']}"


@pytest.mark.parametrize("path", sorted(BLUEPRINTS.glob("*.json")), ids=lambda path: path.stem)
def test_a_blueprint_hands_on_what_its_node_is_told(editor, path):
    editor.load(json.loads(path.read_text(encoding="utf-8")), path.stem)
    told = {"what": "in the fog", "strength": 0.7, "prompt": "a boat", "negative_prompt": "a car"}
    editor.page.evaluate(
        "told => { for (const w of app.graph.nodes[0].widgets) if (w.name in told) w.value = told[w.name] }",
        told,
    )
    inside = [(each["class_type"], each["inputs"]) for each in editor.prompt().values()]
    [steer] = [inputs for kind, inputs in inside if kind == "LineasSteerConcept"]
    assert (steer["what"], steer["strength"]) == ("in the fog", 0.7)
    assert steer["intent"] == path.stem.partition(" ")[0].lower()
    texts = {inputs["text"]: inputs.get("clip") for kind, inputs in inside if kind == "CLIPTextEncode"}
    assert texts.keys() == {"a boat", "a car"}
    assert texts["a boat"] is not None and texts["a car"] is None  # the one alone is read as it is steered


def overlap(one, other) -> bool:
    return all(
        one["pos"][axis] - title < other["pos"][axis] + other["size"][axis]
        and other["pos"][axis] - title < one["pos"][axis] + one["size"][axis]
        for axis, title in ((0, 0), (1, TITLE))
    )
