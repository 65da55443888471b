"""Graphs kept: a micro-batch whose graph stays in memory needs no second pass."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor

from lineas.fitting.problem import Problem

ROOM = 3
"""Graphs of a micro-batch that must be free for one to be kept: itself, the one that runs, and the rest."""
CGROUP = Path("/sys/fs/cgroup")


class KeptGraphs:
    """How many graphs of micro-batches memory has room for.

    wanted: False keeps none, as where activations are recomputed: those need the model as it was in the run.
    bytes_per_prompt: what one graph keeps, measured once; 0 before. count: graphs that are kept right now.
    """

    def __init__(self, problem: Problem, wanted: bool = True) -> None:
        self.problem, self.wanted = problem, wanted
        self.bytes_per_prompt = 0
        self.count = 0

    @property
    def possible(self) -> bool:
        """False where activations are recomputed, also by a model that was told so by others."""
        modules = (module for root in self.problem.components.values() for module in root.modules())
        return self.wanted and not any(getattr(module, "gradient_checkpointing", False) for module in modules)

    def has_room(self, prompts: int, device: torch.device) -> bool:
        """True where the graph of so many prompts may be kept beside those that are."""
        return ROOM * prompts * self.bytes_per_prompt <= free_memory(device)

    def measure(self, run: Callable[[], object], prompts: int) -> None:
        """Learn what a run of so many prompts keeps for its backward pass."""
        weights = {
            weight.untyped_storage().data_ptr()
            for root in self.problem.components.values()
            for weight in root.parameters()
        }
        kept: dict[int, int] = {}

        def noted(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in weights:
                kept[storage.data_ptr()] = storage.nbytes()
            return tensor.detach()

        with torch.autograd.graph.saved_tensors_hooks(noted, lambda tensor: tensor):
            run()
        self.bytes_per_prompt = max(1, -(-sum(kept.values()) // prompts))


def free_memory(device: torch.device) -> int:
    """Bytes that a device can give without taking them from others; 0 where it does not tell.

    On a CPU half of what is free, as nothing there says no before the system ends the process.
    """
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device))
    if device.type != "cpu":
        return 0
    free = 0
    with suppress(OSError, ValueError, IndexError):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        free = next((1024 * int(each.split()[1]) for each in lines if each.startswith("MemAvailable:")), 0)
    with suppress(OSError, ValueError):
        limit, used = ((CGROUP / f"memory.{name}").read_text().strip() for name in ("max", "current"))
        free = min(free, int(limit) - int(used))
    return max(0, free) // 2
