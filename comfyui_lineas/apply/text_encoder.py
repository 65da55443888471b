"""A steering of a CLIP by hooks, for maps that its weights cannot hold.

The text encoder has no wrapper around its run, so the hooks are a patch of the CLIP: each steered module gets
another table of hooks while this CLIP is loaded. ComfyUI puts the module's own table back when it loads
another clone. Modules and weights stay as they are, so LoRAs and memory management see nothing of it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from torch.utils.hooks import RemovableHandle

from lineas.apply.steering_hook import SteeringHook
from lineas.maps.base import Map
from lineas.steering.site import Site

from .while_sampling import own


def hook_text(patcher: Any, maps: Mapping[tuple[str, Site], Map], strength: float) -> None:
    """Steer a clone of a CLIP's patcher. maps: by path below the CLIP's model and site."""
    for (path, site), map in maps.items():
        hooks = OrderedDict(patcher.get_model_object(_table(path)))
        hooks[RemovableHandle(hooks).id] = SteeringHook(site, own(map), strength)
        patcher.add_object_patch(_table(path), hooks)


def is_hooked(patcher: Any, path: str) -> bool:
    """True for modules that act by hooks on this CLIP already."""
    return _table(path) in patcher.object_patches


def _table(path: str) -> str:
    return f"{path}._forward_hooks"
