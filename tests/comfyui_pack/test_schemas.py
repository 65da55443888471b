"""What the nodes ask for; needs no ComfyUI, a stand-in records the schemas in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
CODE = """
import asyncio, inspect, json
from comfyui_lineas.extension import LineasExtension
nodes = asyncio.run(LineasExtension().get_node_list())
def entry(i):
    known = {k: v for k, v in vars(i).items() if isinstance(v, (str, int, float, bool, list, type(None)))}
    return known | {"kind": i.kind}
def names(function):
    kinds = {p.name: p.kind for p in inspect.signature(function).parameters.values()}
    named = [name for name, kind in kinds.items() if kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    return named, inspect.Parameter.VAR_KEYWORD in kinds.values()
described = {}
for node in nodes:
    schema = node.define_schema()
    taken, takes_any = names(node.execute)
    described[schema.node_id] = dict(
        inputs=[entry(i) for i in schema.inputs], outputs=[entry(o) for o in schema.outputs],
        is_output=getattr(schema, "is_output_node", False), is_list=getattr(schema, "is_input_list", False),
        taken=taken, takes_any=takes_any,
    )
import sys
print(json.dumps([described, [name for name in sys.modules if name.split(".")[0] == "comfy"]]))
"""


@pytest.fixture(scope="module")
def recorded() -> Any:
    paths = [str(HERE / "stand_ins"), str(HERE.parents[1])]
    start = f"import sys; sys.path[:0] = {paths!r}\n"
    done = subprocess.run([sys.executable, "-c", start + CODE], capture_output=True, text=True, cwd="/")
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.strip().splitlines()[-1])


@pytest.fixture
def nodes(recorded: Any) -> dict[str, Any]:
    return recorded[0]


def test_schemas_need_nothing_of_comfyui_but_its_node_api(recorded: Any) -> None:
    assert recorded[1] == []


def test_inputs_are_those_that_execute_takes(nodes: dict[str, Any]) -> None:
    for name, node in nodes.items():
        ids = [each["id"] for each in node["inputs"]]
        assert len(ids) == len(set(ids)), name
        assert set(node["taken"]) <= set(ids), name
        assert node["takes_any"] or set(ids) == set(node["taken"]), name


def test_outputs_take_no_id_of_an_input(nodes: dict[str, Any]) -> None:
    for name, node in nodes.items():
        inputs = {each["id"] for each in node["inputs"]}
        assert not inputs & {each["id"] for each in node["outputs"]}, name  # ComfyUI 0.3 refuses the node
        assert all(each["display_name"] for each in node["outputs"])


def test_numbers_have_a_range_around_their_default(nodes: dict[str, Any]) -> None:
    numbers = [i for node in nodes.values() for i in node["inputs"] if i["kind"] in ("Int", "Float")]
    linked = [i for i in numbers if i.get("force_input")]
    assert [i["id"] for i in linked] == ["strength"]
    assert all(i["min"] <= i["default"] <= i["max"] for i in numbers if i not in linked)


def test_choices_offer_their_default(nodes: dict[str, Any]) -> None:
    for node in nodes.values():
        for choice in (i for i in node["inputs"] if i["kind"] == "Combo"):
            assert choice["options"] and choice.get("default", choice["options"][0]) in choice["options"]


def test_every_input_has_a_sentence(nodes: dict[str, Any]) -> None:
    for name, node in nodes.items():
        for each in node["inputs"]:
            assert each["tooltip"] and each["tooltip"].endswith("."), (name, each["id"])


def test_strengths_run_from_minus_3_to_3(nodes: dict[str, Any]) -> None:
    strength = next(i for i in nodes["LineasApplySteering"]["inputs"] if i["id"] == "strength")
    assert (strength["min"], strength["max"], strength["default"]) == (-3.0, 3.0, 1.0)


def test_what_writes_files_or_shows_something_runs_without_a_link(nodes: dict[str, Any]) -> None:
    assert {name for name, node in nodes.items() if node["is_output"]} == {
        *("LineasTrainSteering", "LineasSaveSteering", "LineasExportLoRA"),
        *("LineasSteeringInfo", "LineasSweepGrid", "LineasSteerConcept"),
    }


def test_a_sweep_gives_lists_and_its_grid_takes_them(nodes: dict[str, Any]) -> None:
    assert all(output["is_output_list"] for output in nodes["LineasStrengthSweep"]["outputs"])
    assert [name for name, node in nodes.items() if node["is_list"]] == ["LineasSweepGrid"]


def test_steerings_of_both_folders_are_offered(nodes: dict[str, Any]) -> None:
    assert nodes["LineasLoadSteering"]["inputs"][0]["options"] == ["example.safetensors"]


FIRST = json.loads((HERE / "inputs_0_1_0.json").read_text())
WIDGETS = ("Int", "Float", "String", "Boolean", "Combo")


def widgets(inputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """In the order in which a workflow saves their values: those that must be there, then the others."""
    return sorted((i for i in inputs if i["kind"] in WIDGETS), key=lambda i: bool(i.get("optional")))


@pytest.mark.parametrize("name", FIRST)
def test_workflows_of_the_first_release_find_their_inputs(nodes: dict[str, Any], name: str) -> None:
    now = {each["id"]: each for each in nodes[name]["inputs"]}
    assert [i["id"] for i in widgets(nodes[name]["inputs"])][: len(widgets(FIRST[name]))] == [
        i["id"] for i in widgets(FIRST[name])
    ]
    for then in FIRST[name]:
        each = now[then["id"]]
        same = ("kind", "default", "step", "round", "multiline", "optional", "control_after_generate")
        assert {key: each.get(key) for key in same if key in then} == {k: then[k] for k in same if k in then}
        assert set(then.get("options", [])) <= set(each.get("options", []))
        assert each.get("min", 0) <= then.get("min", 0) and each.get("max", 0) >= then.get("max", 0)
        assert bool(each.get("optional")) == bool(then.get("optional"))
