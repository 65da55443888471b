"""The examples in the documentation are valid: commands parse, Python compiles, imported names exist."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path

import pytest

from lineas.cli import parser

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(language: str) -> list[tuple[str, str]]:
    found = [
        (page.name, re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.M | re.S))
        for page in PAGES
    ]
    return [(name, text) for name, texts in found for text in texts]


COMMANDS = [
    line
    for _, text in blocks("")
    for line in text.replace("\\\n", " ").splitlines()
    if line.startswith("lineas ")
]
PYTHON = blocks("python")


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_parse(line: str) -> None:
    words = shlex.split(line, comments=True)[1:]
    assert parser(words[0]).parse_args(words).run


@pytest.mark.parametrize(("page", "text"), PYTHON)
def test_python_imports_what_exists(page: str, text: str) -> None:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("lineas"):
            module = pytest.importorskip(node.module)
            if module.__file__ is None:
                pytest.skip(f"{node.module} is not there")
            for alias in node.names:
                assert hasattr(module, alias.name), f"{page}: {node.module} has no {alias.name}"


def test_there_are_examples() -> None:
    assert len(COMMANDS) > 10
    assert len(PYTHON) > 5


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_within_the_repository_lead_somewhere(page: Path) -> None:
    links = re.findall(r"(?<!!)\[[^\]]*\]\((?!https?:)([^)#]+)", page.read_text())
    assert all((page.parent / link).exists() for link in links)
