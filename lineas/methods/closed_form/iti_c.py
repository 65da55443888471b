"""ITI-c: inference-time intervention along the direction of a linear classifier (arXiv 2306.03341)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lineas.fitting.options import option
from lineas.fitting.problem import Problem
from lineas.fitting.progress import Callback
from lineas.maps.affine import AffineMap
from lineas.maths.logistic import logistic_regression
from lineas.methods.closed_form.estimator import ClosedForm, ClosedFormOptions, rows_option
from lineas.steering.steering import Steering


@dataclass(frozen=True)
class ITIConfig(ClosedFormOptions):
    """Options of ITI-c."""

    rows: str = rows_option("auto")
    evidence: float = option(
        1.0,
        "Weight of the prompts against the penalty on the classifier's weights; raising it separates the "
        "sets more sharply (C of scikit-learn).",
        minimum=1e-8,
    )


def fit(
    problem: Problem,
    config: ITIConfig | None = None,
    progress: Callback | None = None,
    seconds: float | None = None,
) -> Steering:
    """A shift of one standard deviation along each site's classifier, at all sites from the untouched model.

    The strength is what the paper calls α: several standard deviations are usual.
    """
    config = config or ITIConfig()

    def estimate(source: list[Tensor], target: list[Tensor]) -> AffineMap:
        return classifier_shift(torch.cat(source), torch.cat(target), config.evidence)

    return ClosedForm("iti-c", estimate, problem, config, progress, seconds).at_once()


def classifier_shift(source: Tensor, target: Tensor, evidence: float = 1.0) -> AffineMap:
    """[n, d] source, [m, d] target rows -> z + σ θ.

    θ: the unit normal of a logistic regression that tells target from source rows, towards the target. σ:
    the standard deviation of all n + m rows along θ. Source: arXiv 2306.03341, equation 2, with α = 1; as in
    arXiv 2410.23054 (table 1) at every site instead of at selected attention heads.
    """
    rows = torch.cat([source, target])
    labels = torch.cat([torch.zeros_like(source[:, 0]), torch.ones_like(target[:, 0])])
    weight, _ = logistic_regression(rows, labels, evidence)
    length = weight.norm()
    direction = weight / length if length > 0 else weight
    shift = (rows @ direction).std(correction=0) * direction
    return AffineMap(torch.zeros_like(shift), shift)
