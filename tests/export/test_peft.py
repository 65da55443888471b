"""LoRAs of PEFT: loaded by diffusers they draw what the hooks draw, whatever the kind of layer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from toys.models import gated
from toys.pipelines import ARGUMENTS, flux, sdxl
from toys.transformers import TRANSFORMERS, wan

from lineas import Site, Steering, steer
from lineas.errors import ExportError
from lineas.export.peft import METADATA, not_low_rank, peft_state_dict, save_peft
from lineas.maps.affine import AffineMap
from lineas.modules.kinds import width
from lineas.modules.names import find_sites, module_tree, named_modules

pytest.importorskip("peft", "0.14")


def sparse(pipe: Any, patterns: str | list[str], shifts: bool = True) -> Steering:
    """Scales a few units of each site, another number at each, and shifts a few others."""
    generator, table, maps = torch.Generator().manual_seed(0), named_modules(module_tree(pipe)), {}
    for number, site in enumerate(find_sites(module_tree(pipe), patterns)):
        units = width(table[site.name])
        assert units is not None
        deviation, shift = torch.zeros(2, units).unbind()
        deviation[torch.randperm(units, generator=generator)[: number % 4]] = 0.8
        shift[torch.randperm(units, generator=generator)[: 3 * shifts]] = 0.4
        maps[site] = AffineMap(deviation, shift)
    return Steering(maps)


def drawn(pipe: Any) -> torch.Tensor:
    name = type(pipe).__name__
    options = (
        TRANSFORMERS[name][1] if name in TRANSFORMERS else ARGUMENTS.get("FLUX" if "Flux" in name else "", {})
    )
    prompts = ["a red house at night", "a boat at night"]
    made = pipe(
        prompt=prompts, generator=[torch.Generator().manual_seed(i) for i in range(2)], output_type="latent",
        num_inference_steps=1, **{"guidance_scale": 0.0, **options},
    )  # fmt: skip
    return made.images if hasattr(made, "images") else made.frames


CASES = {
    "sdxl": (sdxl, ["unet.*.to_out.0", "unet.*.conv1", "text_encoder*.mlp.fc2"]),
    "flux": (flux, ["transformer.*.attn.to_out.0", "transformer.*proj_out", "text_encoder.*.fc1"]),
    "z_image": (TRANSFORMERS["ZImagePipeline"][0], ["transformer.layers.*.to_out.0", "*.feed_forward.w2"]),
    "qwen": (TRANSFORMERS["QwenImagePipeline"][0], ["transformer.*.to_out.0", "transformer.*.img_mlp.net.2"]),
    "sana": (TRANSFORMERS["SanaPipeline"][0], ["transformer.*.attn1.to_out.0", "*.ff.conv_point"]),
}


@pytest.mark.parametrize("shifts", [True, False])
@pytest.mark.parametrize("name", CASES)
def test_diffusers_draws_what_the_hooks_draw(name: str, shifts: bool, tmp_path: Path) -> None:
    make, patterns = CASES[name]
    pipe = make()
    steering, base = sparse(pipe, patterns, shifts), drawn(pipe)
    assert save_peft(steering, module_tree(pipe), tmp_path / "one.safetensors", 0.5, dtype="float32") == {}
    with steer(pipe, steering, 0.5) as handle:
        expected = drawn(pipe)
        handle.set_strength(0.35)
        weaker = drawn(pipe)
    assert (expected - base).abs().max() > 1e-3
    pipe.load_lora_weights(tmp_path, weight_name="one.safetensors", adapter_name="one")
    scale = float(expected.abs().max())
    assert torch.allclose(drawn(pipe), expected, rtol=1e-4, atol=1e-4 * scale)
    pipe.set_adapters(["one"], [0.7])
    assert torch.allclose(drawn(pipe), weaker, rtol=1e-4, atol=1e-4 * scale)
    pipe.unload_lora_weights()
    assert torch.equal(drawn(pipe), base)


def test_the_rank_is_the_number_of_units_that_are_scaled(tmp_path: Path) -> None:
    from safetensors import safe_open

    pipe = flux()
    steering = sparse(pipe, "transformer.*.to_q")
    tensors = peft_state_dict(steering, module_tree(pipe))
    for site, map in steering.maps.items():
        rank = max(1, int((map.deviation != 0).sum()))
        assert tensors[f"{site}.lora_A.weight"].shape == (rank, 32)
        assert tensors[f"{site}.lora_B.weight"].shape == (32, rank)
    save_peft(steering, module_tree(pipe), tmp_path / "one.safetensors")
    with safe_open(tmp_path / "one.safetensors", "pt") as file:
        assert '"transformer.lora_bias": true' in file.metadata()[METADATA]


def test_what_it_cannot_hold_is_told_site_by_site() -> None:
    pipe = sdxl()
    base = module_tree(pipe)
    norm, linear = (find_sites(base, f"unet.*{end}")[0] for end in ("norm1", "to_q"))
    maps = {norm: AffineMap(torch.ones(24), torch.ones(24)), linear: gated(48)}
    left_out = {str(site): reason for site, reason in not_low_rank(Steering(maps), base).items()}
    assert "not in GroupNorm" in left_out[str(norm)] and "gated" in left_out[str(linear)]
    with pytest.raises(ExportError, match="2 of 2 sites"):
        peft_state_dict(Steering(maps), base)
    pipe = wan(two=True)
    two = sparse(pipe, ["transformer.*ffn.net.2", "transformer_2.*ffn.net.2"])
    left_out = {str(site): reason for site, reason in not_low_rank(two, module_tree(pipe)).items()}
    assert left_out and all("load_into_transformer_2=True" in reason for reason in left_out.values())
    alone = two.restrict("transformer_2.*")
    keys = peft_state_dict(alone, module_tree(pipe))
    assert keys and all(key.startswith("transformer.blocks.") for key in keys)
    pipe = flux()
    t5 = find_sites(module_tree(pipe), "text_encoder_2.*.wo")[0]
    reasons = not_low_rank(Steering({t5: AffineMap(torch.ones(16), torch.ones(16))}), module_tree(pipe))
    assert "T5EncoderModel" in reasons[Site(t5.name)]
