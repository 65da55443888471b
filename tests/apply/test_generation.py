"""A model's own `generate`, followed while something is on it and given back as it was."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from lineas.apply.generation import follow_generations, prompt_length
from lineas.apply.undo import Undo


class Model(torch.nn.Module):
    def generate(self, inputs: Any = None, fail: bool = False, **given: Any) -> Any:
        """What this one says."""
        if fail:
            raise ValueError
        return id(self)


class Follower:
    def __init__(self) -> None:
        self.told: list[int | str] = []

    def begin(self, prompt: int) -> None:
        self.told.append(prompt)

    def end(self) -> None:
        self.told.append("end")


def test_it_tells_the_prompts_length_and_the_end_also_after_a_failure() -> None:
    model, follower, undo = Model(), Follower(), Undo()
    follow_generations({"": model}, follower, undo)
    assert model.generate(torch.ones(2, 3)) == id(model) and model.generate.__doc__ == "What this one says."
    with pytest.raises(ValueError):
        model.generate(input_ids=torch.ones(1, 5), fail=True)
    assert follower.told == [3, "end", 5, "end"]
    undo()
    assert "generate" not in model.__dict__


def test_two_leave_in_any_order_and_what_was_set_comes_back() -> None:
    model, followers, undos = Model(), [Follower(), Follower()], [Undo(), Undo()]
    own = model.generate = lambda *args, **given: "own"
    for follower, undo in zip(followers, undos, strict=True):
        follow_generations({"": model}, follower, undo)
    undos[0]()
    assert model.generate(torch.ones(1, 2)) == "own"
    assert [follower.told for follower in followers] == [[], [2, "end"]]
    undos[1]()
    assert model.generate is own


def test_a_copy_generates_for_itself_unfollowed() -> None:
    model, follower, undo = Model(), Follower(), Undo()
    follow_generations({"": model}, follower, undo)
    copied = copy.deepcopy(model)
    assert copied.generate(torch.ones(1, 2)) == id(copied) and follower.told == []
    undo()


@pytest.mark.parametrize(
    ("args", "given", "length"),
    [
        ((torch.ones(2, 3),), {}, 3),
        ((), {"input_ids": torch.ones(1, 4)}, 4),
        ((), {"inputs_embeds": torch.ones(1, 5, 8)}, 5),
        ((), {"inputs": None}, 1),
    ],
)
def test_the_length_of_a_prompt(args: Any, given: Any, length: int) -> None:
    assert prompt_length(args, given) == length
