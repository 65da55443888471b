"""`lineas train --plan`: what would be done and what memory it takes, and nothing is trained or written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lineas.errors import MismatchError
from lineas.scenes import BUNDLED

TRAIN = ("train", "--model", "toy", "--source", "night.txt", "--target", "day.txt", "--plan")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "prompts at once   as usual   recomputing"),
        (("--sites", "norms+text"), "memory: The memory of sites in text encoders is not counted"),
        (("--method", "lin-act"), "memory: counted for LinEAS on image models alone"),
        (("--model", "llama"), "memory: counted for LinEAS on image models alone"),
    ],
)
def test_a_training_is_told_beforehand_with_its_memory(
    lineas: Any, toy: Path, words: tuple, told: str
) -> None:
    before = sorted(toy.iterdir())
    code, out, err = lineas(*TRAIN, *words, "--seed", 7)
    assert (code, err) == (0, "") and told in out
    assert "source     4  " in out and f"{'seed':20} 7" in out
    assert sorted(toy.iterdir()) == before


@pytest.mark.parametrize("model", BUNDLED)
def test_the_bundled_models_are_counted(lineas: Any, model: str) -> None:
    if not hasattr(pytest.importorskip("diffusers"), "ZImagePipeline") and model != BUNDLED[0]:
        pytest.skip("this diffusers has no ZImagePipeline")
    words = ("train", "--model", model, "--concept", "at night", "--remove", "--count", 2, "--plan")
    code, out, err = lineas(*words)
    assert (code, err) == (0, "") and "prompts at once   as usual   recomputing" in out


def test_what_cannot_be_counted_leaves_the_rest_of_the_plan(
    lineas: Any, toy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise MismatchError("it decides on numbers")

    monkeypatch.setattr("lineas.adapters.images.plan.memory_of", fails)
    code, out, _ = lineas(*TRAIN)
    assert code == 0 and "source     4  " in out and "memory: it decides on numbers" in out
