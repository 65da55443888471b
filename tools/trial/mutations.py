"""Seeded mutations of safetensors files: of their bytes, their header, their metadata and what is in it."""

from __future__ import annotations

import json
import math
from random import Random
from typing import Any

VALUES: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    1,
    5,
    7,
    -7,
    2**31,
    2**63,
    10**30,
    0.5,
    math.nan,
    math.inf,
    "",
    "x",
    "\x1b[2J\n\x9b",
    "9" * 400,
    "n" * 1000,
    "٣",
    [],
    [[]],
    {},
    {"tensor": "0"},
    {"pairs": []},
    [None] * 100,
)
DTYPES = ("F32", "F16", "F64", "BF16", "I32", "I64", "U8", "BOOL", "X9", "")


def mutated(data: bytes, random: Random) -> bytes:
    """One file, changed in one to three ways."""
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        data = random.choice((_bytes, _cut, _header, _header, _metadata, _metadata, _metadata))(data, random)
    return data


def _bytes(data: bytes, random: Random) -> bytes:
    changed = bytearray(data)
    for _ in range(random.choice((1, 1, 4, 32))):
        if changed:
            changed[random.randrange(len(changed))] = random.randrange(256)
    return bytes(changed)


def _cut(data: bytes, random: Random) -> bytes:
    place = random.randrange(len(data) + 1)
    extra = random.randbytes(random.choice((0, 1, 64)))
    return random.choice((data[:place], data[:place] + extra + data[place:], data[place:], data + extra))


def _split(data: bytes) -> tuple[dict[str, Any], bytes] | None:
    length = int.from_bytes(data[:8], "little")
    try:
        header = json.loads(data[8 : 8 + length])
    except (ValueError, RecursionError):
        return None
    return (header, data[8 + length :]) if isinstance(header, dict) else None


def _joined(header: dict[str, Any], rest: bytes) -> bytes:
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + rest


def _header(data: bytes, random: Random) -> bytes:
    parts = _split(data)
    names = [name for name in parts[0] if name != "__metadata__"] if parts else []
    if parts is None or not names:
        return _bytes(data, random)
    header, rest = parts
    name = random.choice(names)
    entry = header[name] if isinstance(header[name], dict) else {}
    change = random.randrange(6)
    if change == 0:
        del header[name]
    elif change == 1:
        header[random.choice(("0.more", "x", "99.shift", name + ".index", "0" * 400))] = header.pop(name)
    elif change == 2:
        entry["dtype"] = random.choice(DTYPES)
    elif change == 3:
        entry["shape"] = random.choice(([], [1], [2**40], [-1], [0], [1, 6], [6, 1], "x", [6] * 9))
    elif change == 4:
        entry["data_offsets"] = random.choice(([0, 0], [4, 0], [0, 2**62], [0], "x", [-1, 4]))
    else:
        header[name] = random.choice(VALUES)
    return _joined(header, rest)


def _metadata(data: bytes, random: Random) -> bytes:
    parts = _split(data)
    if parts is None or not isinstance(parts[0].get("__metadata__"), dict):
        return _bytes(data, random)
    header, rest = parts
    metadata = header["__metadata__"]
    key = random.choice(list(metadata) or ["format"])
    try:
        value = json.loads(metadata.get(key, ""))
    except (ValueError, TypeError, RecursionError):
        value = None
    if isinstance(value, (dict, list)) and random.random() < 0.8:
        metadata[key] = json.dumps(_inside(value, random))
    elif random.random() < 0.3:
        metadata.pop(key, None)
    else:
        metadata[key] = random.choice((*map(str, VALUES), "[" * 5000, "[" + "[]," * 9999 + "[]]"))
    return _joined(header, rest)


def _inside(value: Any, random: Random) -> Any:
    """The same value, with one thing in it replaced, dropped, doubled or added."""
    if not isinstance(value, (dict, list)) or not value or random.random() < 0.15:
        return random.choice(VALUES)
    places = list(value) if isinstance(value, dict) else list(range(len(value)))
    place = random.choice(places)
    change = random.random()
    if change < 0.7:
        value[place] = _inside(value[place], random)
    elif change < 0.85:
        del value[place]
    elif isinstance(value, list):
        value.append(random.choice((value[place], random.choice(VALUES))))
    else:
        value[random.choice(("more", "kind", "axis", "tensor"))] = random.choice(VALUES)
    return value
