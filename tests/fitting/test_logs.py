"""Trackers get the figures of every step, through the progress callback."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from toys.problem import ToyProblem

from lineas.errors import ConfigError, MissingExtraError
from lineas.fitting.logs import FIGURES, logged
from lineas.methods.closed_form import mean_act
from lineas.methods.lineas.config import TrainConfig
from lineas.methods.lineas.trainer import fit


class Tracker:
    """What wandb and trackio have in common, keeping what it is told."""

    def __init__(self) -> None:
        self.begun: dict[str, Any] = {}
        self.steps: dict[int, dict[str, float]] = {}
        self.ended = 0

    def init(self, **about: Any) -> Tracker:
        self.begun = about
        return self

    def log(self, figures: dict[str, float], step: int) -> None:
        self.steps[step] = figures

    def finish(self) -> None:
        self.ended += 1


@pytest.mark.parametrize("name", ["wandb", "trackio"])
def test_the_figures_of_every_step_are_written(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tracker, costs = Tracker(), []
    monkeypatch.setitem(sys.modules, name, tracker)
    config = TrainConfig.preset("fast", steps=3)
    with logged(name, "no-fog", config.settings()) as log:
        fit(ToyProblem(), config, lambda told: (log(told), costs.append(told.cost))[1])
    assert tracker.begun["project"] == "lineas" and tracker.begun["name"] == "no-fog"
    assert tracker.begun["config"]["steps"] == 3
    assert [tracker.steps[step]["cost"] for step in (1, 2, 3)] == costs
    assert set(tracker.steps[1]) == set(FIGURES)
    assert tracker.ended == 1


def test_what_a_method_does_not_measure_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    tracker = Tracker()
    monkeypatch.setitem(sys.modules, "wandb", tracker)
    with logged("wandb", "x") as log:
        mean_act.fit(ToyProblem(), progress=log)
    assert set(tracker.steps[1]) == {"preserve", "seconds"}


def test_a_run_ends_where_the_fit_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    tracker = Tracker()
    monkeypatch.setitem(sys.modules, "trackio", tracker)
    with pytest.raises(KeyError), logged("trackio", "x"):
        raise KeyError
    assert tracker.ended == 1


def test_tensorboard_reads_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.chdir(tmp_path)
    with logged("tensorboard", "no-fog", {"steps": 2}) as log:
        for step in (1, 2):
            log(SimpleNamespace(step=step, **dict.fromkeys(FIGURES, float(step))))  # type: ignore[arg-type]
    events = EventAccumulator(str(tmp_path / "runs" / "no-fog"))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("cost")] == [(1, 1.0), (2, 2.0)]


def test_trackers_that_are_not_there_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(MissingExtraError, match="wandb is needed"), logged("wandb", "x"):
        pass
    with pytest.raises(ConfigError, match="Unknown tracker"), logged("paper", "x"):
        pass
