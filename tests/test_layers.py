"""A folder is a layer: imports go down the list and never in a circle; heavy packages stay optional."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LAYERS = (
    {"errors", "version"},
    {"maps", "maths", "prompts", "pictures", "scenes", "architectures"},
    {"steering"},
    {"modules"},
    {"apply"},
    {"fitting", "export"},
    {"methods"},
    {"intents"},
    {"adapters"},
    {"evaluation"},
    {"cli"},
)
HEIGHT = {folder: height for height, layer in enumerate(LAYERS) for folder in layer}
FOR_THE_PACK = HEIGHT["intents"]
"""The node pack, and all that it reaches, imports nothing that ComfyUI does not install."""
HEAVY = {"diffusers", "transformers", "open_clip", "comfy", "matplotlib", "accelerate", "torchvision"}
COMES_WITH_COMFYUI = {"comfy", "transformers", "torchvision"}


def python_files(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    """Absolute dotted names that a file imports, at any depth of its code."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            # `from lineas import errors` means the folder or file of that name.
            whole = node.module == "lineas"
            yield from (f"lineas.{alias.name}" for alias in node.names) if whole else (node.module or "",)


def below(path: Path) -> set[str]:
    """The folders of the library that a file imports from."""
    found = (name.split(".") for name in imports(path))
    return {parts[1] for parts in found if parts[0] == "lineas" and len(parts) > 1}


def folder(path: Path) -> str:
    return path.relative_to(ROOT / "lineas").parts[0].removesuffix(".py")


LIBRARY = [path for path in python_files("lineas") if path.parent != ROOT / "lineas"]


def test_nothing_lies_loose_at_the_top() -> None:
    loose = {path.name for path in (ROOT / "lineas").iterdir() if path.is_file()}
    assert loose == {"__init__.py", "errors.py", "version.py", "py.typed"}
    assert {folder(path) for path in LIBRARY} | {"errors", "version"} == set(HEIGHT)


@pytest.mark.parametrize("path", LIBRARY, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_only_go_down(path: Path) -> None:
    own, wrong = HEIGHT[folder(path)], {"comfyui_lineas", "tools", "benchmarks"}
    assert not wrong & {name.partition(".")[0] for name in imports(path)}
    assert all(HEIGHT[each] <= own for each in below(path)), below(path)
    if own <= FOR_THE_PACK and folder(path) != "scenes":
        assert not HEAVY & {name.partition(".")[0] for name in imports(path)}


def test_no_folders_import_each_other() -> None:
    graph: dict[str, set[str]] = {}
    for path in LIBRARY:
        graph.setdefault(folder(path), set()).update(below(path) - {folder(path)})
    list(TopologicalSorter(graph).static_order())  # raises CycleError


@pytest.mark.parametrize("path", python_files("comfyui_lineas"), ids=lambda path: str(path.relative_to(ROOT)))
def test_the_node_pack_uses_up_to_the_methods(path: Path) -> None:
    assert all(HEIGHT[each] <= FOR_THE_PACK for each in below(path)), below(path)
    assert not (HEAVY - COMES_WITH_COMFYUI) & {name.partition(".")[0] for name in imports(path)}


@pytest.mark.parametrize("module", ["lineas", "lineas.prompts.concepts", "lineas.scenes.bundled"])
def test_importing_imports_no_optional_package(module: str) -> None:
    code = f"import sys, {module}; print(sorted(set({sorted(HEAVY)!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("package", ["lineas", "comfyui_lineas"])
def test_files_and_functions_stay_short(package: str) -> None:
    lengths = []
    for path in python_files(package):
        text = path.read_text(encoding="utf-8")
        lengths.append(text.count("\n"))
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                length = (node.end_lineno or 0) - node.lineno + 1
                assert length <= 60, f"{path}: {node.name} has {length} lines"
        assert lengths[-1] <= 300, f"{path} has {lengths[-1]} lines"
    assert sorted(lengths)[len(lengths) // 2] <= 100
