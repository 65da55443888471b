"""Export: names that LoRA loaders know, changes that are the steering, and a list of what is left out."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import Tensor, nn
from toys.models import OnePlusRMSNorm, affine, gated, noise, randomised, steering_for, toy_unet

from lineas.apply.hooks import steer
from lineas.errors import ExportError, MismatchError, SteeringFileError
from lineas.export.lora import lora_state_dict, save_lora, unsupported
from lineas.modules.names import find_sites, module_tree
from lineas.steering.provenance import Provenance
from lineas.steering.site import Site
from lineas.steering.steering import Steering

SUFFIXES = {"w_norm": "weight", "b_norm": "bias", "diff": "weight", "diff_b": "bias"}


def load_as_lora(model: nn.Module, tensors: dict[str, Tensor], strength: float) -> None:
    """What a loader does: look names up, add strength × change; `b_norm` counts only beside its `w_norm`."""
    names = {f"lora_unet_{name.replace('.', '_')}": module for name, module in model.named_modules()}
    for key, change in tensors.items():
        base, _, suffix = key.partition(".")
        assert suffix != "b_norm" or f"{base}.w_norm" in tensors
        parameter = getattr(names[base], SUFFIXES[suffix])
        with torch.no_grad():
            parameter += strength * change.to(parameter.dtype)


@pytest.mark.parametrize("patterns", ["unet.*norm*", ["unet.*norm*", "unet.*.conv"]])
def test_a_loader_that_adds_the_changes_gives_the_hooked_model(patterns: str | list[str]) -> None:
    unet, x = toy_unet(), noise(1, 4, 4, 4)
    components = {"unet": unet}
    sites = find_sites(components, patterns)
    steering = Steering({site: affine(4, i) for i, site in enumerate(sites)})
    with steer(components, steering, 0.7):
        expected = unet(x)
    load_as_lora(unet, lora_state_dict(steering, components), 0.7)
    torch.testing.assert_close(unet(x), expected, rtol=1e-4, atol=1e-5)


def test_names_and_suffixes_are_those_of_the_stock_format() -> None:
    unet = toy_unet()
    sites = [
        Site("unet.blocks.0.norm1", 0, 1),
        Site("unet.blocks.1.conv", 0, 1),
        Site("unet.conv_norm_out", 0, 1),
    ]
    steering = Steering({site: affine(4) for site in sites})
    tensors = lora_state_dict(steering, {"unet": unet})
    assert {key: tuple(t.shape) for key, t in tensors.items()} == {
        "lora_unet_blocks_0_norm1.w_norm": (4,),
        "lora_unet_blocks_0_norm1.b_norm": (4,),
        "lora_unet_blocks_1_conv.diff": (4, 4, 3, 3),
        "lora_unet_blocks_1_conv.diff_b": (4,),
        "lora_unet_conv_norm_out.w_norm": (4,),
        "lora_unet_conv_norm_out.b_norm": (4,),
    }
    map, norm = affine(4), unet.blocks[0].norm1
    torch.testing.assert_close(
        tensors["lora_unet_blocks_0_norm1.w_norm"], map.deviation * norm.weight.detach()
    )
    expected = map.deviation * norm.bias.detach() + map.shift
    torch.testing.assert_close(tensors["lora_unet_blocks_0_norm1.b_norm"], expected)
    double = lora_state_dict(steering, {"unet": unet}, strength=2)
    assert all(torch.allclose(double[key], 2 * tensors[key]) for key in tensors)


def test_names_of_a_diffusers_unet_are_its_paths_with_underscores() -> None:
    diffusers = pytest.importorskip("diffusers")
    unet = diffusers.UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(8, 8),
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        layers_per_block=1,
        cross_attention_dim=8,
        attention_head_dim=4,
        norm_num_groups=4,
    )
    sites = find_sites({"unet": unet}, "unet.*norm*")
    steering = Steering(
        {site: affine(dict(unet.named_modules())[site.name[5:]].weight.numel()) for site in sites}
    )
    keys = {key.split(".")[0] for key in lora_state_dict(steering, {"unet": unet})}
    assert len(keys) == len(sites)
    assert {
        "lora_unet_down_blocks_0_resnets_0_norm1",
        "lora_unet_down_blocks_0_attentions_0_norm",
        "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_norm3",
        "lora_unet_conv_norm_out",
    } <= keys
    bare = Steering({Site(site.name[5:], site.output, site.axis): map for site, map in steering.maps.items()})
    assert {key.split(".")[0] for key in lora_state_dict(bare, {"": unet})} == keys


class Layer(nn.Module):
    """The parts of a CLIP text layer that carry sites."""

    def __init__(self) -> None:
        super().__init__()
        self.layer_norm1 = nn.LayerNorm(4)
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(4, 4)})


def text_encoder() -> nn.Module:
    encoder = nn.ModuleDict({"layers": nn.ModuleList([Layer()])})
    return randomised(nn.ModuleDict({"text_model": nn.ModuleDict({"encoder": encoder})}))


def test_text_encoder_layers_have_names_and_their_norms_are_refused() -> None:
    base: dict[str, nn.Module] = {
        "unet": toy_unet(),
        "text_encoder": text_encoder(),
        "text_encoder_2": text_encoder(),
    }
    linear, norm = (Site(f"text_encoder.text_model.encoder.layers.0.{n}") for n in ("mlp.fc1", "layer_norm1"))
    second = Site("text_encoder_2.text_model.encoder.layers.0.mlp.fc1")
    steering = Steering({linear: affine(4), norm: affine(4), second: affine(4)})
    assert list(unsupported(steering, base)) == [norm]
    names = {key.split(".")[0] for key in lora_state_dict(steering, base, skip_unsupported=True)}
    end = "_text_model_encoder_layers_0_mlp_fc1"
    assert names == {f"lora_te1{end}", f"lora_te2{end}"}
    del base["text_encoder_2"]
    assert {k.split(".")[0] for k in lora_state_dict(Steering({linear: affine(4)}), base)} == {
        f"lora_te{end}"
    }


def test_what_the_format_cannot_hold_is_listed_or_left_out() -> None:
    parts = {
        "gate": nn.LayerNorm(4),
        "plain": nn.LayerNorm(4, elementwise_affine=False),
        "rms": OnePlusRMSNorm(4),
    }
    parts |= {"scaled": OnePlusRMSNorm(4), "to_q": nn.Linear(4, 4, bias=False), "good": nn.LayerNorm(4)}
    base = {"unet": nn.ModuleDict(parts), "transformer": nn.ModuleDict({"norm": nn.LayerNorm(4)})}
    maps = {Site(f"unet.{name}"): affine(4, shift=name != "scaled") for name in parts}
    maps |= {Site("unet.gate"): gated(4), Site("transformer.norm"): affine(4)}  # type: ignore[dict-item]
    steering = Steering({**maps})
    left_out = {str(site): reason for site, reason in unsupported(steering, base).items()}
    assert set(left_out) == {"unet.gate", "unet.plain", "unet.rms", "unet.to_q", "transformer.norm"}
    assert "gated" in left_out["unet.gate"]
    assert "bias" in left_out["unet.rms"]
    with pytest.raises(ExportError, match="5 of 7 sites") as error:
        lora_state_dict(steering, base)
    assert all(name in str(error.value) for name in left_out)
    tensors = lora_state_dict(steering, base, skip_unsupported=True)
    assert set(tensors) == {"lora_unet_scaled.w_norm", "lora_unet_good.w_norm", "lora_unet_good.b_norm"}
    with pytest.raises(MismatchError, match="missing"):
        lora_state_dict(Steering({Site("unet.nowhere"): affine(4)}), base)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_the_file_says_what_it_is_and_what_strength_means(tmp_path: Path, dtype: str) -> None:
    unet = toy_unet()
    maps = {Site(f"unet.{s.name}", 0, s.axis): affine(4) for s in find_sites({"": unet}, "*norm*")}
    steering = Steering(maps, Provenance(method="LinEAS", base_model="some/model"))
    path = tmp_path / "out.safetensors"
    assert save_lora(steering, {"unet": unet}, path, 0.5, dtype=dtype) == {}  # type: ignore[arg-type]
    expected = lora_state_dict(steering, {"unet": unet}, 0.5)
    with safe_open(path, "pt") as file:
        assert set(file.keys()) == set(expected)
        assert all(str(file.get_tensor(key).dtype) == f"torch.{dtype}" for key in expected)
        assert all(
            torch.allclose(file.get_tensor(k).float(), expected[k], rtol=1e-3, atol=1e-6) for k in expected
        )
        metadata = file.metadata()
    assert metadata["format"] == "pt"
    assert metadata["modelspec.title"] == "LinEAS steering"
    assert metadata["lineas.base_model"] == "some/model"
    assert metadata["lineas.strength"] == "0.5"
    assert [p.name for p in tmp_path.iterdir()] == ["out.safetensors"]


def test_saving_refuses_an_empty_file_an_overflow_and_a_missing_folder(tmp_path: Path) -> None:
    unet = toy_unet()
    steering = steering_for(unet, [Site("conv_norm_out", 0, 1)])
    named = Steering({Site("unet.conv_norm_out", 0, 1): steering.maps[Site("conv_norm_out", 0, 1)]})
    with pytest.raises(ExportError, match="Nothing is left"):
        save_lora(named.at(0), {"unet": unet}, tmp_path / "a.safetensors")
    with pytest.raises(ExportError, match="float32"):
        save_lora(named, {"unet": unet}, tmp_path / "b.safetensors", 1e7)
    with pytest.raises(SteeringFileError):
        save_lora(named, {"unet": unet}, tmp_path / "none" / "c.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_transformers_go_by_the_names_of_comfyui() -> None:
    from toys.transformers import wan, z_image

    base = module_tree(z_image())
    sites = find_sites(base, ["transformer.layers.*.attention_norm1", "transformer.layers.*.to_out.0"])
    steering = Steering({site: affine(16, shift=False) for site in sites})
    expected = {f"layers.{i}.{end}" for i in (0, 1) for end in ("attention_norm1", "attention.out")}
    assert set(lora_state_dict(steering, base)) == {f"diffusion_model.{name}.diff" for name in expected}
    both = module_tree(wan(two=True))
    sites = find_sites(both, ["transformer.*ffn.net.2", "transformer_2.*ffn.net.2"])
    two = Steering({site: affine(24) for site in sites})
    left_out = unsupported(two, both)
    assert {site.name.partition(".")[0] for site in left_out} == {"transformer_2"}
    assert all("steering.restrict('transformer_2.*')" in reason for reason in left_out.values())
    first, second = (lora_state_dict(two.restrict(f"{name}.*"), both) for name in both if "former" in name)
    assert (
        first.keys()
        == second.keys()
        == {f"diffusion_model.blocks.{i}.ffn.2.{end}" for i in (0, 1) for end in ("diff", "diff_b")}
    )
