"""Folds: modules that carry affine maps in their weights at the moment, and the weights they had before.

Several maps may be folded into one module and taken out in any order: the weights are computed afresh from
the untouched ones each time, so they are rounded once and, when the last map leaves, are the untouched ones
again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import reduce
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from lineas.affine import AffineMap
from lineas.folding import folded, weight_offset


@dataclass
class _Fold:
    """The untouched tensors of one module, and the maps folded into it in order, by token."""

    weight: Tensor
    bias: Tensor | None
    offset: int
    maps: dict[object, AffineMap] = field(default_factory=dict)


_FOLDS: WeakKeyDictionary[nn.Module, _Fold] = WeakKeyDictionary()


def pristine(module: nn.Module) -> tuple[Tensor | None, Tensor | None]:
    """Weight and bias of a module as they are without any fold; None for what it does not have."""
    fold = _FOLDS.get(module)
    if fold is not None:
        return fold.weight, fold.bias
    return module._parameters.get("weight"), module._parameters.get("bias")


def add_fold(module: nn.Module, map: AffineMap, strength: float = 1.0) -> object:
    """Fold `map` at `strength` into the weights, after the maps there; returns the token to take it out.

    The module must have no `obstacle` to the map.
    """
    fold = _FOLDS.get(module)
    if fold is None:
        weight, bias = module._parameters["weight"], module._parameters.get("bias")
        assert weight is not None
        fold = _Fold(weight.data, None if bias is None else bias.data, weight_offset(module) or 0)
        _FOLDS[module] = fold
    token = object()
    # On the CPU since steerings from different devices may meet here, in float64 so that only weights round.
    fold.maps[token] = map.to(device="cpu").to(dtype=torch.float64).at(strength)
    _write(module, fold)
    return token


def remove_fold(module: nn.Module, token: object) -> None:
    """Take one map out again; the last one to leave restores the untouched tensors bit for bit."""
    fold = _FOLDS[module]
    del fold.maps[token]
    _write(module, fold)
    if not fold.maps:
        del _FOLDS[module]


def _write(module: nn.Module, fold: _Fold) -> None:
    # Tensors made in inference mode could never take part in a gradient again.
    with torch.inference_mode(False), torch.no_grad():
        weight, bias = fold.weight, fold.bias
        if fold.maps:
            composed = reduce(AffineMap.then, fold.maps.values())
            weight, bias = folded(weight, bias, composed, fold.offset)
        _set(module, "weight", weight)
        _set(module, "bias", bias)


def _set(module: nn.Module, name: str, tensor: Tensor | None) -> None:
    """Give a parameter other data and keep the Parameter itself, which optimisers and graphs may hold."""
    parameter = module._parameters.get(name)
    if tensor is None:
        if parameter is not None:
            module._parameters[name] = None
    elif parameter is None:
        module._parameters[name] = nn.Parameter(tensor.to(module._parameters["weight"]), requires_grad=False)
    else:  # the model may have been moved or cast since
        parameter.data = tensor.to(parameter)
