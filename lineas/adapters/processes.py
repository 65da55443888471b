"""Joining the processes that `accelerate launch` or `torchrun` started, through accelerate."""

from __future__ import annotations

import os

from lineas.errors import require


def join_processes() -> tuple[int, int]:
    """This process's number and how many there are; (0, 1) where nobody started several.

    The first call joins them, each with a GPU of its own where there are GPUs. Raises `MissingExtraError`
    without accelerate.
    """
    if launched() == 1:
        return 0, 1
    import torch

    if not torch.distributed.is_initialized():
        # NCCL between GPUs, gloo between CPUs, and each process's device: accelerate knows.
        require("accelerate", "diffusers").PartialState(cpu=not torch.cuda.is_available())
    return torch.distributed.get_rank(), torch.distributed.get_world_size()


def launched() -> int:
    """How many processes were started, by what launchers leave in the environment."""
    there = all(name in os.environ for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR"))
    return int(os.environ.get("WORLD_SIZE", "1")) if there else 1
