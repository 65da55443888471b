"""Where steerings lie in a ComfyUI installation: models/steering and output/steering."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import folder_paths

from lineas.errors import ConfigError, SteeringFileError
from lineas.steering.steering import Steering

FOLDER = "steering"
SUFFIX = ".safetensors"
LONGEST = 180
"""Bytes of a file's name that a person gives it."""
ROOM = 20
"""Bytes that are added to such a name, as in -cancelled; number and suffix are beyond them."""


def register_folders() -> None:
    """Tell ComfyUI of the folders; what extra_model_paths.yaml names under `steering` stays."""
    paths = [
        os.path.join(folder_paths.models_dir, FOLDER),
        os.path.join(folder_paths.get_output_directory(), FOLDER),
        os.path.join(os.path.dirname(os.path.realpath(__file__)), FOLDER),  # what comes with the pack
    ]
    known = list(folder_paths.folder_names_and_paths.get(FOLDER, ([], set()))[0])
    both = known + [path for path in paths if path not in known]
    folder_paths.folder_names_and_paths[FOLDER] = (both, {SUFFIX})


def named_files() -> list[str]:
    """The names that can be loaded."""
    try:
        return list(folder_paths.get_filename_list(FOLDER))
    except FileNotFoundError:  # a folder that was listed before is gone, and ComfyUI remembers it
        folder_paths.filename_list_cache.pop(FOLDER, None)
        return list(folder_paths.get_filename_list(FOLDER))


def load_named(name: str) -> Steering:
    """A steering by its name. Raises `SteeringFileError` for a file that is missing or broken."""
    return Steering.load(_found(name))


def stamp(name: str) -> str:
    """What changes when the file of that name changes."""
    try:
        state = os.stat(_found(name))
    except (OSError, SteeringFileError):
        return "missing"
    return f"{state.st_mtime_ns} {state.st_size}"


def save_named(
    steering: Steering, name: str, precision: Any = "float32", graph: Mapping[str, str] | None = None
) -> str:
    """Write to output/steering under a new number; returns the path. Raises as `new_path` and `save` do.

    graph: that made it, see `graph_of`.
    """
    path = new_path(FOLDER, name)
    steering.save(path, precision, graph)
    return str(path)


def new_path(folder: str, name: str, suffix: str = SUFFIX) -> Path:
    """output/<folder>/<name>_00001_<suffix>, with the next number that is free.

    The name may hold folders and ComfyUI's %date% placeholders. Raises `ConfigError` for a name that is empty
    or leads out of the folder.
    """
    plain = plain_name(folder, name, longest=LONGEST + ROOM)
    output = folder_paths.get_output_directory()
    where, base, counter, _, _ = folder_paths.get_save_image_path(os.path.join(folder, plain), output)
    os.makedirs(where, exist_ok=True)
    return Path(where) / f"{base}_{counter:05}_{suffix}"


def plain_name(folder: str, name: str, longest: int = LONGEST) -> str:
    """A name that may stand below output/<folder>, without suffix and signs that some systems refuse.

    Its parts are cut to `longest` bytes, as file systems take no more than 255 with number and suffix.
    Raises `ConfigError` for a name that is empty or leads out of the folder.
    """
    plain = re.sub(r'[<>:"|?*\x00-\x1f]', "-", name.strip().replace("\\", "/")).removesuffix(SUFFIX)
    plain = "/".join(part.encode()[:longest].decode(errors="ignore").rstrip() for part in plain.split("/"))
    root = os.path.realpath(os.path.join(folder_paths.get_output_directory(), folder))
    target = os.path.realpath(os.path.join(root, plain))
    if not os.path.basename(plain) or not target.startswith(root + os.sep):
        raise ConfigError(
            f"The file name {name!r} is empty or leads out of output/{folder}. Give one such as remove-night."
        )
    return plain


def _found(name: str) -> str:
    path = folder_paths.get_full_path(FOLDER, name) if name else None
    if path is None:
        raise SteeringFileError(
            f"There is no steering {name!r} in models/{FOLDER} or output/{FOLDER}. Put the file there and "
            "press R to list it, or choose another."
        )
    return path
