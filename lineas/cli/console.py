"""What the commands say: results on stdout; progress, notes and errors on stderr."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lineas.adapters.processes import launched


def speaks() -> bool:
    """Does this process talk? Of several that share a fit, the first alone; errors are told by each."""
    return launched() == 1 or os.environ["RANK"] == "0"


def say(text: str = "") -> None:
    """A line of the result, or several."""
    if speaks():
        print(shown(text), flush=True)


def complain(text: str) -> None:
    """A line about something that went wrong, with the program's name."""
    print(f"lineas: {shown(text)}", file=sys.stderr, flush=True)


def shown(text: str) -> str:
    """The text with line ends and tabs, and every other sign that does not print as an escape.

    A terminal obeys some of them, and files, models and hubs of strangers may hold any.
    """
    return "".join(s if s.isprintable() or s in "\n\t" else ascii(s)[1:-1] for s in text)


def tolerate_any_encoding() -> None:
    """Where a terminal cannot show a sign such as λ, print a question mark instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


def bar(total: int, what: str, unit: str) -> Any:
    """A tqdm progress bar, shown on terminals only."""
    from tqdm import tqdm

    off = None if speaks() else True
    return tqdm(total=total, desc=what, unit=unit, disable=off, dynamic_ncols=True, leave=False)


@contextmanager
def notes() -> Iterator[None]:
    """Show warnings as one line each, without the source line that caused them."""
    with warnings.catch_warnings():
        usual = warnings.showwarning

        def show(message: Any, category: Any, *where: Any, **more: Any) -> None:
            if not speaks():
                return
            if category is UserWarning:
                complain(f"note: {message}")
            else:
                usual(message, category, *where, **more)

        warnings.showwarning = show
        yield
