"""Links of the documentation as they are on its site."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tools import site

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("source", "link", "expected"),
    [
        ("README.md", "docs/usage.md#use", "usage.md#use"),
        ("README.md", "docs/images/icon.png", "images/icon.png"),
        ("README.md", "lineas/scenes/OFL.txt", "files/OFL.txt"),
        ("CONTRIBUTING.md", "LICENSE", "files/LICENSE.txt"),
        ("docs/usage.md", "../SECURITY.md", "SECURITY.md"),
        ("docs/usage.md", "../README.md", "index.md"),
        ("docs/RESULTS.md", "results", "results/intents.md"),
        ("docs/results/intents.md", "../RESULTS.md", "../RESULTS.md"),
        ("docs/usage.md", "first_steering.ipynb", "first_steering.md"),
        ("docs/usage.md", "https://arxiv.org/abs/2503.10679", "https://arxiv.org/abs/2503.10679"),
    ],
)
def test_links_lead_where_the_page_is(source: str, link: str, expected: str) -> None:
    assert site.moved(f"[a]({link}) b", source) == f"[a]({expected}) b"


def test_a_notebook_is_its_texts_and_blocks_of_code() -> None:
    cells = [
        {"cell_type": "markdown", "source": ["# a\n", "b"]},
        {"cell_type": "code", "source": ["x = 1\n", "x"]},
    ]
    assert site.from_notebook({"cells": cells}) == "# a\nb\n\n```python\nx = 1\nx\n```"


def test_every_page_of_the_documentation_is_in_the_site() -> None:
    listed = set(re.findall(r": (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE))
    pages = {path.name for path in (ROOT / "docs").glob("*.md")} | {site.place(page) for page in site.PAGES}
    notebooks = {f"{path.stem}.md" for path in (ROOT / "docs").glob("*.ipynb")}
    assert listed == pages | notebooks
    assert all((ROOT / name).is_file() for name in (*site.PAGES, *site.FILES))
