"""What the pages of the benchmarks share: the machine in words, tables, rates of several cells."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch

from lineas.evaluation.rates import Rate


def machine() -> str:
    """Device, threads and torch, for the head of a table."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.machine()
    return f"{device}, {torch.get_num_threads()} CPU threads, torch {torch.__version__}"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Markdown, the first column of words and the others of numbers."""
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def pooled(cells: Iterable[Mapping[str, Any]]) -> Rate:
    """Rates as they lie in the results, all samples together."""
    found = list(cells)
    return Rate(sum(cell["hits"] for cell in found), sum(cell["total"] for cell in found))
