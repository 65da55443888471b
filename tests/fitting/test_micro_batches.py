"""Micro-batches: every option of a fit gives the same maps at every size, and wherever memory runs short."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from toys.problem import ToyProblem

from lineas.errors import LineasError
from lineas.methods.lineas.config import TrainConfig
from lineas.methods.lineas.trainer import fit
from lineas.steering.steering import Steering

SIZES = (5, 7, 6)
OPTIONS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "steer the first": {"steer": "blocks.0.norm"},
    "steer the middle": {"steer": "blocks.1.norm"},
    "steer the last": {"steer": "head"},
    "steer two": {"steer": "blocks.0.norm2,head"},
    "gated": {"map": "gated"},
    "gated, steer the middle": {"map": "gated", "steer": "blocks.1.*"},
    "tokens": {"rows": "tokens:3"},
    "tokens, steer": {"rows": "tokens:3", "steer": "blocks.1.norm2"},
    "preserve tokens": {"preserve_rows": "tokens:3"},
    "sgd": {"optimizer": "sgd", "learning_rate": 0.01},
    "raw": {"standardise": False},
    "sparse": {"sparsity": 0.05},
    "group alone": {"sparsity": 0.05, "l1": 0.0},
    "recomputed": {"checkpointing": True},
    "recomputed, steer": {"checkpointing": True, "steer": "blocks.1.norm"},
    "no preserve": {"preserve_weight": 0.0},
    "no backtrack": {"backtrack": False, "learning_rate": 0.01},
    "tolerance": {"tolerance": 0.01},
    "seed": {"seed": 5, "rows": "tokens:2"},
}


def fitted(micro_batch: int, problem: ToyProblem | None = None, **options: Any) -> Steering:
    config = TrainConfig.preset("fast", **{"steps": 2, "micro_batch": micro_batch, **options})
    return fit(problem or ToyProblem(SIZES), config)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_every_option_gives_the_same_maps_at_every_micro_batch_size(options: dict[str, Any]) -> None:
    whole = fitted(0, **options)
    assert whole.sparsity < 1
    for size in (1, 3):
        assert fitted(size, **options).allclose(whole, rtol=1e-5, atol=1e-7), size


def test_short_memory_with_some_sites_steered_halves_and_goes_on() -> None:
    short = fitted(0, ToyProblem(SIZES, limit=3), steer="blocks.1.norm")
    assert short.allclose(fitted(0, steer="blocks.1.norm"), rtol=1e-5, atol=1e-7)


class ShortAt(TorchDispatchMode):
    """Memory runs short once, at one operation of the fit; `count` of them ran."""

    def __init__(self, place: int = -1) -> None:
        super().__init__()
        self.place, self.count = place, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += 1
        if self.count == self.place:
            raise torch.cuda.OutOfMemoryError("device full")
        return func(*args, **(kwargs or {}))


def test_memory_that_runs_short_anywhere_gives_the_same_maps_or_a_refusal() -> None:
    options = {"steer": "blocks.1.norm"}
    with ShortAt() as whole:
        expected = fitted(0, **options)
    outcomes = {"same": 0, "refused": 0}
    for place in range(1, whole.count, whole.count // 6):
        problem = ToyProblem(SIZES)
        try:
            with ShortAt(place):
                got = fitted(0, problem, **options)
        except LineasError as error:
            outcomes["refused"] += "Memory ran out" in str(error)
        else:
            assert got.allclose(expected, rtol=1e-5, atol=1e-7)
            outcomes["same"] += 1
        assert not any(m._forward_hooks for m in problem.model.modules())
    assert sum(outcomes.values()) >= 6 and outcomes["same"] > outcomes["refused"]
