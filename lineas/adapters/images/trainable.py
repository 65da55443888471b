"""What a pipeline cannot be trained with, said before a backward pass fails on it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import nn

from lineas.adapters.images.calling import parameters_of
from lineas.architectures.recipe import Recipe
from lineas.errors import LineasError, MismatchError, plain
from lineas.fitting.micro_batches import is_out_of_memory

_RAW = (TypeError, ValueError, RuntimeError, AttributeError, LookupError)
_PICTURES = re.compile(r"^(\w+_)?(image|images|video|frames|mask)$")


@contextmanager
def failures_told(pipe: Any, recipe: Recipe, prompts: int) -> Iterator[None]:
    """What a pipeline raises, as a `MismatchError` that says how it was called and what it may lack."""
    try:
        yield
    except _RAW as error:
        if isinstance(error, LineasError) or is_out_of_memory(error):
            raise
        lacks = [
            name for name in parameters_of(pipe) if _PICTURES.match(name) and name not in recipe.arguments
        ]
        advice = "Give a text-to-image pipeline of diffusers, or another recipe."
        if lacks:
            advice = (
                f"It was given prompts alone, and can take {', '.join(lacks)}. Give what it needs among the "
                "recipe's arguments, or fit on the text-to-image pipeline of the same models: its steerings "
                "serve this one too."
            )
        raise MismatchError(
            f"{type(pipe).__name__} fails with the recipe {recipe.name} on {prompts} prompts at once: "
            f"{plain(error)}. {advice}"
        ) from error


def check_trainable(components: Mapping[str, nn.Module]) -> None:
    """Refuse what no gradient goes through, as a `MismatchError`."""
    for name, part in components.items():
        if any(weight.is_inference() for weight in part.parameters()):
            raise MismatchError(
                f"The weights of {name} were made in torch.inference_mode, and no gradient can go through "
                "them. Load the pipeline outside of it."
            )
