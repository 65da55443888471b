"""Activation steering trained end to end from prompts (LinEAS, arXiv 2503.10679)."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from lineas.version import __version__

if TYPE_CHECKING:
    from lineas.adapters.images.loading import load_pipeline
    from lineas.adapters.intents import add, remove, swap
    from lineas.adapters.language.loading import load_language_model
    from lineas.adapters.problems import fit
    from lineas.adapters.steered_model import SteeredModel
    from lineas.apply.fusing import fuse
    from lineas.apply.hooks import steer
    from lineas.apply.tokens import token_mask
    from lineas.architectures.recipe import Recipe
    from lineas.prompts.concepts import concept_prompts
    from lineas.steering.site import Site
    from lineas.steering.steering import Steering

# Each name is imported when it is first asked for: the node pack and the command line need few of them.
_HOMES = {
    "remove": "adapters.intents",
    "add": "adapters.intents",
    "swap": "adapters.intents",
    "fit": "adapters.problems",
    "steer": "apply.hooks",
    "fuse": "apply.fusing",
    "load_pipeline": "adapters.images.loading",
    "load_language_model": "adapters.language.loading",
    "concept_prompts": "prompts.concepts",
    "Steering": "steering.steering",
    "Site": "steering.site",
    "SteeredModel": "adapters.steered_model",
    "Recipe": "architectures.recipe",
    "token_mask": "apply.tokens",
}

__all__ = [
    "remove",
    "add",
    "swap",
    "fit",
    "steer",
    "fuse",
    "load_pipeline",
    "load_language_model",
    "concept_prompts",
    "Steering",
    "Site",
    "SteeredModel",
    "Recipe",
    "token_mask",
    "__version__",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'lineas' has no attribute {name!r}")
    found = getattr(importlib.import_module(f"lineas.{_HOMES[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
