"""Reading files of strangers: bounds on every size before anything is built from it."""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import safetensors

from lineas.errors import SteeringFileError

MAX_HEADER = 8 * 2**20
"""Bytes of a file's header: names, shapes and metadata; those of the largest models need 1 MB."""
MAX_BYTES = 2**27
"""Bytes of a file's tensors. All the norms of SDXL need 7 MB."""
MAX_TENSORS = 2**16
MAX_TENSOR_NAME = 300
MAX_TEXT = 4 * 2**20
"""Bytes of one JSON text in the metadata, of which Python makes up to twenty times as much."""
MAX_METADATA = 2**10
_ENTRY = re.compile(rb'"\s*:\s*"')
MAX_PARTS = 2**18
"""Lists and tables in one such text."""
MAX_DIGITS = 300


@contextmanager
def open_tensors(path: str | Path) -> Iterator[Any]:
    """A safetensors file, open, whose sizes are within the bounds above.

    Raises `SteeringFileError` for what is missing, no regular file or too large, and what safetensors raises.
    """
    check_regular(path)
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        header = int.from_bytes(file.read(8), "little")
    if header > MAX_HEADER or size > MAX_BYTES + header + 8:
        raise SteeringFileError(
            f"it has {size} bytes with a header of {header}, more than the {MAX_BYTES} and {MAX_HEADER} that "
            "there may be"
        )
    _check_entries(path, header)
    with safetensors.safe_open(path, framework="pt") as file:
        names = list(file.keys())
        if len(names) > MAX_TENSORS or any(len(name) > MAX_TENSOR_NAME for name in names):
            raise SteeringFileError(
                f"it holds {len(names)} tensors or a long name, more than the {MAX_TENSORS} of up to "
                f"{MAX_TENSOR_NAME} signs that there may be"
            )
        yield file


def _check_entries(path: str | Path, header: int) -> None:
    """Bound the entries before the header is parsed: each has a text, a tensor its dtype."""
    with open(path, "rb") as file:
        entries = sum(1 for _ in _ENTRY.finditer(file.read(8 + header)))
    if entries > MAX_TENSORS + MAX_METADATA:
        raise SteeringFileError(
            f"its header has {entries} entries, more than the {MAX_TENSORS + MAX_METADATA} that there may be"
        )


def check_regular(path: str | Path) -> None:
    """Raise `SteeringFileError` for what is no regular file: missing, a folder, a pipe, a device."""
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError as error:
        raise SteeringFileError("there is no such file") from error
    except OSError as error:
        raise SteeringFileError(f"the system says: {error.strerror or error}") from error
    if not stat.S_ISREG(mode):
        raise SteeringFileError("there is no such file: it is a folder, a pipe or a device")


def parsed(text: str) -> Any:
    """What a JSON text holds. Raises `SteeringFileError` or ValueError where it is too long or none."""
    parts = text.count("[") + text.count("{")
    if len(text) > MAX_TEXT or parts > MAX_PARTS:
        raise SteeringFileError(
            f"it holds a text of {len(text)} signs in {parts} parts, more than the {MAX_TEXT} and "
            f"{MAX_PARTS} that one may have"
        )
    return json.loads(text, parse_int=_int)


def _int(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise SteeringFileError(f"it holds a number of {len(digits)} digits")
    return int(digits)
