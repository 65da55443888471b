"""Folds: modules that carry affine maps in their weights at the moment, and the weights they had before.

Several maps may be folded into one module, changed and taken out in any order: the weights are computed
afresh from the untouched ones each time, so they are rounded once and, when the last map leaves, are the
untouched ones again. What a norm without a bias cannot hold of a shift goes into the linear layers that
follow it.

A change has two phases: everything is computed, then it is written. A failure in the first changes nothing,
one in the second is undone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from lineas.apply.fold_rules import Parameters, folded, scale_alone, weight_offset
from lineas.errors import MismatchError
from lineas.maps.affine import AffineMap
from lineas.modules.kinds import is_packed, weight_name


@dataclass(frozen=True)
class _Fold:
    """The untouched tensors of one module, and the maps folded into it in order, by token.

    followers: linear layers that take its shift over. inputs: shifts of what comes in, by the module before.
    """

    weight: Tensor
    bias: Tensor | None
    offset: int
    maps: Mapping[object, AffineMap] = field(default_factory=dict)
    followers: tuple[nn.Linear, ...] = ()
    inputs: Mapping[nn.Module, Tensor] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        return not self.maps and not self.inputs


_FOLDS: WeakKeyDictionary[nn.Module, _Fold] = WeakKeyDictionary()


@dataclass(frozen=True)
class Folding:
    """What one token is to have folded into one module: a map, or nothing any more.

    map: the module must have no `obstacle` to it, or to its scale alone where it has followers.
    followers: all that takes in the module's output, where it has no bias to hold a shift; they get W·b.
    """

    token: object
    module: nn.Module
    map: AffineMap | None
    followers: tuple[nn.Linear, ...] = ()

    def at(self, strength: float) -> Folding:
        """The same with the map at a strength."""
        assert self.map is not None
        # On the CPU since steerings from different devices may meet, in float64 so that only weights round.
        wide = self.map.to(device="cpu").to(dtype=torch.float64)
        return replace(self, map=wide.at(strength))

    def taken_out(self) -> Folding:
        """The same token and module without a map."""
        return replace(self, map=None)


def pristine(module: nn.Module) -> tuple[Tensor | None, Tensor | None]:
    """Weight and bias of a module as they are without any fold; None for what it does not have."""
    fold = _FOLDS.get(module)
    if fold is not None:
        return fold.weight, fold.bias
    return _held(module)


def _held(module: nn.Module) -> tuple[Tensor | None, Tensor | None]:
    return module._parameters.get(weight_name(module)), module._parameters.get("bias")


def grown_biases(root: nn.Module) -> list[str]:
    """Names of the modules that have a bias at the moment only because something is folded into them."""
    names = []
    for name, module in root.named_modules():
        fold = _FOLDS.get(module)
        if fold is not None and fold.bias is None and module._parameters.get("bias") is not None:
            names.append(name)
    return names


def change_folds(foldings: Sequence[Folding], keep: bool = False) -> None:
    """Fold maps in, after those that are there, change them or take them out, all or nothing.

    Where the last map leaves, the untouched tensors are back bit for bit. keep: modules whose weights others
    have changed meanwhile are left as they are, and forgotten. Else they are a `MismatchError`, before
    anything is touched.
    """
    folds: dict[nn.Module, _Fold] = {}
    for each in (each for each in foldings if each.map is not None or _is_in(each)):
        module = each.module
        fold = folds.get(module) or _fold(module)
        maps = _with(fold.maps, each.token, each.map)
        followers = fold.followers or each.followers
        folds[module] = replace(fold, maps=maps, followers=followers)
        shift = reduce(AffineMap.then, maps.values()).shift if maps else None
        for follower in followers:
            taken = folds.get(follower) or _fold(follower)
            folds[follower] = replace(taken, inputs=_with(taken.inputs, module, shift))
    foreign = [module for module in folds if _changed_by_others(module)]
    if foreign and not keep:
        raise MismatchError(_told_of_others(foreign))
    _write({module: fold for module, fold in folds.items() if module not in foreign})
    for module in foreign:
        del _FOLDS[module]


def _is_in(folding: Folding) -> bool:
    fold = _FOLDS.get(folding.module)
    return fold is not None and folding.token in fold.maps


def _with(entries: Mapping[Any, Any], key: object, value: Any) -> dict[Any, Any]:
    """The entries with one changed in its place, or added, or left out where the value is None."""
    changed = {**entries, key: value}
    return {each: value for each, value in changed.items() if value is not None}


def _fold(module: nn.Module) -> _Fold:
    fold = _FOLDS.get(module)
    if fold is not None:
        return fold
    weight, bias = _held(module)
    assert weight is not None
    return _Fold(weight.data, None if bias is None else bias.data, weight_offset(module) or 0)


def _changed_by_others(module: nn.Module) -> bool:
    """Does the module hold something else than what was last written, up to a rounding?"""
    fold = _FOLDS.get(module)
    if fold is None:
        return False
    if any(is_packed(weight) for weight in module.parameters(recurse=False)):
        return True
    with torch.inference_mode(False), torch.no_grad():
        written = _computed(module, fold)  # again, as a copy could cost as much memory as the weights
        return not all(_same(one, two) for one, two in zip(_held(module), written, strict=True))


def _same(held: Tensor | None, written: Tensor | None) -> bool:
    if held is None or written is None:
        return held is written
    if held.shape != written.shape or not held.numel():
        return held.shape == written.shape
    dtype = torch.promote_types(held.dtype, torch.float32)
    # The model may have been moved or cast since; then both are rounded alike.
    one, two = held.detach().to(dtype), written.to(held).to(dtype)
    rounding = 4 * torch.finfo(held.dtype).eps
    return bool(torch.allclose(one, two, rtol=rounding, atol=rounding * float(two.abs().max())))


def _told_of_others(modules: Sequence[nn.Module]) -> str:
    kinds = ", ".join(sorted({type(module).__name__ for module in modules}))
    return (
        f"The weights of {len(modules)} modules ({kinds}) were changed by something else while a steering "
        "was fused into them, so its part cannot be told apart. Undo the other change first (unfuse_lora, "
        "for example), then remove the steering; or, where new weights were loaded over it, keep those: "
        "remove(keep=True)."
    )


def _write(folds: Mapping[nn.Module, _Fold]) -> None:
    """Compute what the modules will hold, then write it; a failure on the way leaves all as it was."""
    # Tensors made in inference mode could never take part in a gradient again.
    with torch.inference_mode(False), torch.no_grad():
        new = {module: _computed(module, fold) for module, fold in folds.items()}
        before = {module: (dict(module._parameters), _data(module), _FOLDS.get(module)) for module in new}
        try:
            for module, (weight, bias) in new.items():
                _FOLDS[module] = folds[module]
                _set(module, weight_name(module), weight)
                _set(module, "bias", bias)
        except BaseException:
            for module, (parameters, data, old) in before.items():
                _put_back(module, parameters, data, old)
            raise
        for module, fold in folds.items():
            if fold.is_empty:
                _FOLDS.pop(module, None)


def _computed(module: nn.Module, fold: _Fold) -> Parameters:
    weight, bias = fold.weight, _with_inputs(fold)
    if fold.maps:
        composed = reduce(AffineMap.then, fold.maps.values())
        own = composed if not fold.followers else scale_alone(composed)
        if not own.is_identity:
            weight, bias = folded(weight, bias, own, fold.offset)
    held, _ = _held(module)
    assert held is not None
    bias = None if bias is None else bias.to(held)
    return weight.to(held), bias


def _with_inputs(fold: _Fold) -> Tensor | None:
    """The bias that makes up for shifted inputs: W(x + b) + c = Wx + (c + Wb). In float32 or better."""
    shifts = [shift for shift in fold.inputs.values() if bool(shift.any())]
    if not shifts:
        return fold.bias
    wide = fold.weight.to(torch.promote_types(fold.weight.dtype, torch.float32))
    change = wide @ torch.stack(shifts).sum(0).to(wide)
    return change if fold.bias is None else change + fold.bias.to(change)


def _data(module: nn.Module) -> dict[str, Tensor | None]:
    return {name: None if p is None else p.data for name, p in module._parameters.items()}


def _put_back(module: nn.Module, parameters: Any, data: Any, fold: _Fold | None) -> None:
    for name, parameter in parameters.items():
        module._parameters[name] = parameter
        if parameter is not None:
            parameter.data = data[name]
    if fold is None:
        _FOLDS.pop(module, None)
    else:
        _FOLDS[module] = fold


def _set(module: nn.Module, name: str, tensor: Tensor | None) -> None:
    """Give a parameter other data and keep the Parameter itself, which optimisers and graphs may hold."""
    parameter = module._parameters.get(name)
    if tensor is None:
        if parameter is not None:
            module._parameters[name] = None
    elif parameter is None:
        module._parameters[name] = nn.Parameter(tensor, requires_grad=False)
    else:
        parameter.data = tensor
