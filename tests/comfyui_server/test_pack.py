"""The pack as ComfyUI sees it: nodes, help pages and templates."""

from __future__ import annotations

import json
import re
from urllib.error import HTTPError
from urllib.parse import quote

import pytest
from comfyui_server.conftest import BLUEPRINTS, WORKFLOWS, Comfy
from comfyui_server.graph import input_specs
from comfyui_server.server import PACK

DOCS = WORKFLOWS.parent / "comfyui_lineas" / "web" / "docs"


def lineas_nodes(comfy: Comfy) -> dict[str, dict]:
    return {name: info for name, info in comfy.info.items() if name.startswith("Lineas")}


def test_all_nodes_are_there_and_nothing_else_has_a_page(comfy):
    assert sorted(lineas_nodes(comfy)) == sorted(page.stem for page in DOCS.glob("*.md"))


def test_the_help_page_names_every_input_and_output(comfy):
    for node, info in lineas_nodes(comfy).items():
        page = comfy.client.read(f"/extensions/{PACK}/docs/{node}.md").decode()
        assert page.startswith(f"# {info['display_name']}\n"), node
        for name in [*(name for name, _ in input_specs(info)), *info["output_name"]]:
            assert f"| `{name}` |" in page, f"{node}: the page has no row for {name}"


def test_the_help_page_names_no_input_that_is_gone(comfy):
    for node, info in lineas_nodes(comfy).items():
        rows = re.findall(r"^\| `(\w+)` \|", (DOCS / f"{node}.md").read_text(encoding="utf-8"), re.MULTILINE)
        assert set(rows) == {name for name, _ in input_specs(info)} | set(info["output_name"]), node


def test_the_template_browser_offers_every_workflow_with_a_picture(comfy):
    names = sorted(path.stem for path in WORKFLOWS.glob("*.json"))
    assert sorted(comfy.client.get("/workflow_templates")[PACK]) == names
    for name in names:
        flow = json.loads(comfy.client.read(f"/api/workflow_templates/{PACK}/{quote(name)}.json"))
        assert flow["version"] == 0.4
        assert comfy.client.read(f"/api/workflow_templates/{PACK}/{quote(name)}.jpg")[:3] == b"\xff\xd8\xff"


def test_the_node_library_offers_every_blueprint(comfy):
    try:
        found = comfy.client.get("/global_subgraphs")
    except HTTPError:
        pytest.skip("this release serves no blueprints")
    ours = {
        entry["name"]: key
        for key, entry in found.items()
        if entry["info"]["node_pack"] == f"custom_nodes.{PACK}"
    }
    assert sorted(ours) == sorted(path.stem for path in BLUEPRINTS.glob("*.json"))
    for name, key in ours.items():
        flow = json.loads(comfy.client.get(f"/global_subgraphs/{key}")["data"])
        [inner] = flow["definitions"]["subgraphs"]
        assert inner["name"] == name and flow["nodes"][0]["type"] == inner["id"]
