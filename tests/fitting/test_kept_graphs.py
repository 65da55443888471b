"""Graphs kept: no second pass where memory is free, the same gradient either way."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from toys.problem import ToyProblem, gradients_of, moved

from lineas.fitting import kept_graphs
from lineas.methods.lineas.config import TrainConfig
from lineas.methods.lineas.trainer import Trainer

SIZES = (6, 6, 0)


def trainer(problem: ToyProblem | None = None, **options: Any) -> Trainer:
    config = TrainConfig.preset("fast", **{"steps": 4, "micro_batch": 2, **options})
    return moved(Trainer(problem or ToyProblem(SIZES), config))


def gradient(made: Trainer) -> list[torch.Tensor]:
    with made._ready():
        assert made.gradient() is None
    return gradients_of(made.parameters)


def runs_of_a_step(made: Trainer) -> int:
    gradient(made)  # the first measures what a graph keeps
    before = made.problem.runs
    gradient(made)
    return made.problem.runs - before


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> Any:
    def set_to(size: int) -> None:
        monkeypatch.setattr(kept_graphs, "free_memory", lambda device: size)

    return set_to


@pytest.mark.parametrize(("size", "runs"), [(1 << 40, 3), (0, 5)])
def test_free_memory_saves_the_second_pass(size: int, runs: int, free: Any) -> None:
    """Three micro-batches; the last one never runs twice."""
    free(size)
    assert runs_of_a_step(trainer()) == runs


@pytest.mark.parametrize("map", ["affine", "gated"])
@pytest.mark.parametrize("size", [1 << 40, 0])
def test_the_gradient_is_that_of_one_pass(size: int, map: str, free: Any) -> None:
    free(size)
    whole, parts = trainer(micro_batch=0, map=map), trainer(map=map)
    for _ in range(2):
        torch.testing.assert_close(gradient(parts), gradient(whole), rtol=1e-9, atol=1e-12)
    assert parts.batches.graphs.count == 0


def test_room_for_one_graph_keeps_one(free: Any) -> None:
    made = trainer()
    free(1 << 40)
    gradient(made)
    one = kept_graphs.ROOM * 2 * made.batches.graphs.bytes_per_prompt
    answers = iter([one, one - 1])
    made.batches.graphs.has_room = lambda *_: next(answers) >= one  # type: ignore[method-assign]
    before = made.problem.runs
    gradient(made)
    assert made.problem.runs - before == 4


def test_what_a_graph_keeps_is_measured_without_the_weights() -> None:
    made = trainer()
    gradient(made)
    per_prompt = made.batches.graphs.bytes_per_prompt
    blocks = 5 * 6 * 8  # one activation of a prompt: tokens, units, bytes
    assert 5 * blocks < per_prompt < 60 * blocks


def test_memory_that_runs_short_gives_up_what_was_kept_before_it_halves(free: Any) -> None:
    free(1 << 40)
    problem = ToyProblem(SIZES)
    made, expected = trainer(problem), gradient(trainer(micro_batch=0))
    gradient(made)
    ran = problem.run

    def short_once(group: Any, indices: Any) -> None:
        if made.batches.graphs.count == 2:
            raise torch.cuda.OutOfMemoryError("device full")
        ran(group, indices)

    problem.run = short_once  # type: ignore[method-assign]
    torch.testing.assert_close(gradient(made), expected, rtol=1e-9, atol=1e-12)
    assert made.batches.size == 2 and not made.batches.graphs.wanted


def test_nothing_is_kept_where_activations_are_recomputed(free: Any) -> None:
    free(1 << 40)
    assert runs_of_a_step(trainer(checkpointing=True)) == 5
    told_by_others = ToyProblem(SIZES)
    told_by_others.model.blocks[0].gradient_checkpointing = True
    assert runs_of_a_step(trainer(told_by_others)) == 5


def test_the_cpu_tells_what_is_free() -> None:
    assert kept_graphs.free_memory(torch.device("cpu")) >= 0
    assert kept_graphs.free_memory(torch.device("meta")) == 0
