"""Control vectors: read back with the package of the format, and added to the stream as llama.cpp does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from toys.language import model

from lineas.adapters.language.sites import language_sites
from lineas.apply.hooks import steer
from lineas.errors import ExportError
from lineas.export.control_vector import control_vectors, save_control_vector
from lineas.maps.affine import AffineMap
from lineas.maps.gated import GatedMap
from lineas.maps.shift import ShiftMap
from lineas.steering.site import Site
from lineas.steering.steering import Steering

gguf = pytest.importorskip("gguf")
IDS = torch.tensor([[1, 5, 6, 7, 8]])
WIDTH = 16


def shifts(made: Any, sites: Any, first: int = 1) -> Steering:
    """Shifts at all blocks but the first."""
    found = language_sites({"": made}, sites)[first:]
    generator = torch.Generator().manual_seed(3)
    return Steering(
        {s: AffineMap(torch.zeros(WIDTH), torch.randn(WIDTH, generator=generator)) for s in found}
    )


def as_llama_cpp_does(made: Any, path: Path, scale: float) -> torch.Tensor:
    """Logits with direction N of the file, times the scale, added to what block N hands on."""
    reader = gguf.GGUFReader(path)
    vectors = {int(t.name.split(".")[1]): torch.from_numpy(np.array(t.data)) for t in reader.tensors}
    blocks = dict(made.named_modules())[language_sites({"": made}, "blocks")[0].name.rpartition(".")[0]]
    hooks = []
    for number, vector in vectors.items():

        def add(module: Any, args: Any, out: Any, vector: torch.Tensor = scale * vector) -> Any:
            return (out[0] + vector, *out[1:]) if isinstance(out, tuple) else out + vector

        hooks.append(blocks[number].register_forward_hook(add))
    with torch.no_grad():
        logits = made(IDS).logits
    for hook in hooks:
        hook.remove()
    return logits


@pytest.mark.parametrize("sites", ["blocks", "mlp"])
@pytest.mark.parametrize("name", ["Llama", "Qwen2", "Phi3", "GPT2", "GPTNeoX"])
def test_the_file_does_what_the_steering_does_at_every_scale(name: str, sites: str, tmp_path: Path) -> None:
    made, path = model(name), tmp_path / "vector.gguf"
    steering = shifts(made, sites)
    assert save_control_vector(steering, made, path, 0.5) == [1]
    for scale in (1.0, -0.7):
        with torch.no_grad(), steer(made, steering, 0.5 * scale):
            steered = made(IDS).logits
        torch.testing.assert_close(as_llama_cpp_does(made, path, scale), steered, rtol=1e-4, atol=1e-5)


def test_gemma_takes_it_at_the_norm_after_its_feed_forward(tmp_path: Path) -> None:
    made, path = model("Gemma2"), tmp_path / "vector.gguf"
    steering = shifts(made, "*layers.*.post_feedforward_layernorm")
    save_control_vector(steering, made, path)
    with torch.no_grad(), steer(made, steering):
        steered = made(IDS).logits
    torch.testing.assert_close(as_llama_cpp_does(made, path, 1.0), steered, rtol=1e-4, atol=1e-5)
    with pytest.raises(ExportError, match="adds last to its stream"):
        control_vectors(shifts(made, "mlp"), made)


def test_two_sites_of_one_block_are_added() -> None:
    made = model("Llama")
    both = {**shifts(made, "blocks").maps, **shifts(made, "mlp").maps}
    vectors = control_vectors(Steering(both), made)
    assert list(vectors) == [1]
    torch.testing.assert_close(vectors[1], sum(map.shift for map in both.values()))


def test_the_shift_family_is_held_as_it_is() -> None:
    made = model("Llama")
    affine = shifts(made, "blocks")
    shifted = Steering({site: ShiftMap(map.shift) for site, map in affine.maps.items()})
    torch.testing.assert_close(control_vectors(shifted, made), control_vectors(affine, made))


def test_a_branch_that_the_block_scales_is_no_shift_of_the_stream() -> None:
    made = model("Llama")
    block = made.model.layers[1]
    forward = block.mlp.forward
    block.mlp.forward = lambda z: 0.22 * forward(z)  # as Granite's residual_multiplier does
    with pytest.raises(ExportError, match="adds last to its stream"):
        control_vectors(shifts(made, "mlp"), made)
    assert list(control_vectors(shifts(made, "blocks"), made)) == [1]


def test_metadata_is_what_llama_cpp_reads(tmp_path: Path) -> None:
    made, path = model("Mistral"), tmp_path / "vector.gguf"
    save_control_vector(shifts(made, "blocks"), made, path)
    fields = gguf.GGUFReader(path).fields
    text = {name: bytes(fields[name].parts[-1]).decode() for name in
            ("general.architecture", "controlvector.model_hint")}  # fmt: skip
    assert text == {"general.architecture": "controlvector", "controlvector.model_hint": "llama"}
    assert int(fields["controlvector.layer_count"].parts[-1][0]) == 1


def refused(made: Any, maps: dict[Site, Any]) -> str:
    with pytest.raises(ExportError) as error:
        control_vectors(Steering(maps), made)
    return str(error.value)


def test_what_is_no_shift_of_the_stream_is_refused_with_a_reason(tmp_path: Path) -> None:
    made = model("Llama")
    block = Site("model.layers.1")
    scale = AffineMap(torch.ones(WIDTH), torch.zeros(WIDTH))
    ones, zeros = torch.ones(WIDTH), torch.zeros(WIDTH)
    gate = GatedMap(ones, ones, ones, torch.zeros(()), zeros, ones)
    shift = AffineMap(torch.zeros(WIDTH), torch.ones(WIDTH))
    assert "it scales units" in refused(made, {block: scale})
    assert "a gated map depends" in refused(made, {block: gate})
    assert "before 1" in refused(made, {Site("model.layers.0"): shift})
    assert "adds last" in refused(made, {Site("model.layers.1.post_attention_layernorm"): shift})
    assert "cannot hold 1 of 2 sites" in refused(made, {block: shift, Site("model.norm"): shift})
    nothing = Steering({block: AffineMap.identity(WIDTH)})
    with pytest.raises(ExportError, match="changes nothing"):
        save_control_vector(nothing, made, tmp_path / "x.gguf")
    assert not list(tmp_path.iterdir())
