"""Steering files: round trips, golden bytes, atomic writes, and everything a hostile file can try."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
import safetensors
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from lineas.errors import MapError, NewerFormatError, SteeringFileError
from lineas.maps.affine import AffineMap
from lineas.maps.gated import GatedMap
from lineas.maps.low_rank import LowRankMap
from lineas.steering import files, reading
from lineas.steering.files import load_steering, save_steering
from lineas.steering.provenance import Provenance
from lineas.steering.site import Site
from lineas.steering.steering import Steering

GOLDEN = """
cAIAAAAAAAB7Il9fbWV0YWRhdGFfXyI6eyJwcm92ZW5hbmNlIjoie1wibWV0aG9kXCI6IFwibGluZWFzXCIsIFwiYmFzZV9tb2Rl
bFwiOiBcInNjZW5lc1wiLCBcImZpbmdlcnByaW50XCI6IFwiMTphYlwiLCBcInByb21wdHNfaGFzaFwiOiBcImNkXCIsIFwic2V0
dGluZ3NcIjoge1wibHJcIjogMC41LCBcInNlZWRcIjogMX0sIFwibGlicmFyeV92ZXJzaW9uXCI6IFwiMC4xLjBcIiwgXCJjcmVh
dGVkXCI6IFwiMjAyNi0wMS0wMVwiLCBcIm5vdGVzXCI6IFwiZ29sZGVuXCJ9Iiwic2l0ZXMiOiJbe1wibmFtZVwiOiBcInVuZXQu
bm9ybVwiLCBcIm91dHB1dFwiOiAxLCBcImF4aXNcIjogMSwgXCJraW5kXCI6IFwiYWZmaW5lXCIsIFwid2lkdGhcIjogNn1dIiwi
Zm9ybWF0X3ZlcnNpb24iOiIxLjAiLCJmb3JtYXQiOiJsaW5lYXMuc3RlZXJpbmcifSwiMC5kZXZpYXRpb24udmFsdWUiOnsiZHR5
cGUiOiJGMzIiLCJzaGFwZSI6WzFdLCJkYXRhX29mZnNldHMiOlswLDRdfSwiMC5zaGlmdCI6eyJkdHlwZSI6IkYzMiIsInNoYXBl
IjpbNl0sImRhdGFfb2Zmc2V0cyI6WzQsMjhdfSwiMC5kZXZpYXRpb24uaW5kZXgiOnsiZHR5cGUiOiJJMzIiLCJzaGFwZSI6WzFd
LCJkYXRhX29mZnNldHMiOlsyOCwzMl19fSAgICAgICAAAAA/AACAPgAAgL8AAAAAAAAAQAAAAD4AAAC/AQAAAA==
"""
MADE = Provenance("lineas", "scenes", "1:ab", "cd", {"lr": 0.5, "seed": 1}, "0.1.0", "2026-01-01", "golden")
DEVIATION, SHIFT = torch.tensor([0, 0.5, 0, 0, 0, 0]), torch.tensor([0.25, -1, 0, 2, 0.125, -0.5])
EXPECTED = Steering({Site("unet.norm", 1, 1): AffineMap(DEVIATION, SHIFT)}, MADE)
TENSORS = {
    "0.deviation.index": torch.tensor([1], dtype=torch.int32),
    "0.deviation.value": torch.tensor([0.5]),
    "0.shift": SHIFT,
}
SITE = {"name": "unet.norm", "output": 1, "axis": 1, "kind": "affine", "width": 6}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.safetensors"


def write(path: Path, tensors: dict[str, Tensor] | None = None, **metadata: Any) -> Path:
    """The golden steering with some tensors or some metadata replaced; None leaves an entry out."""
    entries = {
        "format": "lineas.steering",
        "format_version": "1.0",
        "sites": [SITE],
        "provenance": {},
    } | metadata
    texts = {k: v if isinstance(v, str) else json.dumps(v) for k, v in entries.items() if v is not None}
    kept = {k: v for k, v in (TENSORS | (tensors or {})).items() if v is not None}
    path.write_bytes(safetensors.torch.save(kept, texts))
    return path


def test_golden_bytes_stay_loadable(path: Path) -> None:
    path.write_bytes(base64.b64decode(GOLDEN))
    loaded = load_steering(path)
    assert loaded.allclose(EXPECTED, 0, 0) and loaded.provenance == MADE


def test_the_golden_steering_is_still_written_alike(path: Path) -> None:
    EXPECTED.save(path)
    with safetensors.safe_open(path, "pt") as file:
        assert set(file.keys()) == set(TENSORS)
        metadata = file.metadata()
    assert {k: metadata[k] for k in ("format", "format_version")} == {
        "format": "lineas.steering",
        "format_version": "1.0",
    }
    assert json.loads(metadata["sites"]) == [SITE]


@given(
    st.lists(st.lists(st.floats(-(2.0**100), 2.0**100, width=32), min_size=1, max_size=9), max_size=4),
    st.integers(0, 3),
    st.dictionaries(
        st.text(), st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
    ),
    st.text(),
)
def test_any_steering_comes_back(
    tmp_path_factory: pytest.TempPathFactory,
    values: list[list[float]],
    output: int,
    settings: dict,
    text: str,
) -> None:
    maps = {
        Site(f"{''.join(filter(str.isprintable, text))[:400]}.{i}", output, 1): AffineMap(
            torch.tensor(v), torch.tensor(v).flip(0)
        )
        for i, v in enumerate(values)
    }
    one = Steering(maps, Provenance(notes=text, settings=settings))
    path = tmp_path_factory.mktemp("files") / "one"
    one.save(path)
    again = Steering.load(path)
    assert again.allclose(one, 0, 0) and again.provenance == one.provenance


def test_every_family_comes_back(path: Path) -> None:
    gated = GatedMap(*torch.randn(3, 4), torch.tensor(0.5), torch.randn(4), torch.rand(4) + 1)
    low_rank = LowRankMap(*torch.randn(2, 2, 5), torch.randn(2))
    one = Steering({Site("a"): gated, Site("b"): low_rank, Site("c"): AffineMap.identity(3)})
    one.save(path)
    assert load_steering(path).allclose(one, 0, 0)


def test_sparse_files_are_smaller(tmp_path: Path) -> None:
    sparse, dense = torch.zeros(10000), torch.ones(10000)
    sparse[::100] = 1
    for name, values in (("sparse", sparse), ("dense", dense)):
        Steering({Site("a"): AffineMap(values, values)}).save(tmp_path / name)
        assert torch.equal(load_steering(tmp_path / name).maps[Site("a")].tensors()["shift"], values)
    assert (tmp_path / "sparse").stat().st_size < 3000 < 80000 < (tmp_path / "dense").stat().st_size


def test_float16_is_half_as_large_and_comes_back_as_float32(tmp_path: Path) -> None:
    values = torch.randn(1000)
    one = Steering({Site("a"): AffineMap(values, values)})
    one.save(tmp_path / "half", "float16")
    loaded = load_steering(tmp_path / "half").maps[Site("a")].tensors()["shift"]
    assert (tmp_path / "half").stat().st_size < 5000
    assert torch.equal(loaded, values.half().float()) and loaded.dtype == torch.float32


def test_texts_of_other_programs_lie_beside_ours_and_change_nothing(path: Path) -> None:
    one = Steering({Site("a"): AffineMap(torch.ones(1), torch.zeros(1))}, Provenance(notes="of mine"))
    one.save(path, metadata={"workflow": '{"nodes": []}', "sites": "[]"})
    with safetensors.safe_open(path, "pt") as file:
        assert file.metadata()["workflow"] == '{"nodes": []}'
    again = Steering.load(path)
    assert again.allclose(one, 0, 0) and again.provenance == one.provenance


def test_what_does_not_fit_the_dtype_is_refused(path: Path) -> None:
    with pytest.raises(MapError, match="a cannot be stored as float16"):
        Steering({Site("a"): AffineMap(torch.zeros(1), torch.tensor([1e6]))}).save(path, "float16")
    with pytest.raises(MapError, match="NaN"):
        Steering({Site("a"): AffineMap(torch.zeros(1), torch.tensor([float("nan")]))}).save(path)
    with pytest.raises(SteeringFileError, match="'int8'"):
        save_steering(EXPECTED, path, "int8")  # type: ignore[arg-type]
    assert not path.exists()


def test_the_template_of_the_hostile_files_is_fine(path: Path) -> None:
    assert load_steering(write(path)).allclose(EXPECTED, 0, 0)


def test_a_later_minor_version_is_read(path: Path) -> None:
    later = write(
        path, format_version="1.7", provenance={"method": "x", "mood": []}, sites=[SITE | {"colour": 1}]
    )
    assert load_steering(later).provenance.method == "x"


def test_a_later_major_version_is_refused(path: Path) -> None:
    with pytest.raises(NewerFormatError, match="pip install --upgrade lineas"):
        load_steering(write(path, format_version="2.0"))


def test_every_truncation_is_refused(path: Path) -> None:
    whole = base64.b64decode(GOLDEN)
    for length in [*range(0, len(whole), 7), len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(SteeringFileError):
            load_steering(path)


@given(st.integers(0, 663), st.integers(0, 255))
def test_no_changed_byte_crashes(tmp_path_factory: pytest.TempPathFactory, place: int, byte: int) -> None:
    data = bytearray(base64.b64decode(GOLDEN))
    data[place % len(data)] = byte
    path = tmp_path_factory.mktemp("files") / "one"
    path.write_bytes(data)
    with contextlib.suppress(SteeringFileError):
        load_steering(path).check()


def header(text: str, length: int | None = None) -> bytes:
    return (len(text) if length is None else length).to_bytes(8, "little") + text.encode()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PK\x03\x04 a pickle in a zip",
        header("{}", 2**63),
        header("{}", 2**40),
        header("[" * 100_000),
        header('{"0.shift":{"dtype":"F32","shape":[4611686018427387904],"data_offsets":[0,4]}}') + bytes(4),
        header('{"0.shift":{"dtype":"F32","shape":[1],"data_offsets":[0,99999999999]}}'),
        header("{}"),
    ],
    ids=["empty", "zip", "length 2^63", "length 2^40", "deep", "shape", "offsets", "no metadata"],
)
def test_hostile_headers_are_refused(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    with pytest.raises(SteeringFileError, match="Cannot read a steering"):
        load_steering(path)


@pytest.mark.parametrize(
    "metadata",
    [
        {"format": None},
        {"format": "pt"},
        {"format_version": None},
        {"format_version": "1"},
        {"format_version": "-1.0"},
        {"format_version": "9" * 5000 + ".0"},
        {"sites": None},
        {"sites": {}},
        {"sites": "["},
        {"sites": "[" * 100_000},
        {"sites": "9" * 5000},
        {"sites": [3]},
        {"sites": []},
        {"sites": [SITE, SITE]},
        {"sites": [SITE, SITE | {"axis": -1}]},
        *({"sites": [{k: v for k, v in SITE.items() if k != key}]} for key in SITE),
        {"sites": [SITE | {"name": ""}]},
        {"sites": [SITE | {"name": None}]},
        {"sites": [SITE | {"output": -1}]},
        {"sites": [SITE | {"axis": True}]},
        {"sites": [SITE | {"axis": 10**30}]},
        *({"sites": [SITE | {"axis": axis}]} for axis in (5, 7, -7)),
        {"sites": [SITE | {"name": "unet.\x1b[2Jnorm"}]},
        {"sites": [SITE | {"name": "unet.norm\nlineas: all is well"}]},
        {"sites": [SITE | {"name": "n" * 501}]},
        {"sites": [SITE | {"name": f"n{i}"} for i in range(10_000)]},
        {"sites": "[" + "[]," * 2_000_000 + "[]]"},
        {"provenance": {"notes": "n" * 50_001}},
        {"provenance": {"settings": {str(i): 0 for i in range(501)}}},
        {"provenance": '{"settings": {"a": ' + "9" * 400 + "}}"},
        {"sites": [SITE | {"kind": "pickle"}]},
        {"sites": [SITE | {"kind": "gated"}]},
        {"sites": [SITE | {"width": 5}]},
        {"sites": [SITE | {"width": 0}]},
        {"sites": [SITE | {"width": 1.0}]},
        {"sites": [SITE | {"width": 2**20 + 1}]},
        {"provenance": []},
        {"provenance": {"method": 3}},
        {"provenance": {"settings": [1]}},
        {"provenance": {"settings": {"a": {}}}},
    ],
    ids=lambda metadata: str(metadata)[:60],
)
def test_hostile_metadata_is_refused(path: Path, metadata: dict[str, Any]) -> None:
    with pytest.raises(SteeringFileError):
        load_steering(write(path, **metadata))


@pytest.mark.parametrize(
    "tensors",
    [
        {"0.shift": None},
        {"0.shift": SHIFT[:5].clone()},
        {"0.shift": SHIFT[None].clone()},
        {"0.shift": SHIFT.double()},
        {"0.shift": SHIFT.bfloat16()},
        {"0.shift": torch.tensor([0, 0, 0, 0, 0, float("nan")])},
        {"0.shift": torch.tensor([0, 0, 0, 0, 0, float("inf")])},
        {"0.more": torch.zeros(6)},
        {"1.shift": torch.zeros(6)},
        {"0.deviation": torch.zeros(6)},
        {"0.deviation.index": None},
        {"0.deviation.value": None},
        {"0.deviation.value": torch.tensor([float("nan")])},
        {"0.deviation.value": torch.tensor([1, 2.0])},
        {"0.deviation.index": torch.tensor([1])},
        {"0.deviation.index": torch.tensor([6], dtype=torch.int32)},
        {"0.deviation.index": torch.tensor([-1], dtype=torch.int32)},
        {"0.deviation.index": torch.tensor([1, 1], dtype=torch.int32), "0.deviation.value": torch.ones(2)},
        {"0.deviation.index": torch.tensor([2, 1], dtype=torch.int32), "0.deviation.value": torch.ones(2)},
        {"0.deviation.index": torch.tensor([[1]], dtype=torch.int32), "0.deviation.value": torch.ones(1, 1)},
    ],
    ids=lambda tensors: str(tensors)[:60].replace("\n", ""),
)
def test_hostile_tensors_are_refused(path: Path, tensors: dict[str, Tensor]) -> None:
    with pytest.raises(SteeringFileError):
        load_steering(write(path, tensors))


def test_a_small_file_cannot_ask_for_much_memory(path: Path) -> None:
    sites = [SITE | {"name": f"n{i}", "width": 2**20} for i in range(1000)]
    nothing = {"index": torch.zeros(0, dtype=torch.int32), "value": torch.zeros(0)}
    sparse = {
        f"{i}.{n}.{k}": t for i in range(1000) for n in ("deviation", "shift") for k, t in nothing.items()
    }
    write(path, {**sparse, "0.shift": None}, sites=sites)
    tracemalloc.start()
    with pytest.raises(SteeringFileError, match="units in all"):
        load_steering(path)
    assert tracemalloc.get_traced_memory()[1] < 50e6
    tracemalloc.stop()


def test_large_files_and_things_that_are_no_files_are_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SteeringFileError, match="no such file"):
        load_steering(path)
    with pytest.raises(SteeringFileError, match="no such file"):
        load_steering(path.parent)
    EXPECTED.save(path)
    monkeypatch.setattr(reading, "MAX_BYTES", 10)
    with pytest.raises(SteeringFileError, match="more than the 10 "):
        load_steering(path)


def test_a_loaded_steering_outlives_its_file(path: Path) -> None:
    EXPECTED.save(path)
    loaded = load_steering(path)
    path.write_bytes(b"")
    path.unlink()
    assert loaded.allclose(EXPECTED, 0, 0)


def test_a_low_rank_map_may_not_fill_the_memory(path: Path) -> None:
    large = torch.zeros(2**10, 2**15 + 1, dtype=torch.float16)
    low_rank = {"0.rotation": large, "0.weight": large[:1].clone(), "0.bias": torch.zeros(1)}
    site = SITE | {"kind": "low_rank", "width": 2**15 + 1}
    write(path, {**dict.fromkeys(TENSORS), **low_rank}, sites=[site])
    with pytest.raises(SteeringFileError, match="numbers, more than"):
        load_steering(path)


@pytest.mark.parametrize(
    "text", ["\x1b]0;owned\x07\x1b[2J", "a\nlineas: saved", "\u202eevil", "a\r\x08b\x9b1m"]
)
def test_what_a_stranger_wrote_is_printed_in_plain_letters(path: Path, text: str) -> None:
    made = {"method": text, "base_model": text, "settings": {text: text}, "notes": text}
    shown = load_steering(write(path, provenance=made)).summary()
    assert all(sign.isprintable() or sign == "\n" for sign in shown)
    assert len(shown.splitlines()) == 7, "headline, four facts, head and one line of the table"
    for metadata in (
        {"format": text},
        {"sites": [SITE | {"name": text}]},
        {"sites": [SITE | {"kind": text}]},
    ):
        with pytest.raises(SteeringFileError) as caught:
            load_steering(write(path, **metadata))
        assert str(caught.value).isprintable() and len(str(caught.value)) < 1000


def test_long_texts_are_cut_when_saved_and_never_lose_the_steering(path: Path) -> None:
    long = Provenance("m" * 9000, notes="old " * 50_000 + "new", settings={"s" * 9000: "v" * 9000})
    Steering(EXPECTED.maps, long).save(path)
    made = load_steering(path).provenance
    assert (len(made.method), len(made.notes), made.notes[-3:]) == (2000, 50_000, "new")
    assert made.settings == {"s" * 2000: "v" * 2000}


def test_what_could_not_be_read_again_is_not_written(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_SITES", 2)
    many = {Site(f"n{i}"): AffineMap.identity(1) for i in range(3)}
    with pytest.raises(SteeringFileError, match="larger than a file may be"):
        Steering(many).save(path)
    assert not path.exists()


def test_pipes_and_devices_are_refused_without_waiting(path: Path) -> None:
    os.mkfifo(path)
    for place in (path, "/dev/zero"):
        with pytest.raises(SteeringFileError, match="a pipe or a device"):
            load_steering(place)


def test_a_header_of_very_many_entries_is_refused_before_it_is_parsed(path: Path) -> None:
    entries = {str(i): "" for i in range(2**16 + 2**10)}
    with pytest.raises(SteeringFileError, match="entries, more than"):
        load_steering(write(path, **entries))
