from __future__ import annotations

import pytest
import torch

from lineas.adapters.images.layout import Layout, Run, find_layouts, prompts_to_change
from lineas.errors import MismatchError
from lineas.steering.site import Site

SITE = Site("unet.norm")


def run(rows: torch.Tensor) -> Run:
    made = Run()
    made.calls["unet"] += 1
    made.note("unet", SITE, rows)
    return made


def moved(count: int, *groups: list[int]) -> list[Run]:
    """A run of `count` rows, and one for each group of rows that moves."""
    base = torch.ones(count, 2)
    changed = [base.index_fill(0, torch.tensor(rows), 2.0) for rows in groups]
    return [run(each) for each in (base, *changed)]


@pytest.mark.parametrize(
    ("count", "first", "second", "layout"),
    [
        (3, [0], [1], Layout(0)),
        (6, [3], [4], Layout(0, (1,), 2, 1)),  # the half with the prompt behind
        (6, [0], [1], Layout(0, (0,), 2, 1)),  # in front
        (9, [3], [4], Layout(0, (1,), 3, 1)),  # three parts
        (12, [6, 7], [8, 9], Layout(0, (2, 3), 2, 2)),  # two images of each prompt behind
        (6, [0, 1], [2, 3], Layout(0, (0, 1), 1, 2)),  # two frames, or tokens that lie end to end
    ],
)
def test_a_layout_is_what_moves(count: int, first: list[int], second: list[int], layout: Layout) -> None:
    base, *changed = moved(count, first, second)
    (found,) = find_layouts(base, changed)[SITE]
    assert found == layout
    rows = torch.arange(count).repeat_interleave(2).view(count, 2)
    assert found.pick(rows, 3)[0, :, 0, 0].tolist() == first
    assert found.pick(rows, 3)[1, :, 0, 0].tolist() == second


def test_what_cannot_be_told_apart_is_refused() -> None:
    base, *changed = moved(3, [0, 1], [0, 1])
    with pytest.raises(MismatchError, match="cannot be told apart"):
        find_layouts(base, changed)
    with pytest.raises(MismatchError, match="does not depend on the prompts"):
        find_layouts(run(torch.ones(3, 2)), [run(torch.ones(3, 2))] * 2)
    with pytest.raises(MismatchError, match="the tokens of all prompts lie end to end"):
        find_layouts(run(torch.ones(14, 2)), [run(torch.ones(15, 2))] * 2)  # of unlike lengths
    with pytest.raises(MismatchError, match="expected a multiple of 4"):
        Layout(0, (0,), 2).pick(torch.ones(3, 2), 2)


def test_prompts_of_like_length_are_exchanged_and_the_longest_stays() -> None:
    first, *_, last = prompts_to_change(["a b c", "a b c d e f", "x y z", "a"])
    assert first == ("a b c", "x y z", "a b c d e f")
    assert last == ("a", "a b c d e f", "a b c d e f")
    assert prompts_to_change(["a", "a"]) == []
