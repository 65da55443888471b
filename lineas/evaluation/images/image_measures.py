"""Measures of images by name, as `sweep_strengths` takes them: CLIPScore, IMGScore, what a detector finds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from lineas.adapters.images.clip_score import ClipScore
from lineas.evaluation.images.image_change import mean_square_change
from lineas.evaluation.images.image_features import ImageFeatures
from lineas.evaluation.sweep import Images, Measure

Concept = tuple[str, str]
Detect = Callable[[Images], Sequence[Iterable[Concept]]]


def image_measures(
    prompts: Sequence[str],
    clip: ClipScore | None = None,
    features: ImageFeatures | ClipScore | None = None,
    text: str | None = None,
) -> dict[str, Measure]:
    """Measures against the unsteered images of the same prompts and seeds.

    clip: CLIPScore of image i with `text`, or with prompt i where there is none. features: IMGScore.
    """
    measures: dict[str, Measure] = {"mean square change": mean_square_change}
    if clip is not None:
        measures["CLIPScore"] = lambda images, _: clip.image_text(images, text or list(prompts))
    if features is not None:
        measures["IMGScore"] = features.image_image
    return measures


def detected_measures(detect: Detect, concept: Concept) -> dict[str, Measure]:
    """How often `concept` is found, gone where it was, and how much of the rest of each image is kept."""

    def pairs(images: Images, reference: Images) -> list[tuple[Any, Any]]:
        return list(zip(detect(reference), detect(images), strict=True))

    def found(images: Images, _: Images) -> list[bool]:
        return [concept in each for each in detect(images)]

    def erased(images: Images, reference: Images) -> list[bool]:
        return [concept not in after for before, after in pairs(images, reference) if concept in before]

    def kept(images: Images, reference: Images) -> list[bool]:
        both = pairs(images, reference)
        return [other in after for before, after in both for other in before if other != concept]

    return {"found": found, "erased": erased, "rest kept": kept}
