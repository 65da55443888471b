"""Steering files: one safetensors file, sparse where that is smaller, never trusted when read."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, Literal

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from lineas.errors import LineasError, MapError, NewerFormatError, SteeringFileError
from lineas.maps.base import Map, family, map_from_tensors
from lineas.steering.provenance import Provenance
from lineas.steering.site import Site
from lineas.steering.steering import Steering

FORMAT = "lineas.steering"
FORMAT_VERSION = "1.0"
MAX_BYTES = 2**30
MAX_WIDTH = 2**20
# A sparse map is few bytes in the file and `width` numbers in memory: the sum over sites is bounded too.
MAX_UNITS = 2**24
DTYPES = {"float32": torch.float32, "float16": torch.float16}


def save_steering(
    steering: Steering, path: str | Path, dtype: Literal["float32", "float16"] = "float32"
) -> None:
    """Write a steering to `path`, replacing what is there only when the new file is complete.

    dtype: "float32" (exact for float32 maps) or "float16" (half the size, values rounded to 11 bits).
    Raises `MapError` when a tensor cannot be stored, `SteeringFileError` when the file cannot be written.
    """
    if dtype not in DTYPES:
        raise SteeringFileError(f"Unknown dtype {dtype!r} for a file, expected one of {list(DTYPES)}.")
    tensors: dict[str, Tensor] = {}
    sites: list[dict[str, Any]] = []
    for index, (site, map) in enumerate(steering.maps.items()):
        stored = map.to("cpu", DTYPES[dtype])
        try:
            stored.check()
        except MapError as error:
            raise MapError(f"{site} cannot be stored as {dtype}: {error}") from error
        tensors |= {f"{index}.{name}": tensor for name, tensor in _packed(stored).items()}
        sites.append(asdict(site) | {"kind": map.kind, "width": map.width})
    made = steering.provenance
    provenance = {f.name: getattr(made, f.name) for f in fields(made)} | {"settings": dict(made.settings)}
    metadata = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "sites": json.dumps(sites),
        "provenance": json.dumps(provenance),
    }
    write_atomically(path, safetensors.torch.save(tensors, metadata))


def load_steering(path: str | Path) -> Steering:
    """Read a steering file, in float32 on the CPU; nothing in the file is trusted.

    Raises `SteeringFileError` for a file that is missing, damaged, hostile or of another kind, and
    `NewerFormatError` for one that a newer library wrote.
    """
    try:
        if not os.path.isfile(path):
            raise SteeringFileError("there is no such file")
        size = os.path.getsize(path)
        if size > MAX_BYTES:
            raise SteeringFileError(
                f"it has {size} bytes, more than the {MAX_BYTES} that a steering may have"
            )
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            _check_format(metadata)
            return _read(file, _sites(metadata), _provenance(metadata))
    except NewerFormatError:
        raise
    except (LineasError, OSError, safetensors.SafetensorError, ValueError, RecursionError) as error:
        raise SteeringFileError(
            f"Cannot read a steering from {path}: {error}. Give a complete file written by lineas; "
            "a broken download must be repeated."
        ) from error


def write_atomically(path: str | Path, data: bytes) -> None:
    """Write a whole file or nothing, through a temporary file beside it. Raises `SteeringFileError`."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        try:
            with open(temporary, "xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise SteeringFileError(
            f"Cannot write {path}: {error.strerror or error}. Choose an existing folder that you may write, "
            f"on a disk with {len(data)} bytes free. What was there before is unchanged."
        ) from error


def _packed(map: Map) -> dict[str, Tensor]:
    """The tensors of a map as stored: by index and value where that is smaller and the family says so."""
    packed: dict[str, Tensor] = {}
    for name, tensor in map.tensors().items():
        # Cloned: safetensors refuses tensors that share memory, and maps may.
        dense = tensor.detach().clone(memory_format=torch.contiguous_format)
        index = dense.nonzero()[:, 0] if map.sparse and dense.ndim else None
        if index is not None and len(index) * (4 + dense.itemsize) < dense.numel() * dense.itemsize:
            packed[f"{name}.index"] = index.to(torch.int32)
            packed[f"{name}.value"] = dense[index]
        else:
            packed[name] = dense
    return packed


def _check_format(metadata: Mapping[str, str]) -> None:
    if metadata.get("format") != FORMAT:
        raise SteeringFileError(f"its format is {metadata.get('format')!r}, expected {FORMAT!r}")
    version = metadata.get("format_version", "")
    major, dot, minor = version.partition(".")
    if not (dot and major.isdecimal() and minor.isdecimal() and len(version) < 16):
        raise SteeringFileError(f"its format version is {version[:32]!r}, expected {FORMAT_VERSION!r}")
    if int(major) > int(FORMAT_VERSION.partition(".")[0]):
        raise NewerFormatError(
            f"The file has format {version}, this library reads up to {FORMAT_VERSION}. "
            "Update it: pip install --upgrade lineas."
        )


def _sites(metadata: Mapping[str, str]) -> list[tuple[Site, str, int]]:
    """The site table: site, kind of map, width."""
    table = json.loads(metadata.get("sites", "null"))
    if not isinstance(table, list):
        raise SteeringFileError("it has no table of sites")
    sites = [_site(entry) for entry in table]
    units = sum(width for _, _, width in sites)
    if units > MAX_UNITS:
        raise SteeringFileError(f"it claims {units} units in all, more than {MAX_UNITS}")
    if len({str(site) for site, _, _ in sites}) < len(sites):
        raise SteeringFileError("a site appears twice")
    return sites


def _site(entry: Any) -> tuple[Site, str, int]:
    types = {"name": str, "output": int, "axis": int, "kind": str, "width": int}
    if not isinstance(entry, dict) or any(type(entry.get(key)) is not kind for key, kind in types.items()):
        raise SteeringFileError(f"its table of sites holds {str(entry)[:100]!r}, expected {list(types)}")
    if not (0 < entry["width"] <= MAX_WIDTH and abs(entry["axis"]) < 8 and 0 <= entry["output"] < MAX_WIDTH):
        raise SteeringFileError(f"site {entry['name'][:100]!r} has an impossible width, axis or output")
    return Site(entry["name"], entry["output"], entry["axis"]), entry["kind"], entry["width"]


def _provenance(metadata: Mapping[str, str]) -> Provenance:
    """Fields of later minor versions are left out."""
    entry = json.loads(metadata.get("provenance", "{}"))
    if not isinstance(entry, dict):
        raise SteeringFileError("its provenance is not an object")
    known = {f.name: entry[f.name] for f in fields(Provenance) if f.name in entry}
    return Provenance(**known)


def _read(file: Any, sites: list[tuple[Site, str, int]], provenance: Provenance) -> Steering:
    by_site: dict[str, set[str]] = {}
    for key in file.keys():  # noqa: SIM118 - the file is no mapping
        place, _, name = key.partition(".")
        by_site.setdefault(place, set()).add(name)
    maps: dict[Site, Map] = {}
    for index, (site, kind, width) in enumerate(sites):
        names = by_site.pop(str(index), set())
        tensors: dict[str, Tensor] = {}
        for name in family(kind).names() if family(kind).sparse else ():
            pair = {f"{name}.index", f"{name}.value"}
            if pair <= names and name not in names:
                index_of, value = (_tensor(file, f"{index}.{part}") for part in sorted(pair))
                tensors[name] = _dense(index_of, value, width)
                names -= pair
        tensors |= {name: _tensor(file, f"{index}.{name}") for name in names}
        maps[site] = _map(kind, tensors, width)
    if by_site:
        raise SteeringFileError(f"it holds unexpected tensors, such as {min(by_site)[:100]!r}")
    return Steering(maps, provenance)


def _map(kind: str, tensors: dict[str, Tensor], width: int) -> Map:
    map = map_from_tensors(kind, tensors)
    if map.width != width:
        raise SteeringFileError(f"a map has {map.width} units, its table of sites says {width}")
    return map


def _tensor(file: Any, key: str) -> Tensor:
    dtype = file.get_slice(key).get_dtype()
    expected = ("I32",) if key.endswith(".index") else ("F32", "F16")
    if dtype not in expected:
        raise SteeringFileError(f"tensor {key} has dtype {dtype}, expected {' or '.join(expected)}")
    tensor = file.get_tensor(key)
    # Copied: the tensor may be a window on the mapped file, which can change or vanish.
    return tensor.clone() if dtype == "I32" else tensor.to(torch.float32, copy=True)


def _dense(index: Tensor, value: Tensor, width: int) -> Tensor:
    if index.ndim != 1 or index.shape != value.shape:
        raise SteeringFileError(
            f"a sparse tensor has {list(index.shape)} indices, {list(value.shape)} values"
        )
    if len(index) and (index[0] < 0 or index[-1] >= width or not bool((index.diff() > 0).all())):
        raise SteeringFileError(f"a sparse tensor has indices that do not rise within 0..{width - 1}")
    return torch.zeros(width).index_put((index.long(),), value)
