"""Where a model runs: when nobody says where, and when its weights are elsewhere."""

from __future__ import annotations

from typing import Any

import torch

from lineas.adapters.processes import join_processes


def best_device() -> torch.device:
    """The best device there is: CUDA (ROCm goes by that name too), else MPS, else XPU, else the CPU.

    Of several processes, each has a GPU of its own.
    """
    several = join_processes()[1] > 1
    if torch.cuda.is_available():
        return torch.device("cuda", torch.cuda.current_device()) if several else torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    # Older releases of torch have no xpu.
    xpu = getattr(torch, "xpu", None)
    return torch.device("xpu" if xpu is not None and xpu.is_available() else "cpu")


def input_device(model: Any) -> torch.device:
    """Where a model of transformers takes its tokens in, also while its weights are offloaded elsewhere."""
    embeddings = model.get_input_embeddings()
    hook = getattr(embeddings, "_hf_hook", None)  # accelerate's, of a model loaded with a device_map
    named = [getattr(each, "execution_device", None) for each in getattr(hook, "hooks", [hook])]
    return torch.device(next((device for device in named if device is not None), embeddings.weight.device))
