"""What the registry of ComfyUI's node packs and its Manager read of this repository."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from PIL import Image

REPOSITORY = Path(__file__).resolve().parents[2]
tomllib = pytest.importorskip("tomllib", reason="Python 3.11 or newer reads pyproject.toml by itself")


@pytest.fixture(scope="module")
def told():
    return tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))


def test_the_registry_finds_what_it_needs(told):
    project, comfy = told["project"], told["tool"]["comfy"]
    assert re.fullmatch(r"[a-z][a-z0-9-]*", project["name"])
    assert "comfyui" not in project["name"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", project["version"])
    assert project["description"] and project["license"] and project["requires-python"]
    assert comfy["PublisherId"] and comfy["DisplayName"] == "LinEAS"
    for part in comfy["requires-comfyui"].split(","):
        assert re.fullmatch(r"(>=|<=|==|>|<)\d+\.\d+\.\d+", part.strip())


def test_one_unknown_classifier_would_hide_all_others(told):
    known = ["Operating System :: OS Independent"]
    known += [
        f"Environment :: GPU :: {gpu}" for gpu in ("NVIDIA CUDA", "AMD ROCm", "Intel Arc", "Apple Metal")
    ]
    systems = [c for c in told["project"]["classifiers"] if c.startswith(("Operating System", "Environment"))]
    assert systems == known


def test_the_icon_is_a_small_square(told):
    _, _, path = told["tool"]["comfy"]["Icon"].partition("/main/")
    with Image.open(REPOSITORY / path) as icon:
        assert icon.format == "PNG"
        assert icon.width == icon.height <= 400


def test_nothing_installs_itself():
    """The Manager runs these two; what the pack needs comes with ComfyUI, and its torch stays."""
    assert not (REPOSITORY / "install.py").exists()
    assert not (REPOSITORY / "requirements.txt").exists()
