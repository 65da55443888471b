"""Fusing on language models, and checkpoints of stock classes that give the steered logits by themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from toys.language import ARCHITECTURES, SOURCE, TARGET, model, tokenizer, transformers

from lineas import remove
from lineas.adapters.language.loading import load_language_model, plain_weights
from lineas.adapters.language.sites import language_sites
from lineas.adapters.steered_model import SteeredModel
from lineas.apply.fusing import fuse
from lineas.apply.hooks import steer
from lineas.apply.next_linears import linear_consumers
from lineas.apply.steering_hook import SteeringHook
from lineas.errors import ExportError, HubError
from lineas.maps.affine import AffineMap
from lineas.modules.kinds import width
from lineas.steering.steering import Steering

ALL = pytest.mark.parametrize("name", ARCHITECTURES)
IDS = torch.tensor([[1, 5, 6, 7, 8], [1, 9, 4, 3, 5]])
POST_NORMS = ("Gemma2", "Gemma3")
"""Their norms after attention and feed-forward are added to the stream: no linear layer takes them in."""


def steering_for(made: Any, sites: str, seed: int = 5, shift: bool = True) -> Steering:
    generator, modules = torch.Generator().manual_seed(seed), dict(made.named_modules())
    maps = {}
    for site in language_sites({"": made}, sites):
        d = width(modules[site.name])
        assert d is not None
        deviation, b = 0.3 * torch.randn(2, d, generator=generator)
        maps[site] = AffineMap(deviation, b if shift else torch.zeros(d))
    return Steering(maps)


@torch.no_grad()
def logits(made: Any) -> torch.Tensor:
    return made(IDS).logits


def weights(made: Any) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in made.state_dict().items()}


@pytest.mark.parametrize("sites", ["norms", "mlp", "attention"])
@ALL
def test_fused_is_hooked_and_unfused_is_untouched(name: str, sites: str) -> None:
    made = model(name)
    before, plain, steering = weights(made), logits(made), steering_for(made, sites)
    with steer(made, steering, 0.7):
        hooked = logits(made)
    with fuse(made, steering, 0.7) as handle:
        torch.testing.assert_close(logits(made), hooked, rtol=1e-4, atol=1e-5)
        assert not torch.allclose(plain, hooked, atol=1e-3)
        cannot = (name in POST_NORMS and sites == "norms") or (name == "GPT2" and sites != "norms")
        assert bool(handle.hooked) == cannot
        assert bool(handle.fused) != cannot
    after = made.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[each], before[each]) for each in before)
    assert torch.equal(logits(made), plain)


@pytest.mark.parametrize("name", POST_NORMS)
def test_scales_of_norms_that_are_added_to_the_stream_fold(name: str) -> None:
    made = model(name)
    steering = steering_for(made, "norms", shift=False)
    with steer(made, steering):
        hooked = logits(made)
    with fuse(made, steering) as handle:
        assert not handle.hooked
        torch.testing.assert_close(logits(made), hooked, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_several_at_norms_and_at_the_layers_behind_them_leave_in_any_order(order: tuple[int, ...]) -> None:
    made = model("Llama")
    before, projections = weights(made), "model.layers.*.mlp.gate_proj"
    steerings = [
        steering_for(made, sites, seed) for seed, sites in enumerate(("norms", projections, "norms"))
    ]
    handles = [fuse(made, one, 0.5) for one in steerings]
    assert not any(handle.hooked for handle in handles)
    left = [0, 1, 2]
    reference = model("Llama")
    for index in order:
        with steer(reference, [steerings[i] for i in left], 0.5):
            torch.testing.assert_close(logits(made), logits(reference), rtol=1e-4, atol=1e-5)
        handles[index].remove()
        left.remove(index)
    after = made.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[each], before[each]) for each in before)


def test_half_precision_is_rounded_once() -> None:
    made = model("Llama", torch.bfloat16)
    steering = steering_for(made, "norms")
    with steer(made, steering):
        hooked = logits(made)
    with fuse(made, steering):
        assert made.model.layers[0].mlp.gate_proj.bias.dtype == torch.bfloat16
        torch.testing.assert_close(logits(made), hooked, rtol=0.1, atol=0.15)


def test_only_norms_that_linear_layers_alone_take_in_have_consumers() -> None:
    llama, gemma = model("Llama"), model("Gemma2")
    block, other = llama.model.layers[0], gemma.model.layers[0]
    training = llama.training
    found = linear_consumers(llama.train(), [block.input_layernorm, block.post_attention_layernorm])
    attention, mlp = block.self_attn, block.mlp
    assert set(found[block.input_layernorm]) == {attention.q_proj, attention.k_proj, attention.v_proj}
    assert set(found[block.post_attention_layernorm]) == {mlp.gate_proj, mlp.up_proj}
    assert llama.training and not training and not block.input_layernorm._forward_hooks
    norms = [other.post_attention_layernorm, other.pre_feedforward_layernorm]
    assert set(linear_consumers(gemma, norms)) == {other.pre_feedforward_layernorm}
    assert linear_consumers(torch.nn.LayerNorm(2), [torch.nn.LayerNorm(2)]) == {}


def test_a_layer_with_two_inputs_takes_no_shift() -> None:
    made = model("Llama")
    first, second = made.model.layers
    second.mlp.gate_proj = first.mlp.gate_proj
    norm = first.post_attention_layernorm
    assert linear_consumers(made, [norm]) == {}
    with fuse(made, steering_for(made, "post_attention")) as handle:
        assert len(handle.hooked) == 2


HELD = [("Llama", s) for s in ("norms", "mlp", "attention")]
HELD += [("Qwen2", s) for s in ("norms", "mlp", "attention")]
HELD += [("Mistral", "norms"), ("Qwen3", "attention"), ("Gemma3", "attention"), ("Gemma", "attention")]
HELD += [("GPT2", "norms"), ("GPTNeoX", "norms"), ("GPTNeoX", "mlp"), ("OPT", "norms"), ("OPT", "attention")]


@pytest.mark.parametrize(("name", "sites"), HELD)
def test_a_checkpoint_of_a_stock_class_gives_the_steered_logits(
    name: str, sites: str, tmp_path: Path
) -> None:
    made = model(name)
    if name == "Mistral":  # one that looks back without limit is a Llama; one with a window is not
        made.config.sliding_window = None
        made.config.layer_types = None
    before = weights(made)
    with SteeredModel(made) as steered:
        steered.load_steering(steering_for(made, sites), strength=0.7)
        expected = logits(made)
        steered.save_pretrained(tmp_path)
        assert torch.equal(logits(made), expected)  # still steered, by hooks again
    stock = transformers.AutoModelForCausalLM.from_pretrained(tmp_path)
    expected_class = "LlamaForCausalLM" if name in ("Qwen2", "Mistral") else type(made).__name__
    assert type(stock).__name__ == expected_class
    torch.testing.assert_close(logits(stock), expected, rtol=1e-4, atol=1e-5)
    assert all(torch.equal(made.state_dict()[each], before[each]) for each in before)


@pytest.mark.parametrize(
    ("name", "sites", "why"),
    [
        ("Gemma2", "norms", "steered by hooks"),
        ("Gemma3", "mlp", "no option for the biases"),
        ("Phi3", "norms", "no option for the biases"),
        ("Qwen3", "post_attention", "no option for the biases"),
        ("Mistral", "norms", "no option for the biases"),  # its window slides, so it is no Llama
        ("GPT2", "mlp", "steered by hooks"),
    ],
)
def test_what_no_stock_class_holds_is_refused_with_a_reason(
    name: str, sites: str, why: str, tmp_path: Path
) -> None:
    made = model(name)
    before = weights(made)
    with SteeredModel(made) as steered:
        steered.load_steering(steering_for(made, sites))
        with pytest.raises(ExportError, match=why):
            steered.save_pretrained(tmp_path / "never")
    assert not (tmp_path / "never").exists()
    assert all(torch.equal(made.state_dict()[each], before[each]) for each in before)


def test_gated_maps_are_refused_with_the_maps_that_would_do(tmp_path: Path) -> None:
    made = model("Llama")
    lists = {"examples": SOURCE, "others": TARGET, "preserve": TARGET}
    with SteeredModel(made) as steered:
        steered.load_steering(remove(made, "cold", **lists, tokenizer=tokenizer(), steps=1))
        with pytest.raises(
            ExportError, match=r'No weight holds a gated map.* Fit affine ones \(map="affine"\)'
        ):
            steered.save_pretrained(tmp_path / "never")
        steered.unload_steerings()
        affine = {"map": "affine", "preserve_weight": 1.0}
        steered.load_steering(remove(made, "cold", **lists, tokenizer=tokenizer(), steps=1, **affine))
        steered.save_pretrained(tmp_path / "made")
    assert (tmp_path / "made" / "config.json").is_file()


def test_a_text_generation_pipeline_is_fused_and_saved_with_its_tokenizer(tmp_path: Path) -> None:
    made = model("Llama")
    pipe = transformers.pipeline("text-generation", model=made, tokenizer=tokenizer())
    with SteeredModel(pipe) as steered:
        steered.load_steering(steering_for(made, "norms"), "x")
        options = {"max_new_tokens": 4, "do_sample": False}
        hooked = steered("the cold", **options)
        steered.fuse_steering()
        hooks = [hook for module in made.modules() for hook in module._forward_hooks.values()]
        assert not any(isinstance(hook, SteeringHook) for hook in hooks)
        assert steered("the cold", **options) == hooked
        steered.save_pretrained(tmp_path)
        steered.unfuse_steering()
    again = transformers.pipeline("text-generation", model=str(tmp_path))
    assert again("the cold", **options) == hooked


def test_marks_of_a_dequantised_model_come_off_and_others_stay(tmp_path: Path) -> None:
    made = model("Llama")
    made.config.quantization_config = {"quant_method": "gguf"}
    made.quantization_method = transformers.utils.quantization_config.QuantizationMethod.GGUF
    made.is_quantized, made.hf_quantizer = True, object()
    assert plain_weights(made) is made
    assert not hasattr(made.config, "quantization_config") and not hasattr(made, "hf_quantizer")
    made.save_pretrained(tmp_path)
    tokenizer().save_pretrained(tmp_path)
    loaded, words = load_language_model(tmp_path)
    torch.testing.assert_close(logits(loaded), logits(made))
    assert words.pad_token == "<pad>" and not loaded.training
    other = model("Llama")
    other.is_quantized = True
    assert plain_weights(other).is_quantized


def test_what_is_no_language_model_is_told() -> None:
    with pytest.raises(HubError, match=r"no folder or \.gguf file here"):
        load_language_model("/nowhere/at-all")
