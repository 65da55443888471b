"""The documentation holds: its commands run to their end, its links and names lead somewhere."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from cli.documented import PAGES, ROOT, blocks

from comfyui_lineas.train.request import BUNDLED
from lineas.cli import INTENTS, parser
from lineas.intents.settings import REMOVING
from lineas.scenes.bundled import FOLDERS

SMALL = {
    "demo": ("--held-out", "4"),
    "train --concept": ("--count", "4"),
    "remove": ("--steps", "1"),
    "add": ("--steps", "25"),
    "swap": ("--steps", "1"),
    "evaluate --questions": ("--limit", "2"),
    "--examples": ("--preserve", "plain.txt"),
}
"""What commands get besides, to be fast, and in words that the tiny models know."""
COMMANDS = [
    line
    for _, text in blocks("")
    for line in text.replace("\\\n", " ").splitlines()
    if line.startswith("lineas ")
]


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_run_to_their_end(
    line: str, lineas: Any, desk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = shlex.split(line, comments=True)[1:]
    words += [w for use, more in SMALL.items() if set(use.split()) <= set(words) for w in more]
    if words[0] in INTENTS and "--examples" not in words:  # the prompts are the intent's own
        words += ["--count", "4"]
    if "--output" not in words and words[0] in ("demo", "generate"):
        words += ["--output", "made"]
    if "--output" not in words and words[0] in ("train", *INTENTS):
        words += ["--output", "made.safetensors"]
    monkeypatch.chdir(tmp_path)
    written = words[words.index("--output") + 1] if "--output" in words else None
    for given in desk.iterdir():
        if given.name != written:
            # Files as files: what a task names must lie beside it, and a link lies elsewhere.
            (os.symlink if given.is_dir() else shutil.copy)(given, tmp_path / given.name)
    if "--clip" in words:  # the one model that no folder of its name can stand for
        from lineas.scenes.bundled import CLIP

        words[words.index("--clip") + 1] = str(CLIP)
    if "--model" not in words and words[0] in ("demo", "generate", "evaluate"):
        monkeypatch.setitem(FOLDERS, "scenes", desk / "tiny-scenes")
    code, out, err = lineas(*words)
    assert code == 0, err
    assert out


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_and_names_within_sentences_exist(page: Path) -> None:
    code = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S))
    for text in code:
        if text.startswith("lineas ") and "(" not in text:
            assert parser(text.split()[1]).parse_args(shlex.split(text)[1:]).run
        for name in re.findall(r"^(?:python -m )?((?:lineas|benchmarks)(?:\.\w+)+)", text):
            assert _exists(name), f"{page.name}: there is no {name}"
        if re.fullmatch(r"(?:lineas|benchmarks|tools|tests|docs)/[\w/.]+", text):
            assert (ROOT / text).exists(), f"{page.name}: there is no {text}"


def _exists(name: str) -> bool:
    parts = name.split(".")
    path = ROOT.joinpath(*parts)
    if path.is_dir() or path.with_suffix(".py").is_file():
        return True
    try:
        home = import_module(".".join(parts[:-1]))
    except ModuleNotFoundError:
        return len(parts) > 2 and _exists(".".join(parts[:-1]))
    return hasattr(home, parts[-1])


def test_there_are_examples() -> None:
    assert len(COMMANDS) > 20
    assert len(blocks("python")) > 10


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_within_the_repository_lead_somewhere(page: Path) -> None:
    links = re.findall(r"(?<!!)\[[^\]]*\]\((?!https?:)([^)#]+)", page.read_text())
    assert all((page.parent / link).exists() for link in links)


def test_the_pages_name_the_best_setting_of_the_bundled_model() -> None:
    options = f'--sites {REMOVING["sites"]} --steer "{REMOVING["steer"]}" --map {REMOVING["map"]}'
    assert options in (ROOT / "README.md").read_text()
    node = f"Set `map` to *{BUNDLED['map']}* and `sites` to *{BUNDLED['sites']}*"
    assert node in (ROOT / "docs" / "comfyui.md").read_text()
