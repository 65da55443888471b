"""Where a model runs when nobody says where."""

from __future__ import annotations

import torch


def best_device() -> torch.device:
    """The best device there is: CUDA (ROCm goes by that name too), else MPS, else XPU, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    # Older releases of torch have no xpu.
    xpu = getattr(torch, "xpu", None)
    return torch.device("xpu" if xpu is not None and xpu.is_available() else "cpu")
