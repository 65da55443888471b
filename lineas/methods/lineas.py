"""LinEAS (arXiv 2503.10679): affine maps at all sites, trained end to end with a distributional cost."""

from __future__ import annotations

from lineas.config import TrainConfig
from lineas.problem import Problem
from lineas.steering import Steering
from lineas.training import Callback, Trainer


def fit(problem: Problem, config: TrainConfig | None = None, progress: Callback | None = None) -> Steering:
    """The steering that moves source rows onto target rows at every site at once; see `Trainer`."""
    return Trainer(problem, config).run(progress)
