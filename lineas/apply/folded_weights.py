"""Folds: modules that carry affine maps in their weights at the moment, and the weights they had before.

Several maps may be folded into one module and taken out in any order: the weights are computed afresh from
the untouched ones each time, so they are rounded once and, when the last map leaves, are the untouched ones
again. What a norm without a bias cannot hold of a shift goes into the linear layers that follow it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import reduce
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from lineas.apply.fold_rules import folded, weight_offset
from lineas.maps.affine import AffineMap


@dataclass
class _Fold:
    """The untouched tensors of one module, and the maps folded into it in order, by token.

    followers: linear layers that take its shift over. inputs: shifts of what comes in, by the module before.
    """

    weight: Tensor
    bias: Tensor | None
    offset: int
    maps: dict[object, AffineMap] = field(default_factory=dict)
    followers: tuple[nn.Linear, ...] = ()
    inputs: dict[nn.Module, Tensor] = field(default_factory=dict)


_FOLDS: WeakKeyDictionary[nn.Module, _Fold] = WeakKeyDictionary()


def pristine(module: nn.Module) -> tuple[Tensor | None, Tensor | None]:
    """Weight and bias of a module as they are without any fold; None for what it does not have."""
    fold = _FOLDS.get(module)
    if fold is not None:
        return fold.weight, fold.bias
    return module._parameters.get("weight"), module._parameters.get("bias")


def add_fold(
    module: nn.Module, map: AffineMap, strength: float = 1.0, followers: Sequence[nn.Linear] = ()
) -> object:
    """Fold `map` at `strength` into the weights, after the maps there; returns the token to take it out.

    followers: all that takes in the module's output, where it has no bias to hold a shift; they get W·b.
    The module must have no `obstacle` to the map, or to its scale alone where it has followers.
    """
    fold = _fold(module)
    fold.followers = fold.followers or tuple(followers)
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
    _forget_if_empty(module, fold)


def grown_biases(root: nn.Module) -> list[str]:
    """Names of the modules that have a bias at the moment only because something is folded into them."""
    names = []
    for name, module in root.named_modules():
        fold = _FOLDS.get(module)
        if fold is not None and fold.bias is None and module._parameters.get("bias") is not None:
            names.append(name)
    return names


def _fold(module: nn.Module) -> _Fold:
    fold = _FOLDS.get(module)
    if fold is None:
        weight, bias = module._parameters["weight"], module._parameters.get("bias")
        assert weight is not None
        fold = _Fold(weight.data, None if bias is None else bias.data, weight_offset(module) or 0)
        _FOLDS[module] = fold
    return fold


def _forget_if_empty(module: nn.Module, fold: _Fold) -> None:
    if not fold.maps and not fold.inputs:
        del _FOLDS[module]


def _write(module: nn.Module, fold: _Fold) -> None:
    # Tensors made in inference mode could never take part in a gradient again.
    with torch.inference_mode(False), torch.no_grad():
        weight, bias = fold.weight, _with_inputs(fold)
        composed = reduce(AffineMap.then, fold.maps.values()) if fold.maps else None
        if composed is not None:
            own = composed if not fold.followers else _scale_alone(composed)
            weight, bias = folded(weight, bias, own, fold.offset)
        _set(module, "weight", weight)
        _set(module, "bias", bias)
        for follower in fold.followers:
            _shift_input(follower, module, None if composed is None else composed.shift)


def _scale_alone(map: AffineMap) -> AffineMap:
    return AffineMap(map.deviation, torch.zeros_like(map.shift))


def _with_inputs(fold: _Fold) -> Tensor | None:
    """The bias that makes up for shifted inputs: W(x + b) + c = Wx + (c + Wb). In float32 or better."""
    shifts = [shift for shift in fold.inputs.values() if bool(shift.any())]
    if not shifts:
        return fold.bias
    wide = fold.weight.to(torch.promote_types(fold.weight.dtype, torch.float32))
    change = wide @ torch.stack(shifts).sum(0).to(wide)
    return change if fold.bias is None else change + fold.bias.to(change)


def _shift_input(follower: nn.Linear, by: nn.Module, shift: Tensor | None) -> None:
    """Tell a linear layer that what comes in from `by` lacks this shift; None when it does no more."""
    fold = _fold(follower)
    if shift is None:
        fold.inputs.pop(by, None)
    else:
        fold.inputs[by] = shift
    _write(follower, fold)
    _forget_if_empty(follower, fold)


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
