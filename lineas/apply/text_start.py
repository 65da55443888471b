"""Text starts: which tokens of a language model's run are the first ones of their texts."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from lineas.apply.generation import follow_generations
from lineas.apply.tokens import Call, TokenRegion
from lineas.apply.undo import Undo, put_pre_hook
from lineas.steering.site import Site


class TextStart:
    """Follows the runs of the language models in the components, until `undo` is called."""

    def __init__(self, components: Mapping[str, nn.Module], undo: Undo) -> None:
        self._region = TokenRegion(first_tokens)
        follow_generations(components, self._region, undo)
        for module, hook in self._region.watch(components):
            put_pre_hook(module, hook, undo)

    def now(self, site: Site, z: Tensor) -> Tensor:
        """[b or 1, s] of the run that z [b, s, d] belongs to, or [b · s] where z is [b · s, d]."""
        return self._region(site, z)[..., 0]


def first_tokens(call: Call, device: torch.device) -> Tensor:
    """[b or 1, s] True at each text's first token, whichever side is padded; nowhere if it is in a cache."""
    order = torch.arange(call.shape[1], device=device)
    if call.before:
        return torch.zeros_like(order, dtype=torch.bool)[None]
    if call.real is None:
        return (order == 0)[None]
    return order == call.real.to(device).int().argmax(1, keepdim=True)
