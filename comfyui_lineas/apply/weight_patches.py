"""A steering as a patch of a module's weight and bias, in the form that ComfyUI computes with."""

from __future__ import annotations

import copy
from typing import Any, cast

import torch
from comfy.weight_adapter import WeightAdapterBase
from torch import Tensor, nn

from lineas.apply import fold_rules
from lineas.maps.affine import AffineMap
from lineas.maps.base import Map, along


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
    stand_in = _as_torch_has_it(module)
    if reason := fold_rules.obstacle(stand_in, map, axis):
        return reason
    if not hasattr(module, "comfy_cast_weights"):
        return f"ComfyUI does not patch {type(module).__name__}"
    # The library may give a module the bias that it lacks; a patch cannot.
    shifts = bool(cast(AffineMap, map.affine()).shift.any())
    lacks_bias = shifts and module._parameters.get("bias") is None
    return "the module has no bias to take the shift" if lacks_bias else None


def patches_for(key: str, module: nn.Module, map: AffineMap) -> dict[str, SteeringAdapter]:
    """Patches of a module without obstacle, by the names of its parameters."""
    names = {f"{key}.weight": (map.deviation, None)}
    if module._parameters.get("bias") is not None:
        names[f"{key}.bias"] = (map.deviation, map.shift)
    return {name: SteeringAdapter({name}, weights) for name, weights in names.items()}


def _as_torch_has_it(module: nn.Module) -> nn.Module:
    """ComfyUI's own layers are those of torch with weights that move; a bare one tells what they compute.

    Other modules are as they are, so that a class that nobody knows has to show what it does.
    """
    if type(module).__module__ != "comfy.ops" or "forward" in vars(module):
        return module
    own = next((kind for kind in type(module).__mro__ if kind.__module__.startswith("torch.nn.")), nn.Module)
    if own is nn.Module:  # layers that choose between kinds of storage; ComfyUI does not make them of torch's
        return module
    twin = copy.copy(module)
    twin.__class__ = own
    return twin
