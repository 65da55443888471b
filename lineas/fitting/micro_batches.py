"""Micro-batches: a group of prompts runs in as few parts as memory allows."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from itertools import islice
from typing import TypeVar

import torch

from lineas.errors import LineasError
from lineas.fitting.kept_graphs import KeptGraphs
from lineas.fitting.problem import Group, Problem, Rows
from lineas.fitting.processes import ElsewhereError, Processes
from lineas.maths.pooling import Pooling

T = TypeVar("T")
ALIKE = 0.75
# Some backends report it as a plain RuntimeError; torch has the typed one under two names.
_TYPES = (getattr(torch, "OutOfMemoryError", torch.cuda.OutOfMemoryError), MemoryError)
_MESSAGES = ("out of memory", "can't allocate memory", "not enough memory", "_alloc_failed")


class MicroBatches:
    """Cuts the groups of a problem into micro-batches, and makes do with less whenever memory is short.

    size: prompts at once, 0 to start with the largest group as a whole. recomputes: whether activations are
    made again in backward passes, instead of graphs being kept. Where memory is short, kept graphs go first;
    then this is switched on, which costs a forward pass and saves most; then the size is halved, which costs
    one as well. Where several processes share the fit, each runs its share of every group.
    """

    def __init__(self, problem: Problem, size: int = 0, recomputes: bool = False) -> None:
        largest = max(problem.sizes.values())
        self.problem, self.size, self.processes = problem, min(size or largest, largest), Processes()
        self.recomputes = recomputes
        sites = [str(site) for site in problem.sites]
        self.processes.check_same((problem.base_model, problem.prompts_hash, sites, dict(problem.sizes)))
        self.graphs = KeptGraphs(problem, not recomputes)

    def of(self, group: Group) -> list[list[int]]:
        """The indices of a group's prompts, cut into micro-batches; empty for a group without prompts."""
        kinds, size = self.problem.batch_kinds(group), self._at_once(group)
        parts: list[list[int]] = []
        for index, kind in enumerate(kinds):
            if not parts or len(parts[-1]) == size or kind != kinds[parts[-1][0]]:
                parts.append([])
            parts[-1].append(index)
        return parts

    def alike(self, group: Group) -> list[list[int]]:
        """The same, longest prompts first and cut where one is shorter than `ALIKE` of its part's longest.

        Little of a part is padding then. For sums over prompts, where their order does not matter.
        """
        lengths, kinds = self.problem.lengths(group), self.problem.batch_kinds(group)
        size = self._at_once(group)
        parts: list[list[int]] = []
        for index in sorted(range(len(lengths)), key=lambda i: (kinds[i], lengths[i]), reverse=True):
            first = parts[-1][0] if parts else index
            unlike = kinds[index] != kinds[first] or lengths[index] < ALIKE * lengths[first]
            if not parts or len(parts[-1]) == size or unlike:
                parts.append([])
            parts[-1].append(index)
        return parts

    def rows(self, group: Group, pooling: Pooling | None = None) -> Rows:
        """Rows of a whole group in the untouched model, without gradient."""

        @torch.no_grad()
        def capture() -> Rows:
            return joined(self.each(group, lambda part: self.problem.rows(group, part, None, pooling)))

        kept = self.problem.captures
        if kept is None or group == "source":  # whose prompts are those of one fit alone
            return self.fitting(capture)
        return kept.rows(self.problem, group, pooling, lambda: self.fitting(capture))

    def each(self, group: Group, run: Callable[[list[int]], Rows]) -> list[Rows]:
        """What `run` gives for every micro-batch of a group, each run by one of the processes."""
        parts = self.of(group)
        return self.gathered([run(part) for part in self.processes.own(parts) or parts[:1]], len(parts))

    def gathered(self, own: Sequence[Rows], count: int) -> list[Rows]:
        """The rows of all micro-batches, `count` in all, from those that this process ran.

        One that has no share gives those of the first, as a pattern.
        """
        if self.processes.count == 1:
            return list(own)
        firings = {site: len(rows) for site, rows in own[0].items()}
        told = self.processes.gather([[t for rows in part.values() for t in rows] for part in own], count)
        flat = (iter(part) for part in told)
        return [{site: list(islice(part, n)) for site, n in firings.items()} for part in flat]

    def fitting(self, action: Callable[[], T], backward: bool = False) -> T:
        """What `action` returns, started over while memory is short; `backward` says that it has such a pass.

        In every process, where it is short in one of them.

        Raises `LineasError` when a single prompt does not fit.
        """
        while True:
            saving = self.problem.checkpointing() if backward and self.recomputes else nullcontext()
            try:
                with saving:
                    return self.processes.together(action, is_out_of_memory)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                self._make_do(error, backward)
            # Only now: the traceback, gone with the exception, held the tensors that filled the memory.
            gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()

    def _at_once(self, group: Group) -> int:
        """Prompts of a micro-batch: no more than give every process one."""
        return min(self.size, max(1, -(-self.problem.sizes.get(group, 0) // self.processes.count)))

    def _make_do(self, error: Exception, backward: bool) -> None:
        if any(self.processes.told(self.graphs.count > 0)):
            self.graphs.count, self.graphs.wanted = 0, False
        elif backward and not self.recomputes:
            self.recomputes, self.graphs.wanted = True, False
            warnings.warn(
                "Memory is short: activations are recomputed from now on (checkpointing), which saves most "
                "of it and takes about a third longer.",
                stacklevel=4,
            )
        elif self.size > 1:
            self.size //= 2
        else:
            raise LineasError(
                "One prompt at a time does not fit into memory. Lower the image size or the length of the "
                "texts, choose fewer sites, load the model in half precision, or offload it, as by the "
                "pipeline's enable_sequential_cpu_offload()."
            ) from error


@contextmanager
def memory_told() -> Iterator[None]:
    """A lack of memory where micro-batches cannot help, as in an optimiser's step, is a `LineasError` too."""
    try:
        yield
    except Exception as error:
        if isinstance(error, LineasError) or not is_out_of_memory(error):
            raise
        raise LineasError(
            "Memory ran out outside of the model's own runs. Close other programs that use it, lower "
            "micro_batch, choose fewer sites, or load the model in half precision."
        ) from error


def is_out_of_memory(error: BaseException) -> bool:
    """True when the device or the machine refused an allocation, however the backend says so."""
    told = isinstance(error, RuntimeError) and any(text in str(error).lower() for text in _MESSAGES)
    elsewhere = isinstance(error, ElsewhereError) and error.memory
    return isinstance(error, _TYPES) or told or elsewhere


def joined(parts: Sequence[Rows]) -> Rows:
    """Rows of micro-batches as rows of the whole group, firing by firing."""
    if len(parts) == 1:
        return parts[0]
    return {site: [torch.cat(f) for f in zip(*(p[site] for p in parts), strict=True)] for site in parts[0]}
