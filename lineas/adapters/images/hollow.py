"""Pipelines without weights: their modules lie on the meta device, and what these give to others is zeros."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from lineas.adapters.devices import best_device
from lineas.adapters.images.loading import default_dtype, hub_failures_told, model_named
from lineas.adapters.images.recipes import RECIPES
from lineas.architectures.recipe_table import ALIASES
from lineas.errors import require

_CPU, _META = torch.device("cpu"), torch.device("meta")


def hollow_twin(pipe: Any, dtype: torch.dtype | None = None) -> Any:
    """A pipeline like another one, of the same configuration. dtype: None is that of each of its parts."""
    made = copy.copy(pipe)
    modules: dict[str, Any] = {name: m for name, m in pipe.components.items() if isinstance(m, nn.Module)}
    for name, part in modules.items():
        build: Any = getattr(type(part), "from_config", None) or type(part)
        setattr(made, name, _hollow(partial(build, part.config), dtype or part.dtype))
    return _working_nowhere(made)


def hollow_from_name(name: str, dtype: torch.dtype | None = None) -> Any:
    """The pipeline of a folder or of a name on the hub, of which nothing is loaded but configurations.

    dtype: None is the one that `load_pipeline` takes.
    """
    diffusers, transformers = require("diffusers", "diffusers"), require("transformers", "diffusers")
    name = ALIASES.get(name, name)
    name = model_named(name, RECIPES.get(name))
    with hub_failures_told(name):
        listed = diffusers.DiffusionPipeline.load_config(name)
    dtype = dtype or default_dtype(listed, best_device())
    parts: dict[str, Any] = {}
    for part, entry in listed.items():
        if not isinstance(entry, (list, tuple)) or part.startswith("_"):
            continue
        library = {"diffusers": diffusers, "transformers": transformers}.get(entry[0] or "")
        kind = getattr(library, entry[1] or "", None)
        parts[part] = None if kind is None else _part(kind, name, part, dtype)
    flags = {key: value for key, value in listed.items() if key not in parts and not key.startswith("_")}
    return _working_nowhere(getattr(diffusers, listed["_class_name"])(**parts, **flags))


def _part(kind: Any, name: str, folder: str, dtype: torch.dtype) -> Any:
    if not issubclass(kind, nn.Module):
        return kind.from_pretrained(name, subfolder=folder)
    if hasattr(kind, "load_config"):
        return _hollow(partial(kind.from_config, kind.load_config(name, subfolder=folder)), dtype)
    return _hollow(partial(kind, kind.config_class.from_pretrained(name, subfolder=folder)), dtype)


def _hollow(build: Callable[[], nn.Module], dtype: torch.dtype) -> nn.Module:
    """A module without data: it takes tensors with data and gives zeros in their place."""
    with _META:
        module = build()
    nn.Module.to(module, dtype).requires_grad_(False).eval()  # not its own, which asks for care with numbers
    forward = module.forward

    def from_outside(*args: Any, **kwargs: Any) -> Any:
        # Which tokens are real decides on numbers, and not on shapes.
        kwargs = {name: None if name == "attention_mask" and _is_text(module) else value
                  for name, value in kwargs.items()}  # fmt: skip
        return tree_map(_given, forward(*tree_map(_taken, args), **tree_map(_taken, kwargs)))

    module.forward = from_outside  # type: ignore[method-assign]
    return module


def _is_text(module: nn.Module) -> bool:
    return hasattr(module, "get_input_embeddings")


def _taken(value: Any) -> Any:
    return value.to(_META) if isinstance(value, Tensor) else value


def _given(value: Any) -> Any:
    return torch.zeros(value.shape, dtype=value.dtype) if isinstance(value, Tensor) else value


def _working_nowhere(pipe: Any) -> Any:
    """The pipeline itself goes on with data, on the CPU."""
    kind = type(pipe)
    pipe.__class__ = type(kind.__name__, (kind,), {"_execution_device": _CPU, "device": _CPU})
    return pipe
