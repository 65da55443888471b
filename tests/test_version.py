from __future__ import annotations

import re
from pathlib import Path

import lineas


def test_the_version_is_the_same_wherever_it_is_written() -> None:
    root = Path(__file__).parents[1]
    project = re.search(
        r'^version = "(.+)"$', (root / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert project is not None
    assert lineas.__version__ == project[1]
    assert f"## {project[1]}" in (root / "CHANGELOG.md").read_text(encoding="utf-8")
