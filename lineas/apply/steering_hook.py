"""The forward hook of one map at one site."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lineas.apply.masks import Region
from lineas.apply.prompt_tokens import TokenWatch
from lineas.apply.text_start import TextStart
from lineas.errors import MismatchError
from lineas.maps.base import Map
from lineas.modules.recorder import get_output, replace_output
from lineas.steering.site import Site


class SteeringHook:
    """Forward hook: one map at one site, at a strength that may change between calls."""

    def __init__(
        self,
        site: Site,
        map: Map,
        strength: float,
        regions: Sequence[Region] = (),
        tokens: TokenWatch | TextStart | None = None,
    ) -> None:
        self.site, self.map, self.strength, self.regions = site, map, strength, regions
        self.tokens = tokens
        self.has_run = False
        self._idle = map.is_identity
        self._on_device: dict[torch.device, Map] = {}

    def __call__(self, module: nn.Module, args: Any, output: Any) -> Any:
        self.has_run = True
        if self._idle or self.strength == 0:
            return None
        z = get_output(output, self.site.output)
        if z.shape[self.site.axis] != self.map.width:
            raise MismatchError(
                f"{self.site}: the activation has shape {list(z.shape)}, expected {self.map.width} units on "
                f"axis {self.site.axis}. The steering is for another model; restrict it to sites that fit."
            )
        strength: float | Tensor = self.strength
        for region in self.regions:
            weights = region(self.site, z)
            strength = strength if weights is None else strength * weights
        map = self._map_on(z.device)
        if map.needs_tokens:
            map = map.placed((self.tokens or TokenWatch()).now(self.site, z))
        return replace_output(output, self.site.output, map(z, strength, self.site.axis))

    def _map_on(self, device: torch.device) -> Map:
        if device not in self._on_device:
            with torch.inference_mode(False):  # a copy made in inference mode could not be used for training
                self._on_device[device] = self.map.to(device=device)
        return self._on_device[device]

    def __deepcopy__(self, memo: Any) -> SteeringHook:
        """A copy of a steered model is not steered: its hooks are off, and nothing switches them on."""
        return SteeringHook(self.site, self.map, 0.0)
