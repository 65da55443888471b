"""A slice of the trial in ComfyUI: exceptions in the middle of a steered sampling leave nothing behind."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from tools.trial import comfyui as trial
from tools.trial.counts import Counts


@pytest.mark.usefixtures("comfyui", "unchanged")
def test_every_way_of_steering(
    comfyui_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)  # as the trial sets it; put back when the test ends
    monkeypatch.setattr(trial, "FOLDER", comfyui_path)
    counts = Counts("slice")
    trial.faults(counts, 2 * len(trial.WAYS), 18)
    assert counts.ends == {"as before": 2 * len(trial.WAYS)}, counts.faults


def test_without_a_comfyui_the_part_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "FOLDER", tmp_path)
    counts = Counts("slice")
    trial.faults(counts, 4, 18)
    assert not counts.tries and "not run" in counts.name
