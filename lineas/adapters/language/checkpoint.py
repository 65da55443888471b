"""Steered checkpoints: a language model with steerings in its weights, for stock classes alone.

A shift after a norm becomes a bias of the linear layers that follow (see `lineas.fuse`). Whether a stock
class can hold such biases is decided by its own configuration: flags such as Llama's `attention_bias` and
`mlp_bias` are switched on where they are needed; biases that a flag brings along and nothing fills are zero.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lineas.adapters.language.loading import plain_weights
from lineas.apply.folded_weights import grown_biases
from lineas.apply.steering_hook import SteeringHook
from lineas.errors import ExportError, require

FLAGS = ("attention_bias", "mlp_bias", "qkv_bias", "use_bias")
"""Switches of configurations that give linear layers a bias."""
_LIKE_LLAMA = ("qwen2", "mistral")
"""Model types that are Llama with other defaults, as long as their windows do not slide."""


def save_steered(model: Any, folder: str | Path, tokenizer: Any = None, **options: Any) -> Any:
    """Write a fused language model as a checkpoint of a stock class; returns the configuration it has there.

    model: of transformers, with its steerings fused in; it is left as it is. folder, options: as
    `save_pretrained` takes them. tokenizer: saved beside it when given.
    Qwen2 and Mistral, which have no biases in their feed-forwards, are written as the Llama they are
    equivalent to where they need one. Raises `ExportError`, before anything is written, when steerings are
    left on hooks or no stock class can hold the biases.
    """
    _check_nothing_hooked(model)
    plain_weights(model)
    state = model.state_dict()
    stock = _stock_model(model, state)
    zeros = {name: torch.zeros(t.shape, dtype=model.dtype) for name, t in stock.state_dict().items()
             if name not in state}  # fmt: skip
    stock.load_state_dict({**state, **zeros}, assign=True)
    stock.tie_weights()
    stock.generation_config = getattr(model, "generation_config", None)
    stock.save_pretrained(folder, **options)
    if tokenizer is not None:
        tokenizer.save_pretrained(folder)
    return stock.config


def check_stock(components: dict[str, nn.Module]) -> None:
    """Raise `ExportError` when fused components have hooks or biases that their stock classes do not have."""
    for name, component in components.items():
        _check_nothing_hooked(component)
        if grown := grown_biases(component):
            raise ExportError(
                f"{len(grown)} linear layers of {name} have a bias that the stock class does not have, the "
                f"first is {grown[0]}. Keep the sites that fit: steering.restrict(…), or export a LoRA file."
            )


def _check_nothing_hooked(model: nn.Module) -> None:
    left = {
        name: hook.map
        for name, module in model.named_modules()
        for hook in module._forward_hooks.values()
        if isinstance(hook, SteeringHook)
    }
    if not left:
        return
    unfused = {map.kind for map in left.values() if map.affine() is None}
    advice = (
        f"No weight holds a {' or '.join(sorted(unfused))} map, which depends on the activation. Fit affine "
        'ones (map="affine"), at the same sites or others'
        if unfused
        else "A shift after a norm folds only where nothing but linear layers takes in its output. Fit at "
        'other sites (sites="mlp" folds in every architecture with linear layers)'
    )
    raise ExportError(
        f"{len(left)} sites cannot be folded into weights and are steered by hooks, which a checkpoint "
        f"cannot hold; the first is {next(iter(left))}. {advice}, or restrict the steering to what folds."
    )


def _stock_model(model: Any, state: dict[str, Tensor]) -> Any:
    """A model on the meta device, of a stock class that has every parameter of `state`."""
    for kind, config in _candidates(model):
        with torch.device("meta"):
            stock = kind(config)
        shapes = {name: tensor.shape for name, tensor in stock.state_dict().items()}
        extra = {name: tuple(shape) for name, shape in shapes.items() if name not in state}
        fits = all(name in shapes and shapes[name] == tensor.shape for name, tensor in state.items())
        if fits and all(name.endswith(".bias") for name in extra):
            return stock
    grown = grown_biases(model)
    raise ExportError(
        f"{type(model).__name__} has no option for the biases that take the shifts, {len(grown)} in all, the "
        f"first is {grown[0] if grown else 'unknown'}. Save the steering and apply it with lineas, fit a "
        "steering without those sites, or restrict it: steering.restrict(…)."
    )


def _candidates(model: Any) -> Iterator[tuple[Any, Any]]:
    """Classes with configurations, the nearest to the model first."""
    off = [flag for flag in FLAGS if getattr(model.config, flag, None) is False]
    for count in range(len(off) + 1):
        for chosen in combinations(off, count):
            config = copy.deepcopy(model.config)
            for flag in chosen:
                setattr(config, flag, True)
            yield type(model), config
    if model.config.model_type in _LIKE_LLAMA and not _slides(model.config):
        transformers = require("transformers", "transformers")
        kind = getattr(
            transformers, type(model).__name__.replace("Qwen2", "Llama").replace("Mistral", "Llama")
        )
        yield kind, _llama_config(transformers, model.config)


def _slides(config: Any) -> bool:
    return "sliding_attention" in (getattr(config, "layer_types", None) or ()) or (
        getattr(config, "use_sliding_window", True) and getattr(config, "sliding_window", None) is not None
    )


def _llama_config(transformers: Any, config: Any) -> Any:
    plain = config.to_dict()
    known = transformers.LlamaConfig().to_dict()
    own = ("model_type", "architectures", "transformers_version", "attention_bias", "mlp_bias")
    shared = {name: value for name, value in plain.items() if name in known and name not in own}
    shared.setdefault("head_dim", config.hidden_size // config.num_attention_heads)
    return transformers.LlamaConfig(**shared, attention_bias=True, mlp_bias=True)
