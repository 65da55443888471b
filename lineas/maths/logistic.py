"""Logistic regression by Newton's method, in the few dimensions that the rows span."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import softplus

STEPS = 100
TOLERANCE = 1e-9


def logistic_regression(rows: Tensor, labels: Tensor, evidence: float = 1.0) -> tuple[Tensor, Tensor]:
    """[n, d] rows, [n] labels 0 or 1 -> [d] weight w and [] bias b that minimise the strictly convex

    ½ ‖w‖² + C Σ log(1 + exp(−s (w · x + b))), s = ±1, C = `evidence` > 0; the bias is free, as in
    scikit-learn. Computed in the dtype of `rows`; float64 is meant. Both labels must occur.
    """
    center = rows.mean(0)
    # The minimiser lies in the span of the rows, so that n + 1 numbers are sought whatever d is.
    _, singular, basis = torch.linalg.svd(rows - center, full_matrices=False)
    basis = basis[singular > singular.max() * len(rows) * torch.finfo(rows.dtype).eps]
    reduced = (rows - center) @ basis.mT
    features = torch.cat([reduced, torch.ones_like(rows[:, :1])], 1)
    solution = _minimise(features, 2 * labels - 1, evidence)
    weight = solution[:-1] @ basis
    return weight, solution[-1] - weight @ center


def _minimise(features: Tensor, signs: Tensor, evidence: float) -> Tensor:
    """[n, p] features with ones in the last column, [n] ±1 -> [p] the minimiser, by damped Newton steps."""
    penalised = torch.ones_like(features[0])
    penalised[-1] = 0
    solution = torch.zeros_like(features[0])
    value = _value(solution, features, signs, evidence, penalised)
    for _ in range(STEPS):
        wrong = torch.sigmoid(-signs * (features @ solution))
        gradient = penalised * solution - evidence * features.mT @ (signs * wrong)
        curvature = evidence * (features.mT * (wrong * (1 - wrong))) @ features + penalised.diag()
        # Where all rows are far on their side the free bias has next to no curvature.
        curvature[-1, -1] += torch.finfo(curvature.dtype).eps
        step = torch.linalg.solve(curvature, gradient)
        decrease = (gradient @ step) / 2
        if decrease <= TOLERANCE * (1 + value):
            return solution - step
        length = 1.0
        while (new := _value(solution - length * step, features, signs, evidence, penalised)) > (
            value - 0.25 * length * decrease
        ) and length > 1e-6:
            length /= 2
        solution, value = solution - length * step, new
    return solution


def _value(solution: Tensor, features: Tensor, signs: Tensor, evidence: float, penalised: Tensor) -> Tensor:
    losses = softplus(-signs * (features @ solution))
    return (penalised * solution.square()).sum() / 2 + evidence * losses.sum()
