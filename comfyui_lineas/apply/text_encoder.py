"""A steering of a CLIP by hooks, for maps that its weights cannot hold.

The text encoder has no wrapper around its run, so the hooks are a patch of the CLIP: each steered module gets
another table of hooks while this CLIP is loaded. ComfyUI puts the module's own table back when it loads
another clone. Modules and weights stay as they are, so LoRAs and memory management see nothing of it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from lineas.apply.prompt_tokens import NewestTokens
from lineas.apply.steering_hook import SteeringHook
from lineas.maps.base import Map
from lineas.steering.site import Site
from lineas.steering.slots import slots_of

from .while_sampling import own


class PromptTokens(NewestTokens):
    """Which positions are tokens of the prompt: ComfyUI tells its text encoders.

    frame: how many of them every prompt has, even an empty one: its start and its end.
    """

    def __init__(self, frame: int) -> None:
        super().__init__()
        self.frame = frame

    def __call__(self, module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        embeds, counts = kwargs.get("embeds"), kwargs.get("num_tokens")
        if embeds is None or counts is None:
            super().__call__(module, args, kwargs)
            return
        given = args[1] if len(args) > 1 else None
        order = torch.arange(embeds.shape[1], device=embeds.device)
        held = torch.tensor(counts, device=embeds.device)
        mask = order < held[:, None] if given is None else given.bool()  # padding may come first
        self._masks, self._worded = [*self._masks[-1:], mask], held > self.frame


def hook_text(patcher: Any, maps: Mapping[tuple[str, Site], Map], strength: float) -> None:
    """Steer a clone of a CLIP's patcher. maps: by path below the CLIP's model and site.

    Virtual tokens take positions behind those of the steerings before them.
    """
    watches: dict[str, PromptTokens] = {}
    tables = [table for name, table in patcher.object_patches.items() if name.endswith(_table(""))]
    on_it = (hook for table in tables for hook in table.values() if isinstance(hook, SteeringHook))
    taken = slots_of((hook.site, hook.map) for hook in on_it)
    for (path, site), map in maps.items():
        hooks = OrderedDict(patcher.get_model_object(_table(path)))
        placed = own(map.behind(taken[site.component]))
        watch = _watch(patcher, path, watches) if placed.needs_tokens else None
        hooks[RemovableHandle(hooks).id] = SteeringHook(site, placed, strength, tokens=watch)
        patcher.add_object_patch(_table(path), hooks)


def _watch(patcher: Any, path: str, watches: dict[str, PromptTokens]) -> PromptTokens:
    """A watch on the text encoder that the module of this path belongs to, one for all of its modules."""
    encoder = path.partition(".transformer.")[0]
    root = f"{encoder}.transformer"
    if root not in watches:
        special = patcher.model.get_submodule(encoder).special_tokens
        watches[root] = PromptTokens(len({"start", "end"} & special.keys()))
        before, asking = f"{root}._forward_pre_hooks", f"{root}._forward_pre_hooks_with_kwargs"
        hooks = OrderedDict(patcher.get_model_object(before))
        number = RemovableHandle(hooks).id
        hooks[number] = watches[root]
        patcher.add_object_patch(before, hooks)
        patcher.add_object_patch(asking, OrderedDict({**patcher.get_model_object(asking), number: True}))
    return watches[root]


def is_hooked(patcher: Any, path: str) -> bool:
    """True for modules that act by hooks on this CLIP already."""
    return _table(path) in patcher.object_patches


def _table(path: str) -> str:
    return f"{path}._forward_hooks"
