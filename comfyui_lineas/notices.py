"""Warnings of the library where ComfyUI's users look: in the log."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def warnings_in_log() -> Iterator[None]:
    """What the library warns of while the block runs goes to the log, once each."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        try:
            yield
        finally:
            for text in dict.fromkeys(str(entry.message) for entry in caught):
                logging.warning("LinEAS: %s", text)
