"""Load the bundled model, its open_clip model and what its prompts may say."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lineas.errors import MissingExtraError, require
from lineas.scenes import BUNDLED
from lineas.scenes.grammar import unknown_words, vocabulary

WEIGHTS = Path(__file__).parent / "weights"
PIPELINE = WEIGHTS / "pipeline"
FOLDERS = dict(zip(BUNDLED, (PIPELINE, WEIGHTS / "transformer"), strict=True))
CLIP = WEIGHTS / "clip"


def load_pipeline(dtype: Any = None, name: str = BUNDLED[0]) -> Any:
    """A bundled model as a stock pipeline of diffusers; images are 128 × 128 pixels.

    "scenes" is a `StableDiffusionPipeline` of one step: ``num_inference_steps=1, guidance_scale=0``.
    "scenes-transformer" is a `ZImagePipeline` of few steps: ``num_inference_steps=2, guidance_scale=0,
    height=128, width=128``.

    dtype: torch dtype of the weights, float32 when not given.

    Raises `MissingExtraError`: diffusers or transformers is not installed, or diffusers is too old.
    """
    diffusers = require("diffusers", "diffusers")
    require("transformers", "diffusers")
    kind = getattr(diffusers, "StableDiffusionPipeline" if name == BUNDLED[0] else "ZImagePipeline", None)
    if kind is None:
        raise MissingExtraError(
            f"{name} is a ZImagePipeline, which diffusers {diffusers.__version__} has not got. "
            "Install diffusers 0.36 or newer."
        )
    with _quiet(diffusers):
        pipe = kind.from_pretrained(str(FOLDERS[name]), local_files_only=True)
    pipe.register_to_config(_name_or_path=f"lineas/{name}")  # known by its name, wherever the package lies
    pipe.set_progress_bar_config(disable=True)
    return pipe if dtype is None else pipe.to(dtype)


@contextmanager
def _quiet(diffusers: Any) -> Iterator[None]:
    """Without the bars and remarks of loading: that the autoencoder is a tiny one is what it should be."""
    import transformers

    loggers = (diffusers.utils.logging, transformers.utils.logging)
    levels = [logger.get_verbosity() for logger in loggers]
    try:
        for logger in loggers:
            logger.set_verbosity_error()
            logger.disable_progress_bar()
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.set_verbosity(level)
            logger.enable_progress_bar()


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
    """Measured on held-out renders and prompts: detector, open_clip model and generator."""
    return {path.stem: json.loads(path.read_text()) for path in sorted((WEIGHTS / "figures").glob("*.json"))}
