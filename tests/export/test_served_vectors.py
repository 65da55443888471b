"""Vectors for plugins of vLLM and for EasySteer: read back, by their own readers where they are installed."""

from __future__ import annotations

import base64
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from toys.language import model

from lineas import steer
from lineas.adapters.language.sites import language_sites
from lineas.errors import ExportError
from lineas.export.easysteer import save_easysteer
from lineas.export.served_vectors import save_hotwire, save_vllm_lens
from lineas.maps.affine import AffineMap
from lineas.maps.shift import ShiftMap
from lineas.steering.site import Site
from lineas.steering.steering import Steering

IDS = torch.tensor([[1, 5, 6, 7, 8]])
WIDTH = 16


def made_and_steering(name: str = "Llama", scale: float = 0.0) -> tuple[Any, Steering]:
    made, generator = model(name), torch.Generator().manual_seed(3)
    sites = language_sites({"": made}, "blocks" if scale else "mlp")
    maps: list[Any] = [ShiftMap(torch.randn(WIDTH, generator=generator)) for _ in sites]
    if scale:
        maps = [AffineMap(scale * torch.randn(WIDTH, generator=generator), map.shift) for map in maps]
    return made, Steering(dict(zip(sites, maps, strict=True)))


def served(made: Any, changes: dict[int, Any]) -> torch.Tensor:
    """Logits of a server that changes what these blocks hand on."""
    blocks = dict(made.named_modules())[language_sites({"": made}, "blocks")[0].name.rpartition(".")[0]]
    hooks = []
    for number, change in changes.items():

        def put(module: Any, args: Any, out: Any, change: Any = change) -> Any:
            return (change(out[0]), *out[1:]) if isinstance(out, tuple) else change(out)

        hooks.append(blocks[number].register_forward_hook(put))
    with torch.no_grad():
        logits = made(IDS).logits
    for hook in hooks:
        hook.remove()
    return logits


def hooked(made: Any, steering: Steering, strength: float) -> torch.Tensor:
    with torch.no_grad(), steer(made, steering, strength):
        return made(IDS).logits


@pytest.mark.parametrize("name", ["Llama", "Qwen2", "GPT2"])
def test_hotwire_adds_what_the_steering_adds(name: str, tmp_path: Path) -> None:
    made, steering = made_and_steering(name)
    blocks, request = save_hotwire(steering, made, tmp_path / "cold.pt", 0.5)
    rows = torch.load(tmp_path / "cold.pt", weights_only=True)
    entries = json.loads(request.read_text())
    assert blocks == [0, 1] and rows.shape == (2, WIDTH)
    assert entries == [{"id": "cold", "layer": block, "scale": 1.0} for block in (0, 1)]
    changes = {
        each["layer"]: lambda z, each=each: z + each["scale"] * rows[each["layer"]] for each in entries
    }
    torch.testing.assert_close(served(made, changes), hooked(made, steering, 0.5), rtol=1e-4, atol=1e-5)


def test_hotwires_own_reader_takes_it(tmp_path: Path) -> None:
    state = pytest.importorskip("hotwire._state")
    made, steering = made_and_steering()
    _, request = save_hotwire(steering, made, tmp_path / "cold.pt")
    server = state.SteerState(2, WIDTH, 8, torch.device("cpu"), torch.float32, 16)
    server.load_store(str(tmp_path))
    for entry in state.parse_spec(request.read_text()):
        slot = server.slot_for(entry["id"], entry["layer"], entry["scale"])
        map = next(m for s, m in steering.maps.items() if f"layers.{entry['layer']}." in s.name)
        torch.testing.assert_close(server.bank.scales[slot] * server.bank.bank[slot], map.shift)


def test_vllm_lens_json_holds_the_vectors_by_block(tmp_path: Path) -> None:
    made, steering = made_and_steering()
    path = tmp_path / "cold.json"
    assert save_vllm_lens(steering, made, path, 0.5) == [0, 1]
    told = json.loads(path.read_text())
    held = told["activations"]
    rows = np.frombuffer(base64.b64decode(held["data"]), held["dtype"]).reshape(held["shape"])
    changes = {
        n: lambda z, i=i: z + told["scale"] * torch.tensor(rows[i])
        for i, n in enumerate(told["layer_indices"])
    }
    torch.testing.assert_close(served(made, changes), hooked(made, steering, 0.5), rtol=1e-4, atol=1e-5)


def test_vllm_lens_own_reader_takes_it(tmp_path: Path) -> None:
    types = pytest.importorskip("vllm_lens._helpers.types")
    made, steering = made_and_steering()
    save_vllm_lens(steering, made, tmp_path / "cold.json")
    vector = types.SteeringVector.model_validate(json.loads((tmp_path / "cold.json").read_text()))
    expected = torch.stack([map.shift for map in steering.maps.values()])
    torch.testing.assert_close(vector.activations, expected)
    assert vector.layer_indices == [0, 1] and not vector.norm_match


def test_easysteers_linear_form_is_the_affine_map(tmp_path: Path) -> None:
    made, steering = made_and_steering(scale=0.3)
    written = save_easysteer(steering, made, tmp_path / "forms", 0.7)
    assert [path.name for path in written.values()] == ["linear-0.pkl", "linear-1.pkl"]
    forms = {n: pickle.loads(path.read_bytes()) for n, path in written.items()}
    changes = {
        n: lambda z, f=f: z @ torch.tensor(f["A_"]).T + torch.tensor(f["B_"]) for n, f in forms.items()
    }
    torch.testing.assert_close(served(made, changes), hooked(made, steering, 0.7), rtol=1e-4, atol=1e-5)


def test_what_a_format_cannot_hold_is_told_with_its_sites(tmp_path: Path) -> None:
    made, scaled = made_and_steering(scale=0.3)
    with pytest.raises(ExportError, match=r"2 of 2 sites:\n  model.layers.0: it scales units"):
        save_vllm_lens(scaled, made, tmp_path / "never.json")
    _, shifts = made_and_steering()
    with pytest.raises(ExportError, match="is not the output of a block"):
        save_easysteer(shifts, made, tmp_path / "never")
    nothing = Steering({Site("model.layers.0"): ShiftMap.identity(WIDTH)})
    for save in (save_hotwire, save_vllm_lens, save_easysteer):
        with pytest.raises(ExportError, match="changes nothing"):
            save(nothing, made, tmp_path / "nothing")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
