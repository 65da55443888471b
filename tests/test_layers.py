"""The layer order of the library: imports only go down, and the heavy packages stay optional.

L0 tensors in, tensors out · L1 objects and files · L2 torch modules · L3 models and measurements · L4 faces.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LAYERS: tuple[tuple[str, ...], ...] = (
    (
        "transport",
        "affine",
        "banded",
        "gated",
        "low_rank",
        "stacked",
        "maps",
        "penalties",
        "pooling",
        "errors",
    ),
    ("steering", "storage", "optim", "config", "version", "kinds"),
    (
        *("sites", "capture", "fingerprint", "apply", "regions", "fuse", "folding", "folds", "consumers"),
        *("export", "control_vector", "tokens", "problem", "text_problem", "micro_batches", "objective"),
        *("parameters", "starting", "gradients"),
        *("progress", "training", "checkpoint", "methods", "methods.*"),
    ),
    (
        "adapters",
        "adapters.*",
        "scenes",
        "scenes.*",
        "evaluation",
        "evaluation.*",
        "prompts",
        "prompts.*",
        "pipeline",
    ),
    ("cli*",),
)
HEAVY = {"diffusers", "transformers", "open_clip", "comfy", "matplotlib", "accelerate", "torchvision"}
COMES_WITH_COMFYUI = {"comfy", "transformers", "torchvision"}
# What the node pack may use above the core: the bundled model, the prompt bank, and labels drawn with Pillow.
FOR_THE_PACK = ("scenes*", "prompts*", "evaluation.grid", "evaluation.lettering")
FACE = len(LAYERS) - 1


def python_files(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def dotted(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def layer(module: str) -> int | None:
    """Layer of a dotted name below `lineas`; None where the table does not know it."""
    name = module.removeprefix("lineas.")
    return next(
        (i for i, row in enumerate(LAYERS) if any(fnmatchcase(name, pattern) for pattern in row)), None
    )


def is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def imports(path: Path) -> Iterator[str]:
    """Absolute dotted names a file imports, at any depth; relative imports resolved."""
    package = dotted(path).split(".") if path.name == "__init__.py" else dotted(path).split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            # `from lineas import errors` imports the module, `from lineas.errors import X` a name inside one.
            names = (alias.name for alias in node.names if alias.name != "__version__")
            yield from {name if is_module(name := f"{base}.{end}") else base for end in names}


LIBRARY = [path for path in python_files("lineas") if dotted(path) != "lineas"]


@pytest.mark.parametrize("path", LIBRARY, ids=dotted)
def test_every_module_has_a_layer_and_imports_only_downwards(path: Path) -> None:
    own = layer(dotted(path))
    assert own is not None, f"{dotted(path)} is in no layer: add it to LAYERS (and to the design) first"
    for name in imports(path):
        assert name.split(".")[0] != "comfyui_lineas", f"{dotted(path)} imports the face {name}"
        assert name != "lineas" or own == FACE, f"{dotted(path)} imports the package root, which is above it"
        if name.startswith("lineas."):
            target = layer(name)
            assert target is not None and target <= own, f"{dotted(path)} (L{own}) imports {name} (L{target})"


@pytest.mark.parametrize("path", [path for path in LIBRARY if (layer(dotted(path)) or 0) <= 2], ids=dotted)
def test_the_core_knows_no_model_library(path: Path) -> None:
    assert not HEAVY & {name.split(".")[0] for name in imports(path)}


@pytest.mark.parametrize("path", python_files("comfyui_lineas"), ids=dotted)
def test_the_node_pack_uses_the_core_and_few_things_above_it(path: Path) -> None:
    for name in imports(path):
        if name.startswith("lineas."):
            target, short = layer(name), name.removeprefix("lineas.")
            allowed = any(fnmatchcase(short, pattern) for pattern in FOR_THE_PACK)
            assert allowed or (target is not None and target <= 2), f"{dotted(path)} imports {name}"
        assert name.split(".")[0] not in HEAVY - COMES_WITH_COMFYUI, f"{dotted(path)} imports {name}"


# The node pack imports these without the models of the library's extras.
FOR_THE_PACK_TOO = [
    "lineas.evaluation.grid",
    "lineas.prompts",
    "lineas.scenes.bundled",
    "lineas.scenes.naming",
]


@pytest.mark.parametrize("module", ["lineas", *FOR_THE_PACK_TOO])
def test_importing_imports_no_optional_package(module: str) -> None:
    code = f"import sys, {module}; print(sorted(set({sorted(HEAVY)!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("lineas.errors", 0),
        ("lineas.methods.lin_act", 2),
        ("lineas.cli_demo", FACE),
        ("lineas.unheard_of", None),
    ],
)
def test_the_table_is_read_as_written(name: str, expected: int | None) -> None:
    assert layer(name) == expected
