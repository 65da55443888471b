"""Strengths as people write them, in every face."""

from __future__ import annotations

import pytest

from lineas.apply.strengths import group_strengths, many_strengths, one_strength
from lineas.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("0, 0.5,1", (0, 0.5, 1)),
        ("1", (1,)),
        ("0 1\n2", (0, 1, 2)),
        ("0:1:3", (0, 0.5, 1)),
        ("-1:1:2", (-1, 1)),
        ("0:1:4", (0, 0.333333, 0.666667, 1)),
    ],
)
def test_lists_and_ranges(text: str, numbers: tuple[float, ...]) -> None:
    assert many_strengths(text) == numbers


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "0 strengths, expected 1 to 64"),
        ("a", "'a' is no strength"),
        ("nan", "no strength"),
        ("0:inf:3", "no strength"),
        ("0:1", "no range"),
        ("0:1:2.5", "no range"),
        ("0:1:1", "1 strengths, expected 2 to 64"),
        ("0:1:0", "0 strengths"),
        ("0:1:-3", "-3 strengths"),
        ("0:1:1000000", "1000000 strengths"),
        (",".join("1" * 65), "65 strengths"),
        ("1e9", "beyond 100"),
    ],
)
def test_other_texts_are_refused(text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        many_strengths(text, largest=100)


def test_a_sweep_may_ask_for_different_ones() -> None:
    assert many_strengths("1,1") == (1, 1)
    with pytest.raises(ConfigError, match="1 strengths, expected 2 to 25 different"):
        many_strengths("1,1", least=2, most=25)


def test_one() -> None:
    assert one_strength("-0.5") == -0.5
    with pytest.raises(ConfigError, match="expected a number such as"):
        one_strength("much")


@pytest.mark.parametrize(
    ("text", "strengths"),
    [
        ("", {}),
        (" , ;\n", {}),
        ("down 0.5, up=0;mid : -1", {"down": 0.5, "up": 0, "mid": -1}),
        ("unet.*attn2* 2", {"unet.*attn2*": 2}),
    ],
)
def test_strengths_of_groups(text: str, strengths: dict[str, float]) -> None:
    assert group_strengths(text) == strengths


@pytest.mark.parametrize(
    "text", ["down", "0.5", "down 0.5 up 1", "down x", "down 1, down 2", "down nan", "up 11"]
)
def test_groups_without_a_strength_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"no group|no strength|beyond 10"):
        group_strengths(text, largest=10)
