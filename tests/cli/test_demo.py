from __future__ import annotations

import json
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from lineas.scenes.bundled import FOLDERS, PIPELINE
from lineas.steering.steering import Steering

FILES = {"grid.png", "cost.png", "sites.png", "strengths.png", "steering.safetensors", "report.json"}
bundled = pytest.mark.skipif(not PIPELINE.is_dir(), reason="the bundled weights are not there")


@pytest.fixture
def tiny(toy: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The demo with a tiny model in the place of the bundled one: the same classes, of 16 × 16 pixels."""
    monkeypatch.setitem(FOLDERS, "scenes", toy / "toy")
    return toy


def check_files(folder: Path, out: str) -> dict[str, Any]:
    assert {path.name for path in folder.iterdir()} == {*FILES, "run.toml"}
    assert all(str(folder / name) in out for name in FILES)
    assert all(Image.open(folder / name).size > (100, 100) for name in FILES if name.endswith(".png"))
    Steering.load(folder / "steering.safetensors").check()
    return json.loads((folder / "report.json").read_text())


def test_the_demo_writes_what_it_says_and_can_be_run_again(lineas: Any, tiny: Path) -> None:
    words = ("demo", "--seconds", 1000, "--steps", 2, "--held-out", 4)
    code, out, err = lineas(*words)
    assert code == 0, err
    assert "2 steps in" in out
    assert "4 new prompts with night" in out
    record = check_files(Path("demo"), out)
    assert record["concept"] == "time:night"
    assert [figures["strength"] for figures in record["strengths"]] == [0, 0.25, 0.5, 0.75, 1]
    assert record["training"]["steps"] == 2
    assert record["training"]["settings"]["map"] == "gated"
    assert lineas(*words, "--concept", "object:clock")[0] == 0
    assert Steering.load("demo/steering.safetensors").provenance.notes == "remove object:clock"


def test_a_demo_that_had_too_few_steps_says_how_long_it_needs(
    lineas: Any, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticking = partial(next, count(0.0, 1.0))  # each look at the clock is a second later
    monkeypatch.setattr("lineas.fitting.progress.clock", ticking)
    words = ("demo", "--held-out", 4, "--steps", 60, "--sites", "unet.conv_norm_out", "--steer", "*")
    code, out, err = lineas(*words, "--seconds", 3)
    assert code == 0, err
    assert "this machine made 2 steps in 3 s, 30 remove a concept" in out and "with --seconds 50." in out
    assert "That is few" not in lineas(*words[:3], "--steps", 1, *words[5:], "--seconds", 1000)[1]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--concept", "time:noon"), "time: night, sunset"),
        (("--concept", "pink elephant"), "several of its concepts"),
        (("--seconds", "nan"), "--seconds"),
        (("--held-out", "1"), "--held-out"),
        (("--steps", "0"), "steps"),
    ],
)
def test_bad_input_is_refused_in_one_line(lineas: Any, tiny: Path, words: tuple, says: str) -> None:
    code, _, err = lineas("demo", *words)
    assert code == 2
    assert says in err
    assert err.count("\n") == 1
    assert not (tiny / "demo").exists()


def test_a_missing_extra_is_named_before_training(
    lineas: Any, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    code, _, err = lineas("demo")
    assert code == 2
    assert 'pip install "lineas[evaluation]"' in err


@bundled
def test_the_bundled_model_loses_the_night(lineas: Any, tmp_path: Path) -> None:
    options = ("--steps", 30, "--learning-rate", 0.1, "--seconds", 300)
    code, out, err = lineas("demo", *options, "--held-out", 16, "--output", tmp_path / "demo")
    assert code == 0, err
    figures = check_files(tmp_path / "demo", out)["strengths"]
    assert figures[0]["presence"]["value"] - figures[-1]["presence"]["value"] > 0.6
    assert figures[-1]["cross_kept"]["value"] > 0.85


@bundled
def test_the_bundled_model_trains_and_draws(lineas: Any, tmp_path: Path) -> None:
    path = tmp_path / "no-clock.safetensors"
    words = ("--concept", "a clock", "--count", 8, "--steps", 8, "--output", path)
    assert lineas("train", *words)[0] == 0
    code, out, _ = lineas("generate", "a clock", "--steering", path, "--sweep", "0:1:3", "--output", tmp_path)
    assert code == 0
    assert Image.open(tmp_path / "sweep.png").width > 3 * 128
    code, out, _ = lineas("export", path)
    assert code == 0
    assert "no-clock-lora.safetensors" in out
