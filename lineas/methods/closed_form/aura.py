"""AurA (arXiv 2407.12824): units are damped by how well they tell source from target prompts."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lineas.fitting.problem import Problem
from lineas.fitting.progress import Callback
from lineas.maps.affine import AffineMap
from lineas.methods.closed_form.estimator import ClosedForm, ClosedFormOptions, rows_option
from lineas.steering.steering import Steering


@dataclass(frozen=True)
class AurAConfig(ClosedFormOptions):
    """Options of AurA."""

    rows: str = rows_option("max")


def fit(
    problem: Problem,
    config: AurAConfig | None = None,
    progress: Callback | None = None,
    seconds: float | None = None,
) -> Steering:
    """Units that respond to the source prompts are damped, at all sites from the untouched model.

    It can only take a concept away: the source prompts are those that have it.
    """
    return ClosedForm("aura", damping, problem, config or AurAConfig(), progress, seconds).at_once()


def damping(source: list[Tensor], target: list[Tensor]) -> AffineMap:
    """[n, d] source and [m, d] target rows per firing -> the map ω = 1 − Gini, with shift 0.

    Gini = 2 (AUROC − 1/2) where AUROC > 1/2, else 0 (arXiv 2407.12824; the row of AurA in table 1 of arXiv
    2410.23054).
    """
    gini = 2 * (auroc(torch.cat(source), torch.cat(target)) - 0.5).clamp_min(0)
    return AffineMap(-gini, torch.zeros_like(gini))


def auroc(positive: Tensor, negative: Tensor) -> Tensor:
    """[n, d], [m, d] -> [d] per unit the chance that a positive row lies above a negative one, ties half."""
    below = negative.mT.contiguous().sort(1).values
    values = positive.mT.contiguous()
    smaller = torch.searchsorted(below, values) + torch.searchsorted(below, values, right=True)
    return smaller.double().mean(1).to(positive) / (2 * len(negative))
