"""Steering files: one safetensors file, sparse where that is smaller, never trusted when read."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, Literal

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from lineas.errors import LineasError, MapError, NewerFormatError, SteeringFileError, plain
from lineas.maps.base import Map, family, map_from_tensors
from lineas.steering.provenance import Provenance
from lineas.steering.reading import MAX_BYTES, MAX_TEXT, open_tensors, parsed
from lineas.steering.site import Site
from lineas.steering.steering import Steering
from lineas.steering.writing import write_atomically

__all__ = ["load_steering", "save_steering", "write_atomically"]

FORMAT = "lineas.steering"
FORMAT_VERSION = "1.0"
MAX_SITES = 2**13
MAX_WIDTH = 2**20
# A sparse map is few bytes in the file and `width` numbers in memory: the sum over sites is bounded too.
MAX_UNITS = 2**24
MAX_NUMBERS = MAX_BYTES // 4
"""Numbers in all tensors as loaded, in float32."""
MAX_AXIS = 4
"""The largest activation is that of a video: [b, d, f, h, w]."""
DTYPES = {"float32": torch.float32, "float16": torch.float16}


def save_steering(
    steering: Steering,
    path: str | Path,
    dtype: Literal["float32", "float16"] = "float32",
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write a steering to `path`, replacing what is there only when the new file is complete.

    dtype: "float32" (exact for float32 maps) or "float16" (half the size, values rounded to 11 bits).
    metadata: texts of other programs by name, such as ComfyUI's workflow; `load_steering` passes over them.
    Texts of the provenance are cut to what a file may hold. Raises `MapError` when a tensor cannot be stored,
    `SteeringFileError` when the file cannot be written or is larger than what would be read again.
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
    made = steering.provenance.bounded()
    provenance = {f.name: getattr(made, f.name) for f in fields(made)} | {"settings": dict(made.settings)}
    texts = {
        **(metadata or {}),
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "sites": json.dumps(sites),
        "provenance": json.dumps(provenance),
    }
    _check_size(path, steering, texts)
    write_atomically(path, safetensors.torch.save(tensors, texts))


def load_steering(path: str | Path) -> Steering:
    """Read a steering file, in float32 on the CPU; nothing in the file is trusted.

    Raises `SteeringFileError` for a file that is missing, damaged, hostile or of another kind, and
    `NewerFormatError` for one that a newer library wrote.
    """
    try:
        with open_tensors(path) as file:
            metadata = file.metadata() or {}
            _check_format(metadata)
            return _read(file, _sites(metadata), _provenance(metadata))
    except NewerFormatError:
        raise
    except (LineasError, OSError, safetensors.SafetensorError, ValueError, RecursionError) as error:
        raise SteeringFileError(
            f"Cannot read a steering from {plain(path)}: {plain(error)}. Give a complete file written by "
            "lineas; a broken download must be repeated."
        ) from error


def _check_size(path: str | Path, steering: Steering, metadata: Mapping[str, str]) -> None:
    """Raise `SteeringFileError` for what `load_steering` would refuse."""
    numbers = sum(tensor.numel() for map in steering.maps.values() for tensor in map.tensors().values())
    units = sum(map.width for map in steering.maps.values())
    texts = max(map(len, metadata.values()))
    if len(steering.maps) > MAX_SITES or numbers > MAX_NUMBERS or units > MAX_UNITS or texts > MAX_TEXT:
        raise SteeringFileError(
            f"Cannot write {plain(path)}: a steering of {len(steering.maps)} sites, {units} units and "
            f"{numbers} numbers is larger than a file may be ({MAX_SITES}, {MAX_UNITS}, {MAX_NUMBERS}). "
            "Keep fewer sites: steering.restrict(…), or fit a lower rank."
        )


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
        raise SteeringFileError(f"its format is {plain(metadata.get('format'), 40)!r}, expected {FORMAT!r}")
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
    table = parsed(metadata.get("sites", "null"))
    if not isinstance(table, list) or len(table) > MAX_SITES:
        raise SteeringFileError(f"it has no table of up to {MAX_SITES} sites")
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
        shown = plain(dict(list(entry.items())[:8]) if isinstance(entry, dict) else type(entry), 100)
        raise SteeringFileError(f"its table of sites holds {shown}, expected {list(types)}")
    within = 0 < entry["width"] <= MAX_WIDTH and abs(entry["axis"]) <= MAX_AXIS
    if not (within and 0 <= entry["output"] < MAX_WIDTH):
        raise SteeringFileError(
            f"site {plain(entry['name'], 80)!r} has an impossible width, axis or output: a width of up to "
            f"{MAX_WIDTH}, an axis of -{MAX_AXIS} to {MAX_AXIS} and an output from 0 are expected"
        )
    return Site(entry["name"], entry["output"], entry["axis"]), plain(entry["kind"], 40), entry["width"]


def _provenance(metadata: Mapping[str, str]) -> Provenance:
    """Fields of later minor versions are left out."""
    entry = parsed(metadata.get("provenance", "{}"))
    if not isinstance(entry, dict):
        raise SteeringFileError("its provenance is not an object")
    known = {f.name: entry[f.name] for f in fields(Provenance) if f.name in entry}
    made = Provenance(**known)
    if made != made.bounded():
        raise SteeringFileError("its provenance holds more or longer entries than there may be")
    return made


def _read(file: Any, sites: list[tuple[Site, str, int]], provenance: Provenance) -> Steering:
    by_site: dict[str, set[str]] = {}
    numbers = 0
    for key in file.keys():  # noqa: SIM118 - the file is no mapping
        place, _, name = key.partition(".")
        by_site.setdefault(place, set()).add(name)
        numbers += math.prod(file.get_slice(key).get_shape())
    if numbers > MAX_NUMBERS:
        raise SteeringFileError(f"it holds {numbers} numbers, more than {MAX_NUMBERS}")
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
        raise SteeringFileError(f"it holds unexpected tensors, such as {plain(min(by_site), 80)!r}")
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
        raise SteeringFileError(
            f"tensor {plain(key, 80)} has dtype {dtype}, expected {' or '.join(expected)}"
        )
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
