from __future__ import annotations

import csv
import io

import pytest
from PIL import Image

from lineas.errors import ConfigError, MismatchError
from lineas.evaluation.images.image_change import mean_square_change
from lineas.evaluation.rates import Rate
from lineas.evaluation.sweep import Sweep, sweep_strengths


def grey(level: float, count: int = 4) -> list[Image.Image]:
    return [Image.new("RGB", (4, 4), (round(255 * level),) * 3) for _ in range(count)]


def bright(images: list[Image.Image], _: list[Image.Image]) -> list[bool]:
    return [image.getpixel((0, 0))[0] > 100 for image in images]


def measured() -> tuple[Sweep, list[float]]:
    drawn: list[float] = []

    def draw(strength: float) -> list[Image.Image]:
        drawn.append(strength)
        return grey(1 - strength)

    return sweep_strengths(draw, [1, 0, 0.5], {"presence": bright, "change": mean_square_change}), drawn


def test_a_sweep_draws_each_strength_once_and_sorts() -> None:
    result, drawn = measured()
    assert result.strengths == (0.0, 0.5, 1.0)
    assert sorted(drawn) == [0.0, 0.5, 1.0]


def test_bools_become_rates_and_numbers_means() -> None:
    result, _ = measured()
    assert result.measures["presence"] == (Rate(4, 4), Rate(4, 4), Rate(0, 4))
    assert result.values("change") == pytest.approx((0, 0.25, 1), abs=0.01)
    assert result.interval("change") is None
    assert result.interval("presence")[2] == Rate(0, 4).interval
    assert result.monotonicity("presence") == -1
    assert result.monotonicity("change") == 1


def test_tables() -> None:
    result, _ = measured()
    lines = result.markdown().splitlines()
    assert lines[0] == "| strength | presence | change |"
    assert len(lines) == 5
    assert "100.0%" in lines[2]
    table = list(csv.DictReader(io.StringIO(result.csv())))
    assert [float(row["presence"]) for row in table] == [1, 1, 0]
    assert float(table[2]["presence high"]) == Rate(0, 4).interval[1]
    assert [float(row["change"]) for row in table] == list(result.values("change"))


def test_joined_sweeps_need_the_same_strengths() -> None:
    result, _ = measured()
    both = result.join(result, " of neutral prompts")
    assert both.values("change of neutral prompts") == result.values("change")
    with pytest.raises(ConfigError, match="at the same ones"):
        result.join(sweep_strengths(lambda _: grey(1), [2.0], {}), "")
    with pytest.raises(ConfigError, match="no strengths"):
        sweep_strengths(lambda _: grey(1), [], {})


def test_change_has_the_units_it_says() -> None:
    assert mean_square_change(grey(1), grey(0)).tolist() == [1.0] * 4
    assert mean_square_change(grey(0.2), grey(0.2)).tolist() == [0.0] * 4
    assert mean_square_change([Image.new("L", (4, 4), 255)], grey(1, 1)).tolist() == [0.0]
    with pytest.raises(MismatchError, match="as many"):
        mean_square_change(grey(1), grey(1, 2))
    with pytest.raises(MismatchError, match="equal sizes"):
        mean_square_change([Image.new("RGB", (4, 4))], [Image.new("RGB", (4, 5))])
