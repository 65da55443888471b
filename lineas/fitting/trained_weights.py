"""Maps at work through the weights of their modules, so that they cost no more than the module itself.

An affine map behind a norm is that norm with other weights: no hook, no copy of the activation, and the
gradient comes with the module's own kernel. Whether a map folds is decided in `apply.fold_rules`, for this as
for what is fused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from lineas.apply.fold_rules import (
    can_grow_bias,
    deltas,
    folded,
    learns,
    obstacle,
    scale_alone,
    weight_offset,
)
from lineas.fitting.returning_weights import come_and_go
from lineas.maps.affine import AffineMap
from lineas.maps.base import Map, along
from lineas.modules.kinds import is_norm, weight_name
from lineas.modules.names import named_modules
from lineas.modules.recorder import Transform
from lineas.steering.site import Site


@dataclass(frozen=True)
class Holder:
    """A module that holds a map in its weights. offset: see `weight_offset`. takes_shift: has it a bias?"""

    module: nn.Module
    offset: int
    takes_shift: bool

    def tensors(self, map: AffineMap) -> dict[str, Tensor]:
        """The parameters with the map in them, by name, in their own dtypes; gradients flow to the map."""
        name = weight_name(self.module)
        weight, bias = self.module._parameters[name], self.module._parameters.get("bias")
        assert weight is not None
        if not self.takes_shift:
            change, _ = deltas(weight, None, map, self.offset)
            return {name: (weight.detach().to(change) + change).to(weight.dtype)}
        # Zeros where there is no bias: the shift needs a place, and a gradient, before it is one.
        start = torch.zeros(map.width, dtype=weight.dtype, device=weight.device) if bias is None else bias
        new_weight, new_bias = folded(weight, start, map, self.offset)
        assert new_bias is not None
        return {name: new_weight, "bias": new_bias}


def holders(components: Mapping[str, nn.Module], maps: Mapping[Site, Map]) -> dict[Site, Holder]:
    """The sites whose maps can be trained through their modules' weights.

    Norms alone: a projection's weights are larger than what a hook would save. Modules with hooks of others
    are left out, as those hooks are to see what the module itself gives, and components whose weights come
    and go, as they may be away when a map goes into them.
    """
    table = named_modules({name: part for name, part in components.items() if not come_and_go(part)})
    maps = {site: map for site, map in maps.items() if site.name in table}
    uses = Counter(table[site.name] for site in maps)
    found = {}
    for site, map in maps.items():
        module, affine = table[site.name], map.affine()
        if affine is None or site.output or uses[module] > 1 or module._forward_hooks or not is_norm(module):
            continue
        if obstacle(module, scale_alone(affine), site.axis) is None and learns(module):
            takes_shift = module._parameters.get("bias") is not None or can_grow_bias(module)
            found[site] = Holder(module, weight_offset(module) or 0, takes_shift)
    return found


@contextmanager
def at_work(maps: Mapping[Site, Map], held: Mapping[Site, Holder]) -> Iterator[dict[Site, Transform]]:
    """Maps in the weights of their holders until the block ends; by site, what is left to do behind them.

    Gradients flow to the tensors of the maps, also of those that are in weights. The weights are back as they
    were, the very same tensors, whatever happens; the backward pass belongs inside the block.
    """
    left: dict[Site, Transform] = {}
    own: list[tuple[dict[str, Any], dict[str, Any]]] = []
    try:
        for site, holder in held.items():
            affine = maps[site].affine()
            if affine is None or holder.module._forward_hooks:
                continue  # a hook that others put there since sees what the module itself gives
            parameters: dict[str, Any] = holder.module._parameters
            new = holder.tensors(affine)
            own.append((parameters, {name: parameters[name] for name in new}))
            parameters.update(new)
            left[site] = _nothing if holder.takes_shift else partial(_shifted, affine.shift)
        yield left
    finally:
        for parameters, tensors in own:
            parameters.update(tensors)


def _nothing(site: Site, z: Tensor) -> Tensor:
    return z


def _shifted(shift: Tensor, site: Site, z: Tensor) -> Tensor:
    return z + along(shift, site.axis, z)
