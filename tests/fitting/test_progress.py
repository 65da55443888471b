"""Steps: counted, cut to a time, told, and stopped by whoever asks."""

from __future__ import annotations

import math

import pytest

from lineas.errors import ConfigError
from lineas.fitting.progress import Progress, Steps
from lineas.steering.steering import Steering


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("lineas.fitting.progress.clock", clock)
    return clock


def steps(total: int, seconds: float | None = None, cut: bool = True) -> tuple[Steps, list[Progress]]:
    told: list[Progress] = []
    return Steps(total, told.append, lambda: Steering({}), seconds, cut=cut), told


def run(each: Steps, clock: Clock, first: float = 4.0, later: float = 1.0) -> None:
    while each.left:
        clock.now += later if each.count else first
        each.done(objective=1.0 / (1 + each.count))


def test_as_many_steps_as_fit_are_planned_from_the_first_ones(clock: Clock) -> None:
    each, told = steps(100, 20.0)
    run(each, clock)
    # 4 + 2 seconds for three steps, 13.4 of 19.4 are left, a second each.
    assert each.total == each.count == 16 and not each.stopped
    assert [progress.steps for progress in told] == [100, 100, *[16] * 14]
    assert [progress.step for progress in told] == list(range(1, 17))
    assert told[-1].seconds == 19


def test_what_was_misjudged_stops_when_the_time_is_up(clock: Clock) -> None:
    each, told = steps(100, 20.0)
    while each.left:
        clock.now += 1.0 if each.count < 3 else 4.0
        each.done()
    assert each.stopped and told[-1].seconds == 23 and each.count < each.total


def test_a_fit_whose_steps_make_it_whole_is_not_cut_but_stopped(clock: Clock) -> None:
    each, _ = steps(100, 20.0, cut=False)
    run(each, clock)
    assert each.stopped and (each.total, each.count) == (100, 17)


def test_without_a_time_all_steps_are_made(clock: Clock) -> None:
    each, told = steps(30)
    run(each, clock)
    assert each.count == 30 and not each.stopped
    assert told[-1].figure == told[-1].objective and math.isnan(told[-1].cost)


def test_a_callback_that_returns_true_stops() -> None:
    each = Steps(10, lambda told: told.step == 3, lambda: Steering({}))
    while each.left:
        each.done()
    assert each.stopped and each.count == 3


@pytest.mark.parametrize("seconds", [0, -1.0, float("nan"), float("inf")])
def test_another_time_is_refused(seconds: float) -> None:
    with pytest.raises(ConfigError, match="seconds is"):
        steps(3, seconds)
