"""What must hold of the rows of every pipeline, however it runs its prompts."""

from __future__ import annotations

from typing import Any

import torch
from toys.pipelines import TARGET

from lineas.adapters.images.problem import DiffusionProblem
from lineas.adapters.images.recipes import Recipe


def assert_rows_move_with_their_prompt(pipe: Any, recipe: Recipe, sites: Any = None) -> None:
    """Row i of the captured steps depends on prompt i, and on no other."""
    first, second, other = "a red house at night", "a boat at night", "a cat at night"
    problems = [
        DiffusionProblem(pipe, [first, each], TARGET, recipe=recipe, sites=sites) for each in (second, other)
    ]
    with torch.no_grad():
        rows, changed = (each.rows("source", [0, 1]) for each in problems)
    moves = []
    for site, firings in rows.items():
        for one, two in zip(firings, changed[site], strict=True):
            assert len(one) == 2, site
            near = 1e-4 * float(one.abs().max())
            assert torch.allclose(one[0], two[0], rtol=1e-3, atol=near), site
            moves.append(not torch.allclose(one[1], two[1], rtol=1e-4, atol=1e-6))
    assert sum(moves) >= len(moves) / 2
