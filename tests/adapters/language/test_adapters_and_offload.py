"""Language models under PEFT's LoRA and under accelerate's offload are fitted and steered as any others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from adapters.language.test_fusing import logits, steering_for
from toys.language import SOURCE, TARGET, model, tokenizer

from lineas import SteeredModel, fit, fuse, steer
from lineas.adapters.language.writing import Sampling, continuations
from lineas.evaluation.language.perplexity import perplexity

SITES = pytest.mark.parametrize("sites", ["post_attention", "mlp", "attention"])


def with_lora(made: Any) -> Any:
    peft = pytest.importorskip("peft")
    torch.manual_seed(3)
    config = peft.LoraConfig(
        r=2, target_modules=["down_proj", "o_proj"], init_lora_weights=False, task_type="CAUSAL_LM"
    )
    return peft.get_peft_model(made, config).eval()


def by_hand(made: Any, steering: Any) -> torch.Tensor:
    """Logits with every map applied to what its module gives, LoRA included."""
    hooks = [
        made.get_submodule(site.name).register_forward_hook(lambda m, a, z, map=map: map(z))
        for site, map in steering.maps.items()
    ]
    found = logits(made)
    for hook in hooks:
        hook.remove()
    return found


@SITES
@pytest.mark.parametrize("around", ["the adapter", "the model"])
def test_a_lora_below_a_steering_is_steered_with_it(sites: str, around: str) -> None:
    made = model("Llama")
    steering, without = steering_for(made, sites), logits(made)
    wrapped = with_lora(made)
    base, expected = logits(wrapped), by_hand(made, steering)
    assert not torch.allclose(base, without, atol=1e-3)
    obj = wrapped if around == "the adapter" else made
    with steer(obj, steering):
        torch.testing.assert_close(logits(wrapped), expected)
    with fuse(obj, steering):
        torch.testing.assert_close(logits(wrapped), expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(logits(wrapped), base)


@SITES
def test_a_lora_that_comes_after_is_steered_too_and_stays_when_the_steering_goes(sites: str) -> None:
    made, other = model("Llama"), model("Llama")
    steering, wrapped = steering_for(made, sites), with_lora(other)
    with SteeredModel(made) as steered:
        steered.load_steering(steering)
        late = with_lora(made)
        with torch.no_grad():
            now = steered(torch.tensor([[1, 5, 6, 7, 8], [1, 9, 4, 3, 5]])).logits
        torch.testing.assert_close(now, by_hand(other, steering))
    assert torch.equal(logits(late), logits(wrapped))


def test_a_fit_under_a_lora_is_the_same_by_the_adapter_and_by_the_model() -> None:
    fitted = []
    for choose in (lambda made, wrapped: wrapped, lambda made, wrapped: made):
        made = model("Llama")
        obj = choose(made, with_lora(made))
        fitted.append(fit(obj, SOURCE, TARGET, tokenizer=tokenizer(), steps=3))
    assert fitted[0].sites == fitted[1].sites and fitted[0].allclose(fitted[1])
    assert fitted[0].sites[0].name == "model.layers.0.post_attention_layernorm"


def offloaded(made: Any, way: str, folder: Path) -> Any:
    accelerate = pytest.importorskip("accelerate")
    if way == "cpu":
        return accelerate.cpu_offload(made, execution_device=torch.device("cpu"))
    if way == "disk":
        return accelerate.disk_offload(made, str(folder), execution_device=torch.device("cpu"))
    places = {"model.embed_tokens": "cpu", "model.rotary_emb": "cpu", "model.norm": "cpu", "lm_head": "cpu"}
    places |= {"model.layers.0": "disk", "model.layers.1": "cpu"}
    return accelerate.dispatch_model(
        made, places, main_device="cpu", offload_dir=str(folder), force_hooks=True
    )


@pytest.mark.parametrize("way", ["cpu", "disk", "device_map"])
def test_an_offloaded_model_is_fitted_and_steered_as_one_that_is_not(way: str, tmp_path: Path) -> None:
    plain, made = model("Llama"), offloaded(model("Llama"), way, tmp_path)
    words, steering = tokenizer(), steering_for(plain, "norms")
    assert any(weight.is_meta for weight in made.parameters())
    base = logits(made)
    torch.testing.assert_close(base, logits(plain))
    with steer(plain, steering), steer(made, steering):
        torch.testing.assert_close(logits(made), logits(plain))
        texts = [
            continuations(each, words, ["the cold"], sampling=Sampling(3, 0.0)) for each in (made, plain)
        ]
        assert texts[0] == texts[1]
        assert perplexity(made, words, SOURCE).value == pytest.approx(perplexity(plain, words, SOURCE).value)
    assert torch.equal(logits(made), base)
    fitted = [fit(each, SOURCE, TARGET, tokenizer=words, steps=3) for each in (made, plain)]
    assert fitted[0].allclose(fitted[1], rtol=1e-3, atol=1e-4)
    assert torch.equal(logits(made), base)
