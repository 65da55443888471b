"""CASteer (arXiv 2503.09630): positions are turned away from a concept's direction, or toward it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from lineas.fitting.options import option
from lineas.fitting.problem import Problem
from lineas.fitting.progress import Callback
from lineas.maps.turned import TurnedMap
from lineas.maths.transport import same_rows
from lineas.methods.closed_form.estimator import ClosedForm, ClosedFormOptions
from lineas.steering.steering import Steering


@dataclass(frozen=True)
class CASteerConfig(ClosedFormOptions):
    """Options of CASteer."""

    turn: Literal["away", "toward"] = option(
        "away",
        "away: from what the source prompts have and the target prompts lack, where it is there, to remove "
        "or to swap; toward: to what the target prompts have, everywhere, to add.",
    )
    amount: float = option(
        1.0,
        "How far: away 1 mirrors what points along the direction and 0.5 takes it out; toward 1 goes as far "
        "as the means lie apart.",
        minimum=0,
    )


def fit(
    problem: Problem,
    config: CASteerConfig | None = None,
    progress: Callback | None = None,
    seconds: float | None = None,
) -> Steering:
    """One direction per site from the difference of means, at all sites from the untouched model.

    The paper acts at the outputs of cross-attention, with a direction for each denoising step; here the
    steps of a run share one.
    """
    config = config or CASteerConfig()

    def estimate(source: list[Tensor], target: list[Tensor]) -> TurnedMap:
        return turned(torch.cat(source), torch.cat(target), config.turn, config.amount)

    return ClosedForm("casteer", estimate, problem, config, progress, seconds).at_once()


def turned(
    source: Tensor, target: Tensor, turn: Literal["away", "toward"] = "away", amount: float = 1.0
) -> TurnedMap:
    """[n, d] source, [m, d] target rows -> the turn by the direction between their means m_s and m_t.

    away: v = (m_s − m_t) / ‖m_s − m_t‖, z − β max(v·z, 0) v with β = 2 `amount`. toward: v = (m_t − m_s) /
    ‖m_t − m_s‖, z + α v with α = `amount` ‖m_t − m_s‖. Both are made as long as z was. Where source and
    target are the same, nothing is turned. Source: arXiv 2503.09630, whose authors take β = 2, and α = 10 in
    the activations' own units.
    """
    gap = source.mean(0) - target.mean(0)
    length = gap.norm()
    if same_rows(source, target) or length == 0:
        return TurnedMap.identity(source.shape[1])
    zero, one = gap.new_zeros(()), gap.new_ones(())
    if turn == "away":
        return TurnedMap(gap / length, 2 * amount * one, zero, one)
    return TurnedMap(-gap / length, zero, amount * length, one)
