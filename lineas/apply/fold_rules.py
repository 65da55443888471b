"""Folding: what an affine map on a module's output does to the module's own weight and bias.

A module whose output is (c + w) ⊙ n(x) + β per unit gives, with T(z) = ω ⊙ z + b after it,
w' = w + (ω − 1)(c + w) and β' = β + (ω − 1)β + b: linear in the strength, no cost at run time. The offset c
is 0 for most modules and 1 for norms whose weight is a deviation from one.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from lineas.maps.affine import AffineMap
from lineas.maps.base import Map, along
from lineas.modules.kinds import has_weight, is_norm, unit_axis, weight_name

Parameters = tuple[Tensor, Tensor | None]

_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
# These classes, not their children, scale by the weight and shift by the bias; any other has to show it.
_KNOWN = (nn.GroupNorm, nn.LayerNorm, nn.Linear, *_CONVOLUTIONS, *_BATCH_NORMS)
_TAKES_BIAS = (nn.LayerNorm, nn.Linear, *_CONVOLUTIONS)


def obstacle(module: nn.Module, map: Map, axis: int | None = None) -> str | None:
    """Why `map` after `module` cannot become a part of its weights, or None when it can.

    `axis` is the unit axis of the site; None takes the module's own.
    """
    affine = map.affine()
    if affine is None:
        return f"a {map.kind} map depends on the activation"
    if axis is not None and axis != unit_axis(module):
        return f"its units are on axis {axis}, the weights act on axis {unit_axis(module)}"
    return _storage_obstacle(module, affine) or _form_obstacle(module, affine)


def weight_offset(module: nn.Module) -> int | None:
    """c, 0 or 1: the output is (c + weight) ⊙ n(x) + bias. None when the module is of neither form.

    Classes of other libraries are tried out on a small CPU copy rather than trusted by name.
    """
    if type(module) in _KNOWN:
        return 0
    if not is_norm(module) and not isinstance(module, (nn.Linear, *_CONVOLUTIONS)):
        return None
    return next((offset for offset in (0, 1) if _behaves(module, offset)), None)


def deltas(weight: Tensor, bias: Tensor | None, map: AffineMap, offset: int) -> tuple[Tensor, Tensor]:
    """[d, …] weight, [d] bias -> what folding `map` adds to them, in float32 or float64.

    `offset` is `weight_offset` of the module. A missing bias counts as zero. Linear in the strength of the
    map.
    """
    wide = weight.detach().to(torch.promote_types(weight.dtype, torch.float32))
    deviation, shift = (t.to(wide.dtype).to(wide.device) for t in (map.deviation, map.shift))
    old = torch.zeros_like(shift) if bias is None else bias.detach().to(wide)
    return along(deviation, 0, wide) * (offset + wide), deviation * old + shift


def folded(weight: Tensor, bias: Tensor | None, map: AffineMap, offset: int) -> Parameters:
    """[d, …] weight, [d] bias -> both with `map` folded in, rounded once to their own dtypes.

    A missing bias stays None when there is nothing to add to it.
    """
    dw, db = deltas(weight, bias, map, offset)
    new_weight = (weight.detach().to(dw) + dw).to(weight.dtype)
    if bias is None:
        return new_weight, db.to(weight.dtype) if bool(map.shift.any()) else None
    return new_weight, (bias.detach().to(db) + db).to(bias.dtype)


def scale_alone(map: AffineMap) -> AffineMap:
    """The map without its shift."""
    return AffineMap(map.deviation, torch.zeros_like(map.shift))


def learns(module: nn.Module) -> bool:
    """True when gradients flow from the output to weight and bias, which kernels for inference may lack."""
    if type(module) in _KNOWN:
        return True
    tensors = {
        name: _waves(tuple(p.shape), 0.7).requires_grad_()
        for name, p in module._parameters.items()
        if p is not None
    }
    try:
        with torch.inference_mode(False), torch.enable_grad():
            weight = tensors[weight_name(module)]
            out = _twin(module, weight, tensors.get("bias"))(_input_for(module, weight))
            return all(bool(g.any()) for g in torch.autograd.grad(out.square().sum(), list(tensors.values())))
    except Exception:  # as in `_behaves`
        return False


def _storage_obstacle(module: nn.Module, map: AffineMap) -> str | None:
    """What stands against it in how the parameters are held."""
    held = {name: p for name, p in module._parameters.items() if p is not None}
    if "forward" in vars(module):
        return "its forward is wrapped, by offloading for example"
    if not has_weight(module):
        return "it has no weight of its own"
    own = weight_name(module)
    if set(held) - {own, "bias"}:
        return f"it has the further parameters {sorted(set(held) - {own, 'bias'})}"
    for name, parameter in held.items():
        if type(parameter) is not nn.Parameter or parameter.dtype not in _FLOATS or parameter.is_meta:
            return (
                f"its {name} is stored as {parameter.dtype} on {parameter.device}: too coarse or unreadable"
            )
    if held[own].shape[0] != map.width or (is_norm(module) and held[own].ndim != 1):
        return f"its weight has the shape {list(held[own].shape)} for {map.width} units"
    return None


def _form_obstacle(module: nn.Module, map: AffineMap) -> str | None:
    """What stands against it in what the module computes."""
    if weight_offset(module) is None:
        return f"{type(module).__name__} does not scale its output by its weight alone"
    can_shift = module._parameters.get("bias") is not None or can_grow_bias(module)
    return None if can_shift or not bool(map.shift.any()) else "it has no bias to take the shift"


def can_grow_bias(module: nn.Module) -> bool:
    """True when the module works with a bias that it does not have yet."""
    return type(module) in _TAKES_BIAS and "bias" in module._parameters


def _behaves(module: nn.Module, offset: int) -> bool:
    """Try it: does the module with folded parameters give the mapped output of the module before?"""
    parameters = {
        name: _waves(tuple(p.shape), 0.7) for name, p in module._parameters.items() if p is not None
    }
    weight, bias = parameters[weight_name(module)], parameters.get("bias")
    d = weight.shape[0]
    map = AffineMap(_waves((d,), 1.1), _waves((d,), 1.3) if bias is not None else torch.zeros(d))
    x = _input_for(module, weight)
    try:
        with torch.no_grad():
            expected = map(_twin(module, weight, bias)(x), 1.0, unit_axis(module))
            got = _twin(module, *folded(weight, bias, map, offset))(x)
            return got.shape == expected.shape and torch.allclose(got, expected, rtol=1e-3, atol=1e-4)
    except Exception:  # an unknown class may fail in any way, and then a hook serves it
        return False


def _twin(module: nn.Module, weight: Tensor, bias: Tensor | None) -> Callable[[Tensor], Tensor]:
    """The forward of a shallow copy with other parameters, without the module's hooks."""
    twin = copy.copy(module)
    parameters = {weight_name(module): weight, "bias": bias}
    vars(twin)["_parameters"] = {
        name: None if old is None else parameters[name] for name, old in module._parameters.items()
    }
    return twin.forward


def _input_for(module: nn.Module, weight: Tensor) -> Tensor:
    if isinstance(module, _CONVOLUTIONS):
        extent = [r * (k - 1) + 1 for k, r in zip(module.kernel_size, module.dilation, strict=True)]
        return _waves((1, module.in_channels, *extent), 0.9)
    if isinstance(module, nn.Linear):
        return _waves((2, weight.shape[1]), 0.9)
    return _waves((2, weight.shape[0], *((2, 2) if unit_axis(module) == 1 else ())), 0.9)


def _waves(shape: tuple[int, ...], pitch: float) -> Tensor:
    """Irregular numbers in −1..1 that leave every random generator alone."""
    steps = torch.arange(math.prod(shape), dtype=torch.float32, device="cpu")
    return (steps * pitch + 0.3).sin().view(shape)
