from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

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


@pytest.fixture(autouse=True)
def quiet() -> None:
    """No bars of loading on stderr, where the tests read what the commands say; the bundled model's loading
    leaves them on."""
    for name in ("diffusers", "transformers"):
        pytest.importorskip(name).utils.logging.disable_progress_bar()


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of real, tiny models: `toy` and the wider `other-toy` draw, `llama` writes."""
    from toys.saved import one_step_pipeline, save_language_model

    folder = tmp_path_factory.mktemp("models")
    one_step_pipeline().save_pretrained(folder / "toy")
    one_step_pipeline(width=24).save_pretrained(folder / "other-toy")
    save_language_model(folder / "llama")
    return folder


@pytest.fixture
def toy(models: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A working folder with prompt files and the models, where `--model toy` is a tiny image model."""
    from toys.pipelines import SOURCE, TARGET

    monkeypatch.chdir(tmp_path)
    for model in models.iterdir():
        os.symlink(model, tmp_path / model.name)
    (tmp_path / "night.txt").write_text("\n".join(SOURCE))
    (tmp_path / "day.txt").write_text("# a comment\n" + "\n\n".join(TARGET))
    return tmp_path


@pytest.fixture(scope="session")
def trained(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A steering of `toy`, trained by the command."""
    from toys.pipelines import SOURCE, TARGET

    folder = tmp_path_factory.mktemp("trained")
    for name, prompts in {"night": SOURCE, "day": TARGET}.items():
        (folder / f"{name}.txt").write_text("\n".join(prompts))
    given = {"source": folder / "night.txt", "target": folder / "day.txt", "model": models / "toy"}
    given |= {"steps": 2, "learning-rate": 0.01, "output": folder / "night.safetensors"}
    assert (
        main(["train", *(str(word) for name, value in given.items() for word in (f"--{name}", value))]) == 0
    )
    return folder / "night.safetensors"


@pytest.fixture
def steering_file(toy: Path, trained: Path) -> Path:
    path = toy / "night.safetensors"
    path.write_bytes(trained.read_bytes())
    return path


@pytest.fixture(scope="session")
def _desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from cli.documented import set_up

    folder = tmp_path_factory.mktemp("desk")
    set_up(folder)
    return folder


@pytest.fixture
def desk(_desk: Path, hub: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the documentation works on, in one folder and at a stand-in for the hub; trainings take a step."""
    from lineas.methods.lineas.config import TrainConfig
    from lineas.methods.trained.lofit import LoFiTConfig

    paper = {**TrainConfig.presets["paper"], "steps": 1}
    monkeypatch.setattr(TrainConfig, "presets", {"fast": {"steps": 1}, "paper": paper})
    short = {"steps": 1, "selection_steps": 1, "openings": 2, "samples": 2, "new_tokens": 2}
    monkeypatch.setattr(LoFiTConfig, "presets", {"fast": short})
    hub.files["name/no-fog"] = {"steering.safetensors": (_desk / "no-fog.safetensors").read_bytes()}
    return _desk
