"""Where the commands write: checked before the work starts, complete or not at all, rescued if need be."""

from __future__ import annotations

import hashlib
import io
import json
import shlex
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lineas.errors import SteeringFileError, plain

if TYPE_CHECKING:
    from PIL import Image

    from lineas.steering.steering import Steering

CHECKPOINT = ".checkpoint"
PATIENCE = 0.2
"""Seconds that a lock may take to be taken, as when its last holder is just going."""


def new_file(path: str | Path, force: bool = False, suffix: str = ".safetensors") -> Path:
    """A path that a file can be written to; `suffix` is added where there is none.

    Raises `SteeringFileError` where a file is already and `force` is off, where the folder takes no files,
    and for names that no file may have or that belong to checkpoints.
    """
    path = Path(path)
    try:
        str(path).encode()
        is_folder = path.is_dir()
        path = path if path.suffix or is_folder else path.with_suffix(suffix)
        there = path.exists()
        regular = path.is_file()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SteeringFileError(f"Cannot write {plain(path)}: {reason}. Choose another --output.") from error
    if is_folder:
        raise SteeringFileError(f"{path} is a folder. Name a file, such as {path / f'steering{suffix}'}.")
    if path.suffix == CHECKPOINT:
        raise SteeringFileError(
            f"{path} has the name of a checkpoint, which a finished training removes. Choose another "
            "--output."
        )
    if there and not (force and regular):
        remedy = ", or replace it with --force" if regular else ": it is no regular file"
        raise SteeringFileError(f"{path} exists already. Choose another --output{remedy}.")
    folder(path.parent)
    return path


def new_files(folder: Path, names: Iterable[str], force: bool = False) -> None:
    """Raise `SteeringFileError` where one of these files is in the folder already and `force` is off."""
    there = [name for name in names if (folder / name).exists()]
    if there and not force:
        raise SteeringFileError(
            f"{folder / there[0]} exists already. Choose another --output folder, or replace it with --force."
        )


def free_name(path: Path) -> Path:
    """The path itself, or the first of name-2, name-3, … that is no file yet."""
    stem = _short(path.stem)
    names = chain([stem], (f"{stem}-{number}" for number in count(2)))
    places = (path.with_name(f"{name}{path.suffix}") for name in names)
    return next(place for place in places if not place.exists())


def _short(stem: str) -> str:
    """A name to which something can be added: what systems take ends at 255 bytes."""
    if len(stem.encode()) <= 230:
        return stem
    return f"{stem.encode()[:200].decode(errors='ignore')}-{hashlib.sha256(stem.encode()).hexdigest()[:8]}"


def checkpoint_of(output: Path, resumed: str | Path | None, force: bool) -> Path:
    """Where the checkpoint of a training goes: "a.checkpoint" for "a.safetensors", "a.st.checkpoint" else.

    Raises `SteeringFileError` where one of another training is there that is not gone on with, and `force`
    is off: it would be replaced, and removed in the end.
    """
    stem = output.stem if output.suffix == ".safetensors" else output.name
    path = output.with_name(f"{_short(stem)}{CHECKPOINT}")
    mine = resumed is not None and path.resolve() == Path(resumed).resolve()
    if path.exists() and not mine and not force:
        raise SteeringFileError(
            f"{path} is the checkpoint of another training. Go on with it: lineas train --resume "
            f"{shlex.quote(str(path))}, choose another --output, or replace it with --force."
        )
    return path


@contextmanager
def claimed(output: Path) -> Iterator[None]:
    """No other process trains to this output until the block ends, however it ends.

    Raises `SteeringFileError` when one does.
    """
    from filelock import FileLock, Timeout

    name = hashlib.sha256(output.name.encode()).hexdigest()[:12]
    lock = output.with_name(f".lineas-{name}.lock")
    try:
        held = FileLock(lock).acquire(timeout=PATIENCE, poll_interval=PATIENCE / 4)
    except Timeout as error:
        raise SteeringFileError(
            f"Another process is training to {output} at the moment. Choose another --output, or wait."
        ) from error
    with held:
        try:
            yield
        finally:
            with suppress(OSError):  # Windows removes it after the release, as what is open stays there
                lock.unlink()


def folder(path: str | Path) -> Path:
    """A folder that files can be written to, made where it is missing. Raises `SteeringFileError`."""
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise SteeringFileError(
            f"Cannot write into the folder {path}: {error.strerror or error}. Choose another --output."
        ) from error
    return path


def save_or_rescue(steering: Steering, path: Path) -> None:
    """Save what a training made; where that fails, save it among the temporary files and say so.

    Raises `SteeringFileError` in both cases of failure.
    """
    try:
        steering.save(path)
    except SteeringFileError as error:
        try:
            rescue = Path(tempfile.mkdtemp(prefix="lineas-")) / "steering.safetensors"
            steering.save(rescue)
        except (OSError, SteeringFileError):
            raise error from None
        raise SteeringFileError(f"{error} What was learned is in {rescue}.") from error


def read_text(path: str | Path) -> str:
    """A UTF-8 text file as a whole. Raises `PromptError`."""
    from lineas.prompts.files import read_lines

    return read_lines(path)


def write_image(image: Image.Image, path: Path) -> Path:
    """Write a PNG, whole or not at all."""
    from lineas.steering.files import write_atomically

    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    write_atomically(path, buffer.getvalue())
    return path


def write_text(text: str, path: Path) -> Path:
    """Write a text file, whole or not at all."""
    from lineas.steering.files import write_atomically

    write_atomically(path, text.encode())
    return path


def write_json(values: Any, path: Path) -> Path:
    """Write indented JSON, whole or not at all."""
    from lineas.steering.files import write_atomically

    write_atomically(path, (json.dumps(values, indent=2, ensure_ascii=False) + "\n").encode())
    return path
