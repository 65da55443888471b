"""Models under torch.compile: a fit sees its maps at work, and gives the maps of the model as it was."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from toys.problem import ToyProblem

from lineas.methods.lineas.config import TrainConfig
from lineas.methods.lineas.trainer import fit

pytestmark = pytest.mark.slow


def whole(problem: ToyProblem, backend: Any) -> None:
    problem.model = torch.compile(problem.model, backend=backend)  # type: ignore[assignment]
    problem.components = {"": problem.model}


def block_by_block(problem: ToyProblem, backend: Any) -> None:
    for block in problem.model.blocks:
        block.compile(backend=backend)


@pytest.mark.parametrize("compile", [whole, block_by_block])
def test_a_fit_on_a_compiled_model_gives_the_same_maps(compile: Any) -> None:
    torch._dynamo.reset()
    graphs: list[Any] = []

    def backend(graph: Any, inputs: Any) -> Any:
        graphs.append(graph)
        return graph.forward

    config = TrainConfig.preset("fast", steps=2)
    plain, compiled = ToyProblem((4, 4, 0)), ToyProblem((4, 4, 0))
    compile(compiled, backend)
    assert fit(compiled, config).allclose(fit(plain, config), rtol=1e-6, atol=1e-8)
    assert graphs
