"""Kinds of modules: which are plain norms, how wide an output is and which axis holds its units."""

from __future__ import annotations

import re

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

_RMS = getattr(nn, "RMSNorm", None)  # torch ≥ 2.4
_TORCH_NORMS: tuple[type[nn.Module], ...] = (
    nn.GroupNorm,
    nn.LayerNorm,
    _NormBase,
    *((_RMS,) if _RMS else ()),
)
_NORM_NAME = re.compile(r"(rms|layer|group)norm$", re.IGNORECASE)
# Adaptive norms take their scale and shift from a condition: they are blocks around a norm, not norms.
_ADAPTIVE_NAME = re.compile(r"ada(ptive)?(rms|layer|group)norm", re.IGNORECASE)
_WIDTHS = ("num_channels", "out_features", "out_channels", "num_features", "nf")


def is_norm(module: nn.Module) -> bool:
    """True for torch's norms and, by class name, for the RMS, layer and group norms of model libraries.

    Adaptive norms (`AdaLayerNorm…`) and modules that contain other modules are not plain norms.
    """
    name = type(module).__name__
    if _ADAPTIVE_NAME.search(name) or next(module.children(), None) is not None:
        return False
    return isinstance(module, _TORCH_NORMS) or bool(_NORM_NAME.search(name))


def is_projection(module: nn.Module) -> bool:
    """True for linear and convolution layers, including GPT-2's transposed one and those that PEFT wraps."""
    if (inner := wrapped(module)) is not None:
        return is_projection(inner)
    return isinstance(module, (nn.Linear, _ConvNd)) or (
        type(module).__name__ == "Conv1D" and hasattr(module, "nf")
    )


def wrapped(module: nn.Module) -> nn.Module | None:
    """The layer that an adapter of PEFT, such as a LoRA, has taken the place of; None for other modules."""
    return module._modules.get("base_layer") if hasattr(module, "get_base_layer") else None


def is_packed(weight: Tensor) -> bool:
    """True for a tensor that holds its numbers in a form of its own, as torchao's quantised ones do."""
    return bool(is_traceable_wrapper_subclass(weight))


def unit_axis(module: nn.Module) -> int:
    """1 where units are channels before the pixels (group and batch norms, convolutions), else −1."""
    channels_first = getattr(module, "data_format", "") == "channels_first"
    by_name = type(module).__name__.lower().endswith(("2d", "groupnorm"))
    return 1 if channels_first or by_name or isinstance(module, (nn.GroupNorm, _NormBase, _ConvNd)) else -1


def weight_name(module: nn.Module) -> str:
    """What a module calls the parameter that scales its output: "weight", or the one vector of a norm of
    another kind, such as "scale"."""
    held = {name: parameter for name, parameter in module._parameters.items() if parameter is not None}
    vectors = [name for name, parameter in held.items() if name != "bias" and parameter.ndim == 1]
    return vectors[0] if len(held) == 1 and vectors and is_norm(module) else "weight"


def has_weight(module: nn.Module) -> bool:
    """Whether a module has the parameter that scales its output."""
    return module._parameters.get(weight_name(module)) is not None


def width(module: nn.Module) -> int | None:
    """d, the number of units of a norm's or projection's output; None where the module does not tell."""
    if not is_norm(module) and not is_projection(module):
        return None
    declared = next((d for name in _WIDTHS if isinstance(d := getattr(module, name, None), int)), None)
    if declared is not None:
        return declared
    shape = getattr(module, "normalized_shape", None)
    if shape:
        return int(shape[-1])
    weight = getattr(module, weight_name(module), None)
    return int(weight.shape[-1]) if weight is not None and weight.ndim else None
