"""Names and tooltips of the nodes in every language, as frontends read them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def made() -> dict[str, str]:
    """What `python -m tools.locales` would write; in a process of its own, which a stand-in serves."""
    code = "import json; from tools.locales import __main__ as m; print(json.dumps(m.written()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-3000:]
    read: dict[str, str] = json.loads(done.stdout)
    return read


def keys(told: Any, path: str = "") -> set[str]:
    if not isinstance(told, dict):
        return {path}
    return {key for name, value in told.items() for key in keys(value, f"{path}/{name}")}


def test_the_files_are_what_the_nodes_say(made: dict[str, str]) -> None:
    for language, text in made.items():
        file = ROOT / "locales" / language / "nodeDefs.json"
        assert file.read_text(encoding="utf-8") == text, "run: python -m tools.locales"


def test_every_language_has_every_text(made: dict[str, str]) -> None:
    english = json.loads(made["en"])
    for language in ("zh", "ja", "de"):
        other = json.loads(made[language])
        assert keys(other) == keys(english)
        for node, told in other.items():
            assert told["display_name"] != english[node]["display_name"], (language, node)


def test_signs_of_the_translator_are_quoted(made: dict[str, str]) -> None:
    template = json.loads(made["en"])["LineasConceptPrompts"]["inputs"]["template"]["tooltip"]
    assert "concept, {'{}'}, such as covered in {'{}'}" in template
