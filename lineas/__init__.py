"""Activation steering trained end to end from prompts (LinEAS, arXiv 2503.10679)."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from lineas.version import __version__

if TYPE_CHECKING:
    from lineas.adapters import fit, load_pipeline, problem_for
    from lineas.affine import AffineMap
    from lineas.apply import steer
    from lineas.config import TrainConfig
    from lineas.errors import (
        ConfigError,
        ExportError,
        HubError,
        LineasError,
        MapError,
        MismatchError,
        MissingExtraError,
        NewerFormatError,
        NonFiniteError,
        PromptError,
        SiteError,
        SteeringFileError,
    )
    from lineas.fuse import fuse
    from lineas.gated import GatedMap
    from lineas.pipeline import SteeredPipeline
    from lineas.sites import find_sites
    from lineas.steering import Site, Steering

# Each name is imported when it is first asked for: the node pack and the command line need few of them.
_HOMES = {
    "fit": "adapters",
    "problem_for": "adapters",
    "load_pipeline": "adapters",
    "steer": "apply",
    "fuse": "fuse",
    "SteeredPipeline": "pipeline",
    "Steering": "steering",
    "Site": "steering",
    "AffineMap": "affine",
    "GatedMap": "gated",
    "TrainConfig": "config",
    "find_sites": "sites",
    "LineasError": "errors",
    "PromptError": "errors",
    "SiteError": "errors",
    "MismatchError": "errors",
    "MapError": "errors",
    "ConfigError": "errors",
    "SteeringFileError": "errors",
    "NewerFormatError": "errors",
    "NonFiniteError": "errors",
    "MissingExtraError": "errors",
    "HubError": "errors",
    "ExportError": "errors",
}

__all__ = [
    "fit",
    "problem_for",
    "load_pipeline",
    "steer",
    "fuse",
    "SteeredPipeline",
    "Steering",
    "Site",
    "AffineMap",
    "GatedMap",
    "TrainConfig",
    "find_sites",
    "LineasError",
    "PromptError",
    "SiteError",
    "MismatchError",
    "MapError",
    "ConfigError",
    "SteeringFileError",
    "NewerFormatError",
    "NonFiniteError",
    "MissingExtraError",
    "HubError",
    "ExportError",
    "__version__",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'lineas' has no attribute {name!r}")
    found = getattr(importlib.import_module(f"lineas.{_HOMES[name]}"), name)
    globals()[name] = found
    return found


class _Package(ModuleType):
    """Keeps `lineas.fuse` a function, where importing the submodule of that name would put the module."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in _HOMES or not isinstance(value, ModuleType):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
