"""Every Python block of the documentation runs to its end, with what its page takes as given."""

from __future__ import annotations

import ast
import os
from importlib import import_module
from pathlib import Path
from runpy import run_path
from typing import Any

import pytest
import torch
from cli.documented import IMAGES, TEXTS, blocks

import lineas

PYTHON = blocks("python")
IDS = [f"{page}-{number}" for number, (page, _) in enumerate(PYTHON)]


def given(page: str) -> dict[str, Any]:
    """What the sentences around a block have introduced: a model, prompts, steerings."""
    from toys import language, pipelines

    from lineas.scenes.detector import Detector

    pipe = lineas.load_pipeline(IMAGES, device="cpu")
    model, tokenizer = lineas.load_language_model(TEXTS[0], device="cpu")
    texts = page in ("language.md", "methods.md")
    words = language if texts else pipelines
    load = lineas.Steering.load
    return {
        "pipe": pipe,
        "model": model,
        "tokenizer": tokenizer,
        "inputs": tokenizer("the cold", return_tensors="pt"),
        "source": words.SOURCE,
        "target": words.TARGET,
        "preserve": words.PRESERVE,
        "rude_sentences": language.SOURCE,
        "civil_sentences": language.TARGET,
        "sea_sentences": language.TARGET,
        **dict.fromkeys(("plain_sentences", "other_texts"), language.PRESERVE),
        "steering": load("civil.safetensors" if texts else "no-fog.safetensors"),
        "other": load("other.safetensors"),
        "mask": torch.ones(1, 2) if texts else torch.ones(1, 1, 8, 8),
        "detector": Detector.load().found,
        "concept": ("time", "night"),
        "prompts_with": pipelines.SOURCE[:2],
        "prompts_without": pipelines.TARGET[:2],
    }


@pytest.mark.parametrize(("page", "text"), PYTHON, ids=IDS)
def test_blocks_run_to_their_end(
    page: str, text: str, desk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for file in desk.iterdir():
        if file.is_dir():
            os.symlink(file, tmp_path / file.name)
        else:
            (tmp_path / file.name).write_bytes(file.read_bytes())
    block = tmp_path / "block.py"
    block.write_text(text, encoding="utf-8")
    run_path(str(block), given(page))


@pytest.mark.parametrize(("page", "text"), PYTHON, ids=IDS)
def test_public_names_come_from_the_one_place(page: str, text: str) -> None:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("lineas."):
            home = import_module(node.module)
            for alias in node.names:
                assert hasattr(home, alias.name), f"{page}: {node.module} has no {alias.name}"
                assert alias.name not in lineas.__all__, f"{page}: write from lineas import {alias.name}"
