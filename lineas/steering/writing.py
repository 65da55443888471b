"""Writing files: whole or not at all, and never longer names or wider rights than there were."""

from __future__ import annotations

import os
import secrets
import stat
import time
from contextlib import suppress
from pathlib import Path

from lineas.errors import SteeringFileError, plain

PREFIX, SUFFIX = ".lineas-", ".tmp"
STALE_SECONDS = 3600.0
"""A temporary file of this age belongs to a process that was killed."""


def write_atomically(path: str | Path, data: bytes, private: bool = False) -> None:
    """Write a whole file or nothing, through a temporary file beside it.

    A file that is replaced keeps its permissions, and a symbolic link stays one: what it points at is
    replaced. private: for the owner alone (0600) where the file is new. Temporary files that a killed process
    left are removed. Raises `SteeringFileError`, and what was there before is unchanged then.
    """
    try:
        str(path).encode()  # readers, safetensors among them, take no other names
        target = Path(os.path.realpath(path))
        _check_replaceable(target)
        temporary = target.with_name(f"{PREFIX}{secrets.token_hex(8)}{SUFFIX}")
        try:
            with open(temporary, "xb") as file:
                _set_rights(file.fileno(), target, private)
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, target)
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
        _remove_stale(target.parent)
    except (OSError, ValueError) as error:
        raise SteeringFileError(
            f"Cannot write {plain(path)}: {getattr(error, 'strerror', None) or error}. Choose an existing "
            f"folder that you may write, on a disk with {len(data)} bytes free. What was there before is "
            "unchanged."
        ) from error


def _check_replaceable(target: Path) -> None:
    with suppress(FileNotFoundError):
        if not stat.S_ISREG(os.stat(target).st_mode):
            raise OSError(0, "it is no regular file")


def _set_rights(descriptor: int, target: Path, private: bool) -> None:
    mode = 0o600 if private else None
    with suppress(FileNotFoundError):
        mode = stat.S_IMODE(os.stat(target).st_mode)
    if mode is not None and hasattr(os, "fchmod"):  # not on Windows, which has no such rights
        os.fchmod(descriptor, mode)


def _remove_stale(folder: Path) -> None:
    """Our own temporary files that are too old to be in use; those of others are never touched."""
    with suppress(OSError):
        for left in folder.glob(f"{PREFIX}*{SUFFIX}"):
            with suppress(OSError):
                if time.time() - left.lstat().st_mtime > STALE_SECONDS:
                    left.unlink()
