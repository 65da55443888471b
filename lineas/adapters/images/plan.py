"""Before a fit: what it will need in memory, from the configuration of a pipeline alone."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from lineas.adapters.images.hollow import hollow_from_name, hollow_twin
from lineas.adapters.images.problem import TEXT_ENCODER, DiffusionProblem
from lineas.errors import ConfigError
from lineas.fitting.memory import Memory, bytes_of, counted
from lineas.fitting.problem import Problem
from lineas.fitting.trained_weights import Holder, at_work
from lineas.maps.affine import AffineMap
from lineas.modules.kinds import is_norm, width
from lineas.modules.names import named_modules
from lineas.steering.site import Site

COPIES = 4
"""Of each number that is learned: itself, its gradient and two that Adam keeps, in float32 like the rows."""


def memory_of(
    pipe: Any,
    source: Sequence[str],
    target: Sequence[str],
    preserve: Sequence[str] | None = None,
    *,
    dtype: torch.dtype | None = None,
    **options: Any,
) -> Memory:
    """What a `fit` of affine maps with these arguments needs. No weight is loaded and nothing is computed.

    pipe: a pipeline of diffusers, or the name or folder of one. dtype: of its weights, None is its own or
    the one that loading takes. options: sites, recipe and seed as `fit` takes them. What attention holds is
    that of kernels that never hold all its weights. Raises `ConfigError` for sites in text encoders, whose
    memory is not counted, and as `fit` does.
    """
    is_name = not hasattr(pipe, "components")
    hollow = hollow_from_name(str(pipe), dtype) if is_name else hollow_twin(pipe, dtype)
    problem = DiffusionProblem(hollow, source, target, preserve, **options)
    if any(site.name.startswith(TEXT_ENCODER) for site in problem.sites):
        raise ConfigError("The memory of sites in text encoders is not counted. Give sites of the denoiser.")
    problem.order_sites()
    numbers = 4 * sum(_width(problem, site) for site in problem.sites)
    plain, saving = (_for_each(problem, recomputes) for recomputes in (False, True))
    parts = {name: part for name, part in hollow.components.items() if isinstance(part, nn.Module)}
    rest = [part for name, part in parts.items() if name.startswith(TEXT_ENCODER)]
    return Memory(
        weights=bytes_of(part for part in parts.values() if part not in rest),
        encoders=bytes_of(rest),
        prompt=plain,
        recomputed=saving,
        maps=COPIES * 2 * numbers,
        rows=sum(problem.sizes.values()) * numbers,
    )


def _for_each(problem: Problem, recomputes: bool) -> int:
    """Bytes that each prompt of a micro-batch takes."""
    one, two = (_peak(problem, count, recomputes) for count in (1, 2))
    return max(two - one, two // 2)


def _peak(problem: Problem, prompts: int, recomputes: bool) -> int:
    """The most that a forward and a backward of so many prompts hold at once, weights apart."""
    maps = {site: _map(_width(problem, site)) for site in problem.sites}
    table = named_modules(problem.components)
    norms = {site: table[site.name] for site in problem.sites if is_norm(table[site.name])}
    held = {site: Holder(norm, 0, norm._parameters.get("bias") is not None) for site, norm in norms.items()}
    saving = problem.checkpointing() if recomputes else nullcontext()
    with problem.frozen(), torch.enable_grad(), saving, counted() as most, at_work(maps, held) as left:

        def transform(site: Site, z: Tensor) -> Tensor:
            return left[site](site, z) if site in left else maps[site](z, 1.0, site.axis)

        with Problem.recording(problem, "source", range(prompts), transform) as rows:
            outputs = [each.sum() for firings in rows.values() for each in firings if each.requires_grad]
            torch.autograd.backward(outputs)
    return most()


def _map(units: int) -> AffineMap:
    return AffineMap(*(torch.zeros(units, device="meta", requires_grad=True) for _ in range(2)))


def _width(problem: Problem, site: Site) -> int:
    found = width(named_modules(problem.components)[site.name])
    assert found is not None  # presets and patterns find modules that tell
    return found
