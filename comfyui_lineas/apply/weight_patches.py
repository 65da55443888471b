"""A steering as a patch of a module's weight and bias, in the form that ComfyUI computes with."""

from __future__ import annotations

from typing import Any

import torch
from comfy.weight_adapter import WeightAdapterBase
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from lineas.maps.affine import AffineMap
from lineas.maps.base import Map, along
from lineas.modules.kinds import unit_axis

_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


class SteeringAdapter(WeightAdapterBase):
    """[d, …] weight -> weight + strength (deviation ⊙ weight + shift), along the first axis.

    Linear in the strength. It multiplies what it finds, so steerings that are patched one after the other act
    one after the other, whatever the weights of the model are. weights: deviation [d], and shift [d] or None.
    """

    name = "lineas"

    def __init__(self, loaded_keys: set[str], weights: Any) -> None:
        self.loaded_keys, self.weights = loaded_keys, weights

    def calculate_weight(
        self,
        weight: Tensor,
        key: str,
        strength: float,
        strength_model: float,
        offset: Any,
        function: Any,
        intermediate_dtype: torch.dtype = torch.float32,
        original_weight: Any = None,
    ) -> Tensor:
        deviation, shift = self.weights
        change = weight * along(deviation.to(weight.device), 0, weight)
        if shift is not None:
            change = change + along(shift.to(weight.device), 0, weight)
        return weight + function(strength * change)

    def calculate_shape(self, key: str) -> None:
        """The shape stays; newer releases ask."""
        return


def obstacle(module: nn.Module, map: Map, axis: int) -> str | None:
    """Why a map after a module cannot be patched into its weights, or None when it can."""
    if not isinstance(map, AffineMap):
        return f"a {map.kind} map depends on the activation"
    weight, bias = module._parameters.get("weight"), module._parameters.get("bias")
    if weight is None:
        return "the module has no weight"
    for parameter in (weight, bias):
        if parameter is not None and (type(parameter.data) is not Tensor or parameter.dtype not in _FLOATS):
            return f"the weights are stored as {str(parameter.dtype).removeprefix('torch.')}, too coarse"
    kinds = (nn.GroupNorm, nn.LayerNorm, nn.Linear, _ConvNd)
    if not isinstance(module, kinds) or not hasattr(module, "comfy_cast_weights"):
        return f"ComfyUI does not patch {type(module).__name__}"
    if axis != unit_axis(module) or weight.shape[0] != map.width:
        return "its units are not those of the weights"
    return "the module has no bias to take the shift" if bias is None and bool(map.shift.any()) else None


def patches_for(key: str, module: nn.Module, map: AffineMap) -> dict[str, SteeringAdapter]:
    """Patches of a module without obstacle, by the names of its parameters."""
    names = {f"{key}.weight": (map.deviation, None)}
    if module._parameters.get("bias") is not None:
        names[f"{key}.bias"] = (map.deviation, map.shift)
    return {name: SteeringAdapter({name}, weights) for name, weights in names.items()}
