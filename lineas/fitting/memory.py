"""What a fit needs in memory, counted on the meta device: every operation on tensors without data."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

GIB = 2**30


@dataclass(frozen=True)
class Memory:
    """Bytes that a fit needs on its device. Libraries, fragments and what else is there come on top.

    weights: of all that stays there. encoders: of what encodes the prompts before, and rests meanwhile.
    prompt: at the peak of forward and backward, for each prompt that runs at once; recomputed: the same where
    activations are recomputed. maps: parameters, gradients and the optimiser's state. rows: of the prompts.
    """

    weights: int
    encoders: int
    prompt: int
    recomputed: int
    maps: int
    rows: int

    def needed(self, prompts: int, recomputes: bool = False) -> int:
        """The peak with so many prompts at once: of training, or of encoding where that is more."""
        each = self.recomputed if recomputes else self.prompt
        return self.weights + max(self.encoders, self.maps + self.rows + prompts * each)

    def table(self, sizes: Iterable[int]) -> str:
        """Lines for people: what is needed for micro-batches of these sizes, in GiB."""
        lines = [
            f"weights {_gib(self.weights)}, text encoders {_gib(self.encoders)} (before the training), "
            f"maps and rows {_gib(self.maps + self.rows)}",
            "prompts at once   as usual   recomputing",
        ]
        lines += [
            f"{size:>15}   {_gib(self.needed(size)):>8}   {_gib(self.needed(size, True)):>11}"
            for size in sizes
        ]
        return "\n".join(lines)


def bytes_of(modules: Iterable[nn.Module]) -> int:
    """Of parameters and buffers, each counted once."""
    held = {id(t): t for m in modules for t in (*m.parameters(), *m.buffers())}
    return sum(t.numel() * t.element_size() for t in held.values())


@contextmanager
def counted() -> Iterator[Callable[[], int]]:
    """Gives the most bytes that tensors without data, made inside the block, would have taken at once so far.

    Attention is counted as kernels do it that never hold all its weights.
    """
    live = _Live()
    with _flash_attention(), live:
        yield lambda: live.most


class _Live(TorchDispatchMode):
    """Counts storages from the operation that makes them until nothing refers to them."""

    def __init__(self) -> None:
        super().__init__()
        self.now, self.most = 0, 0
        self._seen: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor) and tensor.is_meta:
                self._note(tensor.untyped_storage())
        return result

    def _note(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._seen:
            return
        self._seen.add(key)
        self.now += size
        self.most = max(self.most, self.now)
        weakref.finalize(storage, self._forget, key, size)

    def _forget(self, key: int, size: int) -> None:
        self._seen.discard(key)
        self.now -= size


class _Flash(torch.autograd.Function):
    """The shapes of an attention that keeps its inputs, its output and a number for each query."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        out = query.new_empty(*query.shape[:-1], value.shape[-1])
        ctx.save_for_backward(query, key, value, out, query.new_empty(query.shape[:-1], dtype=torch.float32))
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, ...]:
        query, key, value, _, _ = ctx.saved_tensors
        return torch.empty_like(query), torch.empty_like(key), torch.empty_like(value)


@contextmanager
def _flash_attention() -> Iterator[None]:
    """Attention of tensors without data is `_Flash`. Not by a mode, as backward passes run without those."""
    real = nn.functional.scaled_dot_product_attention

    def attention(query: Tensor, key: Tensor, value: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return _Flash.apply(query, key, value) if query.is_meta else real(query, key, value, *args, **kwargs)

    nn.functional.scaled_dot_product_attention = attention
    try:
        yield
    finally:
        nn.functional.scaled_dot_product_attention = real


def _gib(size: int) -> str:
    return f"{size / GIB:.2f} GiB" if size >= GIB / 100 else f"{size / 2**20:.2f} MiB"
