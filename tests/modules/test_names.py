"""Sites: names, kinds, widths and near names."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn
from toys.models import CASES, AdaLayerNorm, Block, ScaledRMSNorm, noise, randomised, toy_unet

from lineas.errors import MismatchError, SiteError
from lineas.modules.kinds import has_weight, is_norm, unit_axis, weight_name, width
from lineas.modules.names import block_ends, find_sites, module_tree, named_modules, resolve
from lineas.steering.site import Site


@pytest.mark.parametrize("name", CASES)
def test_width_and_unit_axis_tell_the_shape_of_the_output(name: str) -> None:
    case = CASES[name]
    module = randomised(case.make())
    output = module(noise(*case.shape))
    assert output.shape[unit_axis(module)] == 6
    assert width(module) in (6, None)
    assert is_norm(module) == ("conv" not in name and "linear" not in name)


def test_the_parameter_that_scales_is_found_by_its_place() -> None:
    assert weight_name(nn.LayerNorm(4)) == "weight" and weight_name(nn.Linear(4, 4)) == "weight"
    norm = ScaledRMSNorm(4)
    assert (weight_name(norm), width(norm)) == ("scale", 4)
    assert has_weight(norm) and not has_weight(nn.LayerNorm(4, elementwise_affine=False))
    norm.register_parameter("gate", nn.Parameter(torch.ones(4)))
    assert not has_weight(norm)


def test_width_is_unknown_where_the_module_does_not_tell() -> None:
    assert width(nn.SiLU()) is None
    assert width(Block()) is None


def test_adaptive_norms_are_not_norms_but_the_norm_inside_is() -> None:
    components = {"transformer": nn.ModuleDict({"ada": AdaLayerNorm()})}
    assert not is_norm(AdaLayerNorm())
    assert [s.name for s in find_sites(components, "*norm")] == ["transformer.ada.norm"]


def test_a_model_is_a_module_a_mapping_or_a_pipeline() -> None:
    unet, vae, text = toy_unet(), nn.Linear(2, 2), nn.Linear(2, 2)
    pipeline = SimpleNamespace(
        components={"unet": unet, "vae": vae, "text_encoder": text, "scheduler": object()}
    )
    assert module_tree(unet) == {"": unet}
    assert module_tree({"unet": unet, "vae": vae}) == {"unet": unet, "vae": vae}
    assert module_tree(pipeline) == {"unet": unet, "text_encoder": text}
    assert "vae" in module_tree(pipeline, exclude=())
    with pytest.raises(MismatchError, match="expected a module"):
        module_tree(object())


def test_patterns_find_norms_and_projections_with_their_unit_axes() -> None:
    sites = find_sites({"unet": toy_unet()}, "unet.*norm*")
    assert [(s.name, s.axis) for s in sites] == [
        ("unet.blocks.0.norm1", 1),
        ("unet.blocks.0.norm2", -1),
        ("unet.blocks.1.norm1", 1),
        ("unet.blocks.1.norm2", -1),
        ("unet.conv_norm_out", 1),
    ]
    assert [s.name for s in find_sites({"": toy_unet()}, ["blocks.0.to_q", "*.conv"])] == [
        "blocks.0.conv",
        "blocks.0.to_q",
        "blocks.1.conv",
    ]


def test_only_an_exact_name_finds_a_block() -> None:
    components = {"": toy_unet()}
    assert find_sites(components, "blocks.1") == [Site("blocks.1", 0, -1)]
    assert all("norm" in s.name or "conv" in s.name or "to_q" in s.name for s in find_sites(components, "*"))


def test_a_shared_module_is_one_site_and_resolves_under_both_names() -> None:
    norm = nn.LayerNorm(4)
    model = nn.ModuleDict({"a": norm, "b": norm})
    assert [s.name for s in find_sites({"": model}, "*")] == ["a"]
    assert resolve({"": model}, "b") is norm
    assert [s.name for s in find_sites({"": model}, "b")] == ["b"]


def test_nothing_found_names_what_is_near() -> None:
    with pytest.raises(SiteError, match=r"blocks\.0\.norm1"):
        find_sites({"": toy_unet()}, "blocks.0.norm3")
    with pytest.raises(SiteError, match=r"unet\.conv_norm_out"):
        resolve({"unet": toy_unet()}, Site("unet.conv_norm_ou"))


def test_names_of_a_clip_text_encoder_do_not_depend_on_the_library_version() -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.CLIPTextConfig(
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        vocab_size=20,
        bos_token_id=0,
        eos_token_id=1,
    )
    for encoder in (transformers.CLIPTextModel, transformers.CLIPTextModelWithProjection):
        names = named_modules({"text_encoder": encoder(config)})
        assert "text_encoder.text_model.encoder.layers.0.layer_norm1" in names
        assert "text_encoder.text_model.final_layer_norm" in names


def test_a_module_is_found_under_every_name_that_is_listed() -> None:
    class CLIPTextModel(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = nn.Sequential(nn.LayerNorm(4), nn.ModuleDict({"self_attn": nn.Linear(4, 4)}))

    components = {"unet": toy_unet(), "text_encoder": CLIPTextModel(), "text_encoder_2": nn.Linear(2, 2)}
    for made in (components, {"": components["unet"]}):
        for name, module in named_modules(made).items():
            assert resolve(made, name) is module
    for missing in ("unet.blocks.2", "text_encoder.encoder.0", "une", "text_encoder_3", "unet.", "blocks.0"):
        with pytest.raises(SiteError):
            resolve(components, missing)


def test_a_block_ends_with_its_last_projection_whatever_lies_inside_that() -> None:
    class Adapted(nn.Module):
        """As PEFT wraps a layer."""

        def __init__(self) -> None:
            super().__init__()
            self.base_layer, self.lora_B = nn.Linear(4, 3), nn.Linear(2, 3)

        def get_base_layer(self) -> nn.Module:
            return self.base_layer

    plain, adapted = (
        nn.Sequential(nn.Linear(3, 4), nn.ModuleList([nn.Linear(4, 4)]), last, nn.LayerNorm(3))
        for last in (nn.Linear(4, 3), Adapted())
    )
    root = nn.ModuleDict({"blocks": nn.ModuleList([plain, adapted]), "head": nn.Linear(3, 2)})
    assert block_ends(named_modules({"text": root})) == ["text.blocks.0.2", "text.blocks.1.2"]
