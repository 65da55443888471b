"""`lineas train --plan`: what would be done and what memory it takes, and nothing is trained or written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

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
