"""Measurements of what a steering does: how much of the concept is gone, and how much of the rest stayed.

Figures need matplotlib and CLIP scores open_clip, both in the extra `evaluation`; the offline judge of texts
needs alt-profanity-check and accuracy lm-eval, both in `language-evaluation`; the rest needs none of them.
"""

from lineas.evaluation.clip_score import ClipScore
from lineas.evaluation.grid import contact_sheet
from lineas.evaluation.image_change import mean_square_change
from lineas.evaluation.image_features import ImageFeatures
from lineas.evaluation.rates import (
    Rate,
    erasure_rate,
    joint_rate,
    monotonicity,
    presence_rate,
    retain_rate,
    wilson_interval,
)
from lineas.evaluation.sweep import Sweep, sweep_strengths

__all__ = [
    "ClipScore",
    "ImageFeatures",
    "Rate",
    "Sweep",
    "contact_sheet",
    "erasure_rate",
    "joint_rate",
    "mean_square_change",
    "monotonicity",
    "presence_rate",
    "retain_rate",
    "sweep_strengths",
    "wilson_interval",
]
