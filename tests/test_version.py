from __future__ import annotations

import re
from pathlib import Path

import pytest

import lineas


def test_the_version_is_the_same_wherever_it_is_written() -> None:
    root = Path(__file__).parents[1]
    project = re.search(
        r'^version = "(.+)"$', (root / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert project is not None
    assert lineas.__version__ == project[1]
    assert f"## {project[1]}" in (root / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_oldest_versions_are_the_lower_bounds() -> None:
    tomllib = pytest.importorskip("tomllib", reason="Python 3.11 or newer reads pyproject.toml by itself")
    root = Path(__file__).parents[1]
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    tools = [line for line in extras["test"] if line.startswith(("pytest", "hypothesis", "scipy"))]
    kinds = ("diffusers", "transformers", "evaluation", "gguf")
    asked = [*project["dependencies"], *tools, *(line for kind in kinds for line in extras[kind])]
    bounds = {tuple(re.split(">=|,", line)[:2]) for line in asked if not line.startswith("lineas[")}
    lines = (root / "tools" / "oldest.txt").read_text(encoding="utf-8").splitlines()
    oldest = dict(line.split("==") for line in lines if not line.startswith("#"))
    assert {(name, padded(bound)) for name, bound in bounds} == {(n, padded(v)) for n, v in oldest.items()}


def padded(version: str) -> tuple[int, ...]:
    """The three numbers of a version, as 4.50 is 4.50.0."""
    return tuple(int(part) for part in [*version.split("."), "0", "0"][:3])
