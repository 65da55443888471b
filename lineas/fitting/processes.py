"""Processes that share one fit, as `accelerate launch` and `torchrun` start them.

Each runs its share of the prompts. All take the same decisions from the same numbers; what one of them meets
alone, such as a lack of memory or Ctrl-C, is told to the others before anybody goes on. Where
torch.distributed is not running there is one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any, TypeVar

import torch
import torch.distributed as distributed
from torch import Tensor

from lineas.errors import LineasError, MismatchError

T = TypeVar("T")
Shape = tuple[int, ...]


class ElsewhereError(LineasError):
    """Another process failed in its share. memory: it was short of memory."""

    def __init__(self, rank: int, reason: str, memory: bool) -> None:
        super().__init__(f"Process {rank} of this fit failed: {reason}")
        self.memory = memory


class GoneError(ElsewhereError):
    """Another process has ended without a word, or cannot be reached."""

    def __init__(self, error: Exception) -> None:
        LineasError.__init__(
            self,
            "Another process of this fit has ended or cannot be reached. What it said last, or what ended "
            f"it, is the reason; the fit goes on from its last checkpoint. ({str(error).split('. ')[0]})",
        )
        self.memory = False


class Processes:
    """The processes of a fit; `rank` is this one's number among `count`."""

    def __init__(self) -> None:
        joined = distributed.is_available() and distributed.is_initialized()
        self.count = distributed.get_world_size() if joined else 1
        self.rank = distributed.get_rank() if joined else 0

    def own(self, parts: Sequence[T]) -> list[T]:
        """This one's share of the parts of a whole."""
        return list(parts[self.rank :: self.count])

    def told(self, value: T) -> list[T]:
        """What each process says, in the order of their numbers. Raises `ElsewhereError` where one failed."""
        if self.count == 1:
            return [value]
        everyone = self._exchange((value, None))
        for rank, (_, failure) in enumerate(everyone):
            if failure is not None:
                raise ElsewhereError(rank, *failure)
        return [each for each, _ in everyone]

    def together(self, action: Callable[[], T], is_memory: Callable[[BaseException], bool]) -> T:
        """What `action` returns once it is done in every process.

        Raises what it raises, or `ElsewhereError`; then nobody waits for anybody.
        """
        if self.count == 1:
            return action()
        try:
            made = action()
        except ElsewhereError:
            raise
        except Exception as error:
            failure = (f"{type(error).__name__}: {error}", is_memory(error))
            self._exchange((None, failure))
            raise
        self.told(None)
        return made

    def check_same(self, what: Any) -> None:
        """`MismatchError` where the processes do not fit the same."""
        if any(each != what for each in self.told(what)):
            raise MismatchError(
                "The processes of this fit have unlike prompts, sites or models. Start them with the same "
                "arguments, or give each fit processes of its own."
            )

    def sum(self, tensors: Sequence[Tensor | None], shapes: Sequence[Tensor]) -> list[Tensor | None]:
        """Sums over the processes; a tensor that none of them has stays None. shapes: tensors like them."""
        there = torch.tensor([float(tensor is not None) for tensor in tensors], dtype=torch.float64)
        flat = [torch.zeros_like(like) if t is None else t for t, like in zip(tensors, shapes, strict=True)]
        whole = torch.cat(
            [there.to(self._device), *(t.detach().to(self._device, torch.float64).flatten() for t in flat)]
        )
        _met(distributed.all_reduce, whole)
        held, *parts = whole.split([len(flat), *(t.numel() for t in flat)])
        each = zip(held.tolist(), parts, shapes, strict=True)
        return [part.view(like.shape).to(like) if any_ else None for any_, part, like in each]

    def gather(self, own: Sequence[Sequence[Tensor]], count: int) -> list[list[Tensor]]:
        """Lists of tensors of every part, `count` in all, from each process's own parts in their order.

        Only the first axis may differ between parts. A process without a part of its own gives that of the
        first as `own`, for its devices and dtypes, which is not sent.
        """
        mine = own if self.own(range(count)) else []
        shapes: list[list[list[Shape]]] = self.told([[tuple(t.shape) for t in part] for part in mine])
        whole = [self._spread(mine, shapes, i, like) for i, like in enumerate(own[0])]
        # Part p is the (p // count)-th of process p % count.
        return [[tensors[p % self.count][p // self.count] for tensors in whole] for p in range(count)]

    def _spread(
        self, mine: Sequence[Sequence[Tensor]], shapes: list[list[list[Shape]]], i: int, like: Tensor
    ) -> list[list[Tensor]]:
        """The i-th tensor of every part of every process."""
        sizes = [[prod(part[i]) for part in parts] for parts in shapes]
        buffer = torch.zeros(max(map(sum, sizes)), dtype=like.dtype, device=self._device)
        if mine:
            flat = torch.cat([part[i].detach().to(self._device).flatten() for part in mine])
            buffer[: len(flat)] = flat
        received = [torch.empty_like(buffer) for _ in range(self.count)]
        _met(distributed.all_gather, received, buffer)
        return [
            [t.view(shape[i]).to(like.device) for t, shape in zip(got[: sum(n)].split(n), parts, strict=True)]
            for got, n, parts in zip(received, sizes, shapes, strict=True)
        ]

    def _exchange(self, told: Any) -> list[Any]:
        everyone: list[Any] = [None] * self.count
        _met(distributed.all_gather_object, everyone, told)
        return everyone

    @property
    def _device(self) -> torch.device:
        """Where tensors are sent from: NCCL sends from the GPU, gloo from the CPU."""
        on_gpu = "nccl" in str(distributed.get_backend())
        return torch.device("cuda", torch.cuda.current_device()) if on_gpu else torch.device("cpu")


def _met(collective: Callable[..., Any], *given: Any) -> None:
    """What all processes do at once; `GoneError` where they cannot."""
    try:
        collective(*given)
    except torch.cuda.OutOfMemoryError:
        raise
    except RuntimeError as error:
        raise GoneError(error) from error
