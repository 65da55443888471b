"""The table of an intent's report: the untouched model, prompting, and the steering."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any


def table_of_ways(
    report: Any,
    head: Sequence[str],
    cells: Callable[[Any], Sequence[str]],
    prompting: str = "prompting (the oracle)",
) -> str:
    """A row each for the untouched model, prompting and the steering of a report; cells: of its figures.

    prompting: what to call it; where it says in words what is wanted no steering can be expected to do more.
    """
    ways = (
        ("untouched model", report.unsteered),
        (prompting, report.prompting),
        ("steering, strength 1", report.steered),
    )
    rows = [head, ("---", *["---:"] * (len(head) - 1)), *((name, *cells(each)) for name, each in ways)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
