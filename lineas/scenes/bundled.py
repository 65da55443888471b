"""Load the bundled model, its open_clip model and what its prompts may say."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lineas.errors import require
from lineas.scenes.grammar import unknown_words, vocabulary

WEIGHTS = Path(__file__).parent / "weights"
PIPELINE = WEIGHTS / "pipeline"
CLIP = WEIGHTS / "clip"


def load_pipeline(dtype: Any = None) -> Any:
    """The bundled one-step model as a stock `diffusers.StableDiffusionPipeline`.

    Call it with ``num_inference_steps=1, guidance_scale=0``; images are 128 × 128 pixels.

    Args:
        dtype: torch dtype of the weights, float32 when not given.

    Raises:
        MissingExtraError: diffusers or transformers is not installed.
    """
    import torch

    diffusers = require("diffusers", "diffusers")
    require("transformers", "diffusers")
    pipe = diffusers.StableDiffusionPipeline.from_pretrained(
        str(PIPELINE), torch_dtype=dtype or torch.float32, local_files_only=True
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def load_clip() -> Any:
    """The domain's open_clip model, ready for CLIPScore and IMGScore.

    Raises:
        MissingExtraError: open_clip is not installed.
    """
    from lineas.evaluation.clip_score import ClipScore

    return ClipScore.load(CLIP)


def warn_of_unknown_words(prompts: Iterable[str]) -> list[str]:
    """Warn once of words that the bundled model does not know, listing those that it knows; returns them."""
    unknown = list(dict.fromkeys(word for prompt in prompts for word in unknown_words(prompt)))
    if unknown:
        warnings.warn(
            f"The bundled model does not know {', '.join(unknown)} and passes over it. "
            f"It knows: {', '.join(vocabulary())}.",
            stacklevel=2,
        )
    return unknown


def accuracies() -> dict[str, dict[str, float]]:
    """Measured on held-out renders and prompts: figures of the detector, the open_clip model and the generator."""
    return {path.stem: json.loads(path.read_text()) for path in sorted((WEIGHTS / "figures").glob("*.json"))}
