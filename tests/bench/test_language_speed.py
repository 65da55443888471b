"""The benchmark of steps on texts, on a tiny model: every case of both intents runs."""

from __future__ import annotations

import pytest

from benchmarks.language import speed
from lineas.prompts.banks import ADD, REMOVE


@pytest.mark.parametrize("intent", [REMOVE, ADD])
def test_every_case_takes_its_steps(intent: str) -> None:
    rows = speed.steps("tiny-llama", intent, 1, count=3)
    assert [row[0] for row in rows] == [f"{intent}, {case}" for case in speed.CASES]
    assert rows[0][2:] == ["1.00", "1.00"] and all(float(row[2]) > 0 for row in rows)
