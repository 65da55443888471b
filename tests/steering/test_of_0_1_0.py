"""A steering file that 0.1.0 wrote, every family of maps in it, does to activations what it did there."""

from __future__ import annotations

from pathlib import Path

import safetensors.torch
import torch

from lineas.steering.steering import Steering

FOLDER = Path(__file__).parent / "of_0_1_0"


def test_it_loads_and_acts_as_it_did() -> None:
    steering = Steering.load(FOLDER / "steering.safetensors")
    expected = safetensors.torch.load_file(FOLDER / "expected.safetensors")
    z = expected.pop("z")
    assert {str(site) for site in steering.maps} == set(expected)
    assert [map.kind for map in steering.maps.values()] == [
        *("affine", "affine", "gated", "banded", "low_rank", "stacked"),
    ]
    for site, map in steering.maps.items():
        torch.testing.assert_close(map(z, 0.7, site.axis), expected[str(site)], rtol=1e-6, atol=1e-7)


def test_its_provenance_is_kept_through_saving_it_again(tmp_path: Path) -> None:
    steering = Steering.load(FOLDER / "steering.safetensors")
    made = steering.provenance
    assert (made.method, made.library_version, made.notes) == ("lineas", "0.1.0", "remove x")
    assert made.settings == {"steps": 3, "preset": "fast", "none": None}
    steering.save(tmp_path / "again.safetensors")
    again = Steering.load(tmp_path / "again.safetensors")
    assert again.allclose(steering) and again.provenance == made
