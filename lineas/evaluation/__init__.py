"""Measurements of what a steering does: how much of the concept is gone, and how much of the rest stayed.

Figures need matplotlib and CLIP scores open_clip, both in the extra `evaluation`; everything else needs
neither.
"""

from lineas.evaluation.clip_score import ClipScore
from lineas.evaluation.grid import contact_sheet
from lineas.evaluation.image_change import mean_square_change
from lineas.evaluation.rates import (
    Rate,
    erasure_rate,
    monotonicity,
    presence_rate,
    retain_rate,
    wilson_interval,
)
from lineas.evaluation.sweep import Sweep, sweep_strengths

__all__ = [
    "ClipScore",
    "Rate",
    "Sweep",
    "contact_sheet",
    "erasure_rate",
    "mean_square_change",
    "monotonicity",
    "presence_rate",
    "retain_rate",
    "sweep_strengths",
    "wilson_interval",
]
