"""Weights of loaded models that gradients may flow through, on the same memory and only for a while.

ComfyUI runs nodes in inference mode, so the weights that its loaders make are inference tensors, which
autograd refuses. A second tensor on the same storage is an ordinary one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import comfy.model_management
import torch
from torch import Tensor, nn

from lineas.errors import ConfigError


def training_clone(model: Any) -> Any:
    """A clone of a MODEL that stays in memory as a whole, however newer releases page their models.

    `ConfigError` for a paged model that its loader cannot load a second time.
    """
    if not _is_paged(model):
        return model.clone()
    if getattr(model, "cached_patcher_init", None) is None:
        raise ConfigError(
            "This ComfyUI pages models through the GPU's memory (dynamic VRAM), and the loader of this one "
            "cannot load it a second time for training. Load it with a loader of ComfyUI itself, or start "
            "ComfyUI with --disable-dynamic-vram."
        )
    return model.clone(disable_dynamic=True)


def training_clip(clip: Any) -> Any:
    """The CLIP itself, or where it is paged one that stays in memory as a whole. Raises as `training_clone`.

    A paged text encoder keeps weights from encoding prompts, which no gradient flows through.
    """
    if not _is_paged(clip.patcher):
        return clip
    patcher, whole = training_clone(clip.patcher), clip.clone()
    whole.patcher, whole.cond_stage_model = patcher, patcher.model
    return whole


def _is_paged(patcher: Any) -> bool:
    return bool(getattr(patcher, "is_dynamic", lambda: False)())


def load_whole(patchers: list[Any]) -> None:
    """Load these models together and completely, moving others out of the way."""
    comfy.model_management.load_models_gpu(patchers, memory_required=1e20, force_full_load=True)


@contextmanager
def ordinary_weights(roots: Iterable[nn.Module]) -> Iterator[None]:
    """Parameters and buffers as ordinary tensors on the same memory, until the block ends."""
    replaced: list[tuple[dict[str, Any], str, Any]] = []
    try:
        with torch.inference_mode(False):
            for module in {module for root in roots for module in root.modules()}:
                for held in (module._parameters, module._buffers):
                    for name, tensor in list(held.items()):
                        if tensor is not None and not is_ordinary(tensor):
                            replaced.append((held, name, tensor))
                            held[name] = _ordinary(tensor)
        yield
    finally:
        for held, name, tensor in reversed(replaced):
            held[name] = tensor


def is_ordinary(tensor: Tensor) -> bool:
    """True for tensors that autograd takes; some are not called inference tensors and have no version."""
    try:
        tensor._version  # noqa: B018
    except RuntimeError:
        return False
    return not tensor.is_inference()


def _ordinary(tensor: Tensor) -> Tensor:
    plain = tensor.detach()
    if type(plain) is Tensor and plain.layout == torch.strided:
        shared = torch.empty(0, dtype=plain.dtype, device=plain.device)
        shared.set_(plain.untyped_storage(), plain.storage_offset(), plain.size(), plain.stride())
    else:
        shared = plain.clone()  # quantised and other special tensors cannot be looked at twice
    return nn.Parameter(shared, requires_grad=False) if isinstance(tensor, nn.Parameter) else shared
