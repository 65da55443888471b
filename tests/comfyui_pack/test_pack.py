"""The repository as a folder in custom_nodes: what ComfyUI imports, how fast, and which library it uses."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
EXPECTED = {
    *("LineasConceptPrompts", "LineasTrainSteering", "LineasLoadSteering", "LineasSaveSteering"),
    *("LineasExportLoRA", "LineasApplySteering", "LineasInvertSteering", "LineasComposeSteerings"),
    *("LineasRestrictSteering", "LineasSteeringInfo", "LineasStrengthSweep", "LineasSweepGrid"),
    *("LineasLoadScenesModel", "LineasOneStep", "LineasLoadAndApplySteering", "LineasSteerConcept"),
}
HEAVY = ("diffusers", "open_clip", "matplotlib", "accelerate", "scipy.stats")


def outside(code: str, *paths: Path) -> Any:
    """What a fresh Python prints as JSON on its last line."""
    start = f"import sys, json; sys.path[:0] = {[str(path) for path in paths]!r}\n"
    done = subprocess.run([sys.executable, "-c", start + code], capture_output=True, text=True, cwd="/")
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.strip().splitlines()[-1])


LOAD = f"""
import importlib.util, time, asyncio
def load(root={str(ROOT)!r}):
    spec = importlib.util.spec_from_file_location("custom_nodes_x_pack", root + "/__init__.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
"""


@pytest.fixture(scope="module")
def loaded(comfyui_path: Path) -> Any:
    code = f"""
from comfy.cli_args import args; args.cpu = True
import torch, comfy.sd, folder_paths
from comfy_api.v0_0_2 import io
{LOAD}
before = set(sys.modules)
start = time.process_time()
module = load()
nodes = asyncio.run(asyncio.run(module.comfy_entrypoint()).get_node_list())
schemas = [node.GET_SCHEMA() for node in nodes]
seconds = time.process_time() - start
def undescribed(schema):
    return [f"{{schema.node_id}}.{{i.id}}" for i in schema.inputs if not i.tooltip]
import lineas
print(json.dumps(dict(
    seconds=seconds,
    ids=[schema.node_id for schema in schemas],
    categories=sorted({{schema.category for schema in schemas}}),
    described=all(schema.description and schema.display_name for schema in schemas),
    undescribed=sum(map(undescribed, schemas), []),
    has_aliases="search_aliases" in io.Schema.__dataclass_fields__,
    aliases={{schema.node_id: getattr(schema, "search_aliases", []) for schema in schemas}},
    folded={{s.node_id: [i.id for i in s.inputs if i.as_dict().get("advanced")] for s in schemas}},
    heavy=[name for name in {HEAVY!r} if name in sys.modules and name not in before],
    mappings=hasattr(module, "NODE_CLASS_MAPPINGS"),
    web=module.WEB_DIRECTORY,
    library=lineas.__file__,
    folders=folder_paths.folder_names_and_paths["steering"][0],
)))
"""
    return outside(code, comfyui_path)


def test_comfyui_finds_every_node(loaded: Any) -> None:
    assert set(loaded["ids"]) == EXPECTED and len(loaded["ids"]) == len(EXPECTED)
    assert loaded["categories"] == ["LinEAS"]
    assert not loaded["mappings"]


def test_every_input_explains_itself(loaded: Any) -> None:
    assert loaded["described"] and loaded["undescribed"] == []


def test_nodes_are_found_by_what_they_do(loaded: Any) -> None:
    words = loaded["aliases"]
    if not loaded["has_aliases"]:
        assert not any(words.values())
        return
    for wanted in ("remove", "erase", "concept", "slider"):
        found = {node for node, each in words.items() if wanted in each}
        assert found & {"LineasApplySteering", "LineasConceptPrompts"}, wanted


def test_what_few_people_need_is_folded_away(loaded: Any) -> None:
    folded = {"start_percent", "end_percent", "apply_to", "method", "block_strengths"}
    for node in ("LineasApplySteering", "LineasLoadAndApplySteering"):
        assert set(loaded["folded"][node]) == folded


def test_it_loads_in_less_than_a_second_and_nothing_heavy(loaded: Any) -> None:
    assert loaded["seconds"] < 1
    assert loaded["heavy"] == []


def test_the_bundled_library_serves_when_none_is_installed(loaded: Any) -> None:
    assert Path(loaded["library"]) == ROOT / "lineas" / "__init__.py"


def test_files_lie_where_comfyui_keeps_them(loaded: Any) -> None:
    assert [Path(folder).parts[-2:] for folder in loaded["folders"]] == [
        ("models", "steering"),
        ("output", "steering"),
        ("comfyui_lineas", "steering"),
    ]


def copy_of_the_library(folder: Path, version: str) -> Path:
    (folder / "lineas").mkdir()
    (folder / "lineas" / "__init__.py").write_text("from lineas.version import __version__\n")
    (folder / "lineas" / "steering.py").write_text("")
    (folder / "lineas" / "version.py").write_text(f'__version__ = "{version}"\n')
    return folder


def library_after(code: str, *paths: Path) -> Any:
    end = "import lineas; print(json.dumps([lineas.__file__, lineas.__version__]))"
    return outside(f"{LOAD}{code}\nload()\n{end}", *paths)


def test_an_installed_library_of_the_same_series_is_used(tmp_path: Path) -> None:
    from lineas.version import __version__

    series = ".".join(__version__.split(".")[:2])
    installed = copy_of_the_library(tmp_path, f"{series}.99")
    file, version = library_after("", installed)
    assert Path(file).parent == installed / "lineas" and version == f"{series}.99"


def test_an_installed_library_of_another_series_is_passed_over(tmp_path: Path) -> None:
    installed = copy_of_the_library(tmp_path, "99.0.0")
    assert Path(library_after("", installed)[0]) == ROOT / "lineas" / "__init__.py"
    told = "try:\n    import lineas; load()\nexcept ImportError as error:\n    print(json.dumps(str(error)))"
    message = outside(f"{LOAD}{told}", installed)
    assert "99.0.0" in message and "pip install" in message


def test_an_older_library_of_the_same_series_is_passed_over() -> None:
    start = f"import importlib.util, sys, json\n{LOAD}\nmodule = load()\n"
    asked = [("0.2.1", "0.2.1"), ("0.2.2", "0.2.1"), ("0.2.0", "0.2.1"), ("0.3.1", "0.2.1"), ("0.2", "0.2.0")]
    code = f"print(json.dumps([module._serves(*each) for each in {asked!r}]))"
    assert outside(start + code) == [True, True, False, False, False]


def test_other_things_called_lineas_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "lineas").mkdir()  # as the folder of the pack itself in custom_nodes
    (tmp_path / "lineas" / "__init__.py").write_text("")
    assert Path(library_after("", tmp_path)[0]) == ROOT / "lineas" / "__init__.py"
