"""Where the commands write: checked before the work starts, complete or not at all, rescued if need be."""

from __future__ import annotations

import io
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lineas.errors import PromptError, SteeringFileError

if TYPE_CHECKING:
    from PIL import Image

    from lineas.steering.steering import Steering


def new_file(path: str | Path, force: bool = False, suffix: str = ".safetensors") -> Path:
    """A path that a file can be written to; `suffix` is added where there is none.

    Raises `SteeringFileError` where a file is already and `force` is off, or the folder takes no files.
    """
    path = Path(path)
    if path.is_dir():
        raise SteeringFileError(f"{path} is a folder. Name a file, such as {path / f'steering{suffix}'}.")
    path = path if path.suffix else path.with_suffix(suffix)
    if path.exists() and not force:
        raise SteeringFileError(
            f"{path} exists already. Choose another --output, or replace it with --force."
        )
    folder(path.parent)
    return path


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
            rescue = Path(tempfile.mkdtemp(prefix="lineas-")) / path.name
            steering.save(rescue)
        except (OSError, SteeringFileError):
            raise error from None
        raise SteeringFileError(f"{error} What was learned is in {rescue}.") from error


def read_text(path: str | Path) -> str:
    """A UTF-8 text file as a whole. Raises `PromptError`."""
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise PromptError(f"Cannot read {path}: {error}. Expected a text file in UTF-8.") from error


def write_image(image: Image.Image, path: Path) -> Path:
    """Write a PNG, whole or not at all."""
    from lineas.steering.files import write_atomically

    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    write_atomically(path, buffer.getvalue())
    return path


def write_json(values: Any, path: Path) -> Path:
    """Write indented JSON, whole or not at all."""
    from lineas.steering.files import write_atomically

    write_atomically(path, (json.dumps(values, indent=2, ensure_ascii=False) + "\n").encode())
    return path
