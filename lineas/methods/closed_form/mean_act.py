"""Mean-AcT (arXiv 2410.23054): a shift per unit that moves the source mean onto the target mean."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lineas.fitting.problem import Problem
from lineas.fitting.progress import Callback
from lineas.maps.affine import AffineMap
from lineas.methods.closed_form.estimator import SequentialOptions, fit_sequential
from lineas.steering.steering import Steering


@dataclass(frozen=True)
class MeanActConfig(SequentialOptions):
    """Options of Mean-AcT."""


def fit(
    problem: Problem,
    config: MeanActConfig | None = None,
    progress: Callback | None = None,
    seconds: float | None = None,
) -> Steering:
    """The difference of means as a shift at every site."""
    return fit_sequential("mean-act", mean_difference, problem, config or MeanActConfig(), progress, seconds)


def mean_difference(source: list[Tensor], target: list[Tensor]) -> AffineMap:
    """[n, d] source and [m, d] target rows per firing -> z + (m_b − m_a).

    Source: arXiv 2410.23054, section 3.1, T(a) = a + m_b − m_a.
    """
    shift = torch.cat(target).mean(0) - torch.cat(source).mean(0)
    return AffineMap(torch.zeros_like(shift), shift)
