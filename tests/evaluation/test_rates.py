from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineas.errors import MismatchError
from lineas.evaluation.rates import (
    Rate,
    erasure_rate,
    monotonicity,
    nested_interval,
    presence_rate,
    retain_rate,
    unseen_share,
    wilson_interval,
)

judgements = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40)


@given(st.integers(1, 500), st.data())
def test_wilson_equals_scipy(total: int, data: st.DataObject) -> None:
    stats = pytest.importorskip("scipy.stats")
    hits = data.draw(st.integers(0, total))
    expected = stats.binomtest(hits, total).proportion_ci(0.95, method="wilson")
    assert wilson_interval(hits, total) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_wilson_at_its_ends() -> None:
    assert wilson_interval(0, 0) == (0.0, 1.0)
    assert wilson_interval(0, 5)[0] == 0.0
    assert wilson_interval(5, 5)[1] == 1.0


@given(judgements)
def test_erased_and_retained_share_the_samples_that_had_it(pairs: list[tuple[bool, bool]]) -> None:
    before, after = zip(*pairs, strict=True)
    erased, retained = erasure_rate(before, after), retain_rate(before, after)
    assert erased.total == retained.total == sum(before)
    assert erased.hits + retained.hits == erased.total
    assert presence_rate(after).hits >= retained.hits


def test_rates_count_what_they_say() -> None:
    before, after = [True, True, True, False], [False, True, False, True]
    assert erasure_rate(before, after) == Rate(2, 3)
    assert retain_rate(before, after) == Rate(1, 3)
    assert presence_rate(after) == Rate(2, 4)
    assert str(Rate(9, 10)).startswith("90.0% (")
    assert math.isnan(Rate(0, 0).value)
    assert str(Rate(0, 0)) == "no samples"
    with pytest.raises(MismatchError, match="same samples"):
        erasure_rate(before, after[:2])


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=12))
def test_monotonicity_is_signed_and_bounded(values: list[float]) -> None:
    score = monotonicity(values)
    assert -1 <= score <= 1
    assert monotonicity([-value for value in values]) == -score
    if len(set(values)) > 1:
        assert monotonicity(sorted(values)) == pytest.approx(1)


def test_monotonicity_of_known_curves() -> None:
    assert monotonicity([1.0, 0.6, 0.6, 0.1]) == pytest.approx(-1)
    assert monotonicity([0.0, 1.0, 0.0]) == 0
    assert monotonicity([0.5, 0.5]) == 0
    assert monotonicity([0.0, 0.8, 0.6]) == pytest.approx(0.6)


def test_the_nested_interval_is_wider_where_fits_differ() -> None:
    counts = [[5.0] * 40, [5.0] * 40]
    alike = nested_interval([[1, 0] * 20, [1, 0] * 20], counts)
    apart = nested_interval([[0, 0] * 20, [2, 0] * 20], counts)
    assert alike[0] < 0.1 < alike[1] and apart[0] < alike[0] and apart[1] > alike[1]
    assert nested_interval([[0] * 40, [0] * 40], counts) == (0.0, pytest.approx(unseen_share(40)))
    with pytest.raises(MismatchError, match="fits"):
        nested_interval([[1, 2]], [[1, 2, 3]])


def test_nothing_seen_leaves_room() -> None:
    assert unseen_share(145) == pytest.approx(0.0204, abs=1e-4) and unseen_share(0) == 1.0
    assert (1 - unseen_share(30)) ** 30 == pytest.approx(0.05)
