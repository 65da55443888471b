"""The benchmark of steps, at tiny size: every case runs, and ratios are what they say."""

from __future__ import annotations

import pytest
import torch

from benchmarks import speed
from benchmarks.random_models import RandomProblem, transformer_problem, unet_problem
from benchmarks.turns import Timing, in_turns

pytest.importorskip("diffusers")


def unet() -> RandomProblem:
    return unet_problem("tiny", 4, torch.bfloat16, "cpu")


def test_cases_run_in_turns_and_the_first_round_does_not_count() -> None:
    order: list[str] = []
    times = iter([9.0, 2.0, 3.0])
    timings = in_turns({"a": lambda: order.append("a"), "b": lambda: next(times)}, 2)
    assert order == ["a"] * 3
    assert timings["b"].seconds == [2.0, 3.0]
    told = Timing([3.0, 8.0]).over(Timing([2.0, 4.0]))
    assert told == {"seconds": 3.0, "ratio": 1.5, "median ratio": 1.75}


@pytest.mark.parametrize("make", [unet, lambda: transformer_problem("tiny", 2, torch.bfloat16, "cpu", 2)])
def test_steps_and_passes_of_random_models_are_measured(make: object) -> None:
    problem = make()  # type: ignore[operator]
    ratios, steering = speed.training(problem, ["affine", "two micro-batches, no memory to spare"], 1)
    assert ratios["bare"]["ratio"] == 1 and all(each["seconds"] > 0 for each in ratios.values())
    assert len(steering.maps) == len(problem.sites)
    passes = speed.applied(problem, steering, 1)
    assert set(passes) == {"bare pass", "hooked", "fused", "strength, hooked", "strength, fused"}
    about = {"parameters": 1, "dtype": "bf16", "sites": 1, "prompts": 4, "rounds": 1, "machine": "m"}
    page = speed.page({"one": {"training": ratios, "applied": passes, "model": about}})
    assert "| two micro-batches, no memory to spare |" in page and "| fused |" in page
    assert f"100 steps of affine maps: {100 * ratios['affine']['seconds']:.0f} s." in page


def test_memory_is_that_of_this_process() -> None:
    told = speed.memory_of(unet(), micro_batch=2, keep=False)
    assert told["MiB"] > 10 and told["seconds"] > 0
