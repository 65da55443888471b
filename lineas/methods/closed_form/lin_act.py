"""Lin-AcT (arXiv 2410.23054): the affine map per unit that fits the optimal coupling by least squares."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lineas.fitting.problem import Problem
from lineas.fitting.progress import Callback
from lineas.maps.affine import AffineMap
from lineas.maths.transport import coupling
from lineas.methods.closed_form.estimator import SequentialOptions, fit_sequential
from lineas.steering.steering import Steering


@dataclass(frozen=True)
class LinActConfig(SequentialOptions):
    """Options of Lin-AcT."""


def fit(
    problem: Problem,
    config: LinActConfig | None = None,
    progress: Callback | None = None,
    seconds: float | None = None,
) -> Steering:
    """Scale and shift at every site from sorted target rows regressed on sorted source rows."""
    return fit_sequential("lin-act", least_squares, problem, config or LinActConfig(), progress, seconds)


def least_squares(source: list[Tensor], target: list[Tensor]) -> AffineMap:
    """[n, d] source and [m, d] target rows per firing -> the map that minimises Σ (b − ω a − β)².

    The sum runs over the pairs (a, b) of the optimal coupling, weighed by their mass; firings weigh alike. A
    unit whose source rows are all equal is only shifted. Source: arXiv 2410.23054, definition 3.1 (whose ω
    is printed with the target's squares below the line; the minimiser has the source's).
    """
    x, y, weight = _pairs(source, target)
    mean_x, mean_y = weight @ x, weight @ y
    centred_x, centred_y = x - mean_x, y - mean_y
    variance = weight @ centred_x.square()
    noise = 4 * torch.finfo(torch.float32).eps * x.abs().amax(0)
    varies = variance > noise.square()
    # Definition 3.1: ω = Σ ãb̃ / Σ ã², β = m_b − ω m_a.
    scale = torch.where(varies, (weight @ (centred_x * centred_y)) / variance, 1.0)
    return AffineMap(scale - 1, mean_y - scale * mean_x)


def _pairs(source: list[Tensor], target: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """[p, d], [p, d] coupled rows of all firings, and [p] their mass, which sums to 1."""
    parts = [coupling(u, v) for u, v in zip(source, target, strict=True)]
    mass = [torch.full_like(u[:, 0], 1 / len(u)) if m is None else m for u, _, m in parts]
    x, y = torch.cat([u for u, _, _ in parts]), torch.cat([v for _, v, _ in parts])
    return x, y, torch.cat(mass) / len(parts)
