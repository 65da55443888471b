"""What the documentation site adds to docs/: the pages at the root of the repository, and notebooks as pages.

A hook of mkdocs (mkdocs.yml); `make site` builds it.
"""

from __future__ import annotations

import json
import posixpath
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAGES = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
FILES = ("LICENSE", "NOTICE", "CITATION.cff", "lineas/scenes/OFL.txt")
_LINK = re.compile(r"(\]\()(?!\w+:|#)([^)#\s]+)")


def on_files(files: Any, config: Any) -> Any:
    """Add the pages and files that lie outside docs/, and what notebooks say."""
    from mkdocs.structure.files import File

    for name in PAGES:
        text = (ROOT / name).read_text(encoding="utf-8")
        files.append(File.generated(config, place(name), content=moved(text, name)))
    for name in FILES:
        files.append(File.generated(config, place(name), content=(ROOT / name).read_text(encoding="utf-8")))
    for path in (ROOT / "docs").glob("*.ipynb"):
        text = from_notebook(json.loads(path.read_text(encoding="utf-8")))
        files.append(File.generated(config, f"{path.stem}.md", content=text))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Links of pages in docs/ to what lies outside of it."""
    generated = page.file.generated_by is not None
    return markdown if generated else moved(markdown, f"docs/{page.file.src_uri}")


def moved(text: str, source: str) -> str:
    """A page's text with its links as they are on the site. source: its path in the repository."""
    here = posixpath.dirname(place(source))

    def link(found: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), found[2]))
        return found[1] + posixpath.relpath(place(target), here or ".")

    return _LINK.sub(link, text)


def place(path: str) -> str:
    """Where a file of the repository lies on the site."""
    if path == "README.md":
        return "index.md"
    if path == "docs/results":  # a folder has no page
        return "results/intents.md"
    name = path.removeprefix("docs/")
    if name.endswith(".ipynb"):
        return f"{name.removesuffix('.ipynb')}.md"
    return (
        name
        if name.endswith(".md") or path.startswith("docs/")
        else f"files/{posixpath.basename(path).removesuffix('.txt')}.txt"
    )


def from_notebook(notebook: dict[str, Any]) -> str:
    """Its texts, and its code as blocks."""
    parts = []
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        parts.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
    return "\n\n".join(parts)
