"""CAA, contrastive activation addition (arXiv 2312.06681): the mean difference of last tokens, added."""

from __future__ import annotations

from dataclasses import dataclass

from lineas.fitting.problem import Problem
from lineas.fitting.progress import Callback
from lineas.methods.closed_form.estimator import ClosedForm, ClosedFormOptions, rows_option
from lineas.methods.closed_form.mean_act import mean_difference
from lineas.steering.steering import Steering


@dataclass(frozen=True)
class CAAConfig(ClosedFormOptions):
    """Options of CAA."""

    rows: str = rows_option("auto")


def fit(
    problem: Problem,
    config: CAAConfig | None = None,
    progress: Callback | None = None,
    seconds: float | None = None,
) -> Steering:
    """The mean of target minus source rows as a shift, at all sites from the untouched model.

    Source: arXiv 2312.06681, equation 1: the mean over pairs of a(positive) − a(negative), which for sets
    without pairs is the difference of their means.
    """
    return ClosedForm("caa", mean_difference, problem, config or CAAConfig(), progress, seconds).at_once()
