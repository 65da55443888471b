"""What the pages of the benchmarks share: the machine in words, tables, rates of several cells."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch

from lineas.evaluation.rates import Rate, bootstrap_interval


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


def mean_of(rates: Sequence[Rate]) -> tuple[float, float, float]:
    """Mean and 95 % interval over what the rates are of, such as concepts, drawn anew.

    Where all are 0 or all 1, or there is one, Wilson's interval over all samples: drawing anew says nothing.
    """
    values = [rate.value for rate in rates]
    mean = sum(values) / len(values)
    if mean in (0.0, 1.0) or len(rates) == 1:
        low, high = Rate(sum(rate.hits for rate in rates), sum(rate.total for rate in rates)).interval
    else:
        low, high = bootstrap_interval(values, [1.0] * len(values))
    return mean, low, high


def text_of(found: tuple[float, float, float] | None) -> str:
    """A rate with its interval, for people."""
    return "–" if found is None else "{:.1%} ({:.1%} to {:.1%})".format(*found)
