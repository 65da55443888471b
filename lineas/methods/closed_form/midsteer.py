"""MidSteer (arXiv 2605.05220): the affine map that carries one concept to another and disturbs least."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lineas.fitting.options import option
from lineas.fitting.problem import Problem
from lineas.fitting.progress import Callback
from lineas.maps.low_rank import LowRankMap
from lineas.maths.transport import same_rows
from lineas.methods.closed_form.estimator import ClosedForm, ClosedFormOptions, rows_option
from lineas.steering.steering import Steering

TINY = 1e-30


@dataclass(frozen=True)
class MidSteerConfig(ClosedFormOptions):
    """Options of MidSteer."""

    rows: str = rows_option("tokens:16")
    ridge: float = option(
        0.01,
        "Share of the mean variance that is added to every unit's, so that a few rows have a covariance "
        "that can be inverted.",
        minimum=1e-8,
    )


def fit(
    problem: Problem,
    config: MidSteerConfig | None = None,
    progress: Callback | None = None,
    seconds: float | None = None,
) -> Steering:
    """The mean of source rows is carried to that of target rows, at all sites from the untouched model.

    What must be disturbed least is what preserve prompts give, and without them what target prompts give.
    """
    config = config or MidSteerConfig()

    def estimate(source: list[Tensor], target: list[Tensor], neutral: list[Tensor]) -> LowRankMap:
        return carrying(torch.cat(source), torch.cat(target), torch.cat(neutral), config.ridge)

    run = ClosedForm("midsteer", estimate, problem, config, progress, seconds)
    return run.at_once("preserve" if problem.sizes.get("preserve") else "target")


def carrying(source: Tensor, target: Tensor, neutral: Tensor, ridge: float = 0.01) -> LowRankMap:
    """[n, d] source, [m, d] target, [k, d] neutral rows -> z + (a · (z − μ)) (m_t − m_s).

    μ, Σ: mean and covariance of the neutral rows, with `ridge` times the mean variance on Σ's diagonal. With
    s = m_s − μ, a = Σ⁻¹ s / (sᵀ Σ⁻¹ s): of all maps that leave μ where it is and carry m_s to m_t this one
    moves neutral rows least in the mean square. With the target rows as neutral ones it is LEACE's
    projection, about their mean. Where source and target are the same, or the source has the neutral mean,
    nothing is carried.
    Source: arXiv 2605.05220, section 4, with the covariance of neutral prompts.
    """
    center = neutral.mean(0)
    concept, way = source.mean(0) - center, target.mean(0) - source.mean(0)
    length = way.norm()
    if same_rows(source, target) or length == 0 or not concept.any():
        return LowRankMap.identity(source.shape[1])
    covariance = (neutral - center).mT @ (neutral - center) / len(neutral)
    covariance.diagonal().add_(ridge * covariance.diagonal().mean() + TINY)
    read = torch.linalg.solve(covariance, concept)
    read = length * read / (read @ concept)
    rotation = (way / length)[None]
    return LowRankMap(rotation, rotation + read, -(read @ center)[None])
