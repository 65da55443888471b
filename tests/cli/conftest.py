from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from cli import fakes

from lineas.cli import main

Lineas = Callable[..., tuple[int, str, str]]


@pytest.fixture
def lineas(capsys: pytest.CaptureFixture[str]) -> Lineas:
    """Runs a command: words -> exit code, stdout, stderr."""

    def run(*words: str | Path) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main([str(word) for word in words])
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A working folder with prompt files, where `--model toy` is a tiny image model."""
    fakes.install(monkeypatch)
    monkeypatch.chdir(tmp_path)
    scenes = [f"a thing {i}" for i in range(4)]
    (tmp_path / "night.txt").write_text("\n".join(f"{scene} at night" for scene in scenes))
    (tmp_path / "day.txt").write_text("# a comment\n" + "\n\n".join(scenes))
    return tmp_path


@pytest.fixture
def steering_file(lineas: Lineas, toy: Path) -> Path:
    path = toy / "night.safetensors"
    words = ("--source", "night.txt", "--target", "day.txt", "--steps", 2, "--output", path)
    assert lineas("train", "--model", "toy", *words)[0] == 0
    return path
