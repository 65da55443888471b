"""Where in a text a steering acts: under padding on either side, in batches, with and without cache."""

from __future__ import annotations

import copy
import inspect
from typing import Any

import pytest
import torch
from adapters.language.test_fusing import steering_for
from toys.architectures import architecture
from toys.language import ARCHITECTURES, model, tokenizer

from lineas.apply.hooks import steer
from lineas.apply.tokens import token_mask
from lineas.errors import ConfigError, MismatchError

ALL = pytest.mark.parametrize("name", ARCHITECTURES)
TEXTS = ["the cold night", "rain", "the sun and the warm day"]


def padded(side: str) -> dict[str, torch.Tensor]:
    words = tokenizer()
    words.padding_side = side
    inputs = words(TEXTS, padding=True, return_tensors="pt", return_token_type_ids=False)
    inputs["position_ids"] = (inputs["attention_mask"].cumsum(1) - 1).clamp_min(0)
    return dict(inputs)


@torch.no_grad()
def at_last(made: Any, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    """[b, v] logits at the last real token."""
    if "OPT" in type(made).__name__:  # it counts positions from the mask by itself
        inputs = {name: value for name, value in inputs.items() if name != "position_ids"}
    out = made(**inputs).logits
    places = inputs["attention_mask"].shape[1] - 1 - inputs["attention_mask"].flip(1).argmax(1)
    return out[torch.arange(len(out)), places]


@pytest.mark.parametrize("where", ["all", "last"])
@ALL
def test_either_padding_and_no_padding_agree(name: str, where: str) -> None:
    made = model(name)
    steering = steering_for(made, "post_attention")
    left, right = padded("left"), padded("right")
    with steer(made, steering, where=where):
        torch.testing.assert_close(at_last(made, left), at_last(made, right), rtol=1e-4, atol=1e-5)
        for row, text in enumerate(TEXTS):
            ids = tokenizer()(text, return_tensors="pt")
            alone = at_last(made, {"input_ids": ids["input_ids"], "attention_mask": ids["attention_mask"]})
            torch.testing.assert_close(alone[0], at_last(made, right)[row], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(at_last(made, left), at_last_steered(made, steering, left, where), atol=1e-3)


def at_last_steered(made: Any, steering: Any, inputs: Any, where: str) -> torch.Tensor:
    with steer(made, steering, where=where):
        return at_last(made, inputs)


@pytest.mark.parametrize("where", ["all", "generated", "last", "mask"])
@pytest.mark.parametrize("name", ["Llama", "Gemma3", "GPT2", "OPT"])
def test_generation_is_the_same_with_and_without_cache_in_batches_and_alone(name: str, where: str) -> None:
    made = model(name)
    steering = steering_for(made, "post_attention")
    inputs = {key: value for key, value in padded("left").items() if key != "position_ids"}
    length, steps = inputs["input_ids"].shape[1], 5
    options = {"max_new_tokens": steps, "min_new_tokens": steps, "do_sample": False}
    mask = inputs["attention_mask"].float()
    region = token_mask(mask, after=1.0) if where == "mask" else where
    with steer(made, steering, 1.0, where=region):
        cached = made.generate(**inputs, **options, use_cache=True)
        assert torch.equal(made.generate(**inputs, **options, use_cache=False), cached)
    for row, text in enumerate(TEXTS):
        ids = tokenizer()(text, return_tensors="pt", return_token_type_ids=False)
        alone = token_mask(torch.ones(ids["input_ids"].shape[1]), after=1.0) if where == "mask" else where
        with steer(made, steering, where=alone):
            out = made.generate(**ids, **options)
        assert torch.equal(out[0, ids["input_ids"].shape[1] :], cached[row, length:])


@ALL
def test_generated_leaves_the_prompt_alone_also_when_it_is_one_token(name: str) -> None:
    made = model(name)
    steering = steering_for(made, "post_attention")
    with torch.no_grad():
        for ids in (torch.tensor([[5]]), torch.tensor([[1, 5, 6], [1, 7, 8]])):
            plain, new = made(ids, use_cache=True), torch.full((len(ids), 1), 4)
            with steer(made, steering, where="generated"):
                first = made(ids, use_cache=True)
                following = made(new, **cache_of(made, first)).logits[:, -1]
            assert torch.equal(first.logits, plain.logits)
            expected = steered_at_the_end(made, steering, ids, new)
            torch.testing.assert_close(following, expected, rtol=1e-4, atol=1e-5)


def cache_of(made: Any, output: Any) -> dict[str, Any]:
    """The key-value cache of a forward, under the name that this release of transformers gives it."""
    name = next(n for n in ("cache", "past_key_values") if n in inspect.signature(made.forward).parameters)
    return {name: getattr(output, name)}


def steered_at_the_end(made: Any, steering: Any, ids: torch.Tensor, new: torch.Tensor) -> torch.Tensor:
    mask = torch.cat([torch.zeros_like(ids), torch.ones_like(new)], 1)
    with steer(made, steering, where=token_mask(mask)):
        return made(torch.cat([ids, new], 1), use_cache=False).logits[:, -1]


PROMPT = torch.tensor([[1, 5, 6, 5, 6, 7, 5, 6]])
GREEDY = {"max_new_tokens": 12, "min_new_tokens": 12, "do_sample": False}


def greedy(made: Any, ids: torch.Tensor, steering: Any, where: str, **options: Any) -> torch.Tensor:
    """Token by token from logits of whole texts alone, steered where `where` says."""
    for _ in range(12):
        place = torch.arange(len(ids[0]))
        start = len(PROMPT[0]) - (where == "last") if options.get("prompt") is None else options["prompt"]
        with torch.no_grad(), steer(made, steering, where=token_mask((place >= start).float())):
            logits = made(ids, use_cache=False).logits[:, -1]
        logits[:, 2] = -torch.inf  # as min_new_tokens forbids the end
        ids = torch.cat([ids, logits.argmax(-1, keepdim=True)], 1)
    return ids


@pytest.mark.parametrize("where", ["generated", "last"])
@pytest.mark.parametrize("way", ["prompt lookup", "assistant", "itself", "beams", "static"])
def test_every_way_of_decoding_gives_the_same_text(way: str, where: str) -> None:
    made = model("Llama")
    steering = steering_for(made, "post_attention")
    options: dict[str, Any] = {
        "prompt lookup": {"prompt_lookup_num_tokens": 3},
        "assistant": {"assistant_model": model("Llama")},
        "itself": {"assistant_model": made},
        "beams": {"num_beams": 3, "use_cache": False},
        "static": {"cache_implementation": "static"},
    }[way]
    asked = torch.ones_like(PROMPT)
    with steer(made, steering, where=where):
        text = made.generate(PROMPT, attention_mask=asked, **GREEDY, **options)
        cached = made.generate(PROMPT, attention_mask=asked, **GREEDY, **{**options, "use_cache": True})
    assert torch.equal(text, cached if way == "beams" else greedy(made, PROMPT, steering, where))
    assert not torch.equal(text, made.generate(PROMPT, attention_mask=asked, **GREEDY))


def test_beams_without_a_cache_leave_the_prompt_alone() -> None:
    """A shift so strong that any prompt token under it would change the first new token."""
    made = model("Llama")
    steering = steering_for(made, "post_attention")
    one = {"max_new_tokens": 1, "num_beams": 3, "use_cache": False, "do_sample": False}
    plain = made.generate(PROMPT, **one)
    with steer(made, steering, 50.0, where="generated"):
        assert torch.equal(made.generate(PROMPT, **one), plain)


def test_a_prefix_in_the_cache_and_a_prompt_that_ends_in_one_more_token() -> None:
    made = model("Llama")
    steering = steering_for(made, "post_attention")
    with torch.no_grad():
        prefix = made(PROMPT[:, :-1], use_cache=True)
    with steer(made, steering, where="generated"):
        text = made.generate(
            PROMPT, attention_mask=torch.ones_like(PROMPT), **GREEDY, **cache_of(made, prefix)
        )
    assert torch.equal(text, greedy(made, PROMPT, steering, "generated"))


@pytest.mark.parametrize("length", [1, 8])
@pytest.mark.parametrize(
    "name", ["Mamba", "Mamba2", "FalconMamba", "RecurrentGemma", "Rwkv", "Qwen3Next", "Jamba"]
)
def test_models_with_states_of_their_own_generate_what_whole_texts_give(name: str, length: int) -> None:
    made, ids = architecture(name), PROMPT[:, :length]
    steering = steering_for(made, "post_attention")
    with steer(made, steering, where="generated"):
        text = made.generate(ids, attention_mask=torch.ones_like(ids), **GREEDY)
    assert torch.equal(text, greedy(made, ids, steering, "generated", prompt=length))


def test_a_copy_of_a_model_that_is_steered_where_it_generates_is_not_steered() -> None:
    made = model("Llama")
    plain = made.generate(PROMPT, **GREEDY)
    with steer(made, steering_for(made, "post_attention"), where="generated"):
        copied = copy.deepcopy(made)
        assert torch.equal(copied.generate(PROMPT, **GREEDY), plain)
    assert "generate" not in made.__dict__


def test_a_mask_is_a_weight_per_token() -> None:
    made = model("Llama")
    steering, inputs = steering_for(made, "post_attention"), padded("right")
    with torch.no_grad():
        plain = made(**inputs).logits
        with steer(made, steering):
            full = made(**inputs).logits
        with steer(made, steering, where=torch.ones_like(inputs["input_ids"])):
            torch.testing.assert_close(made(**inputs).logits, full)
        with steer(made, steering, where=torch.zeros(1)):
            assert torch.equal(made(**inputs).logits, plain)
        late = torch.zeros(inputs["input_ids"].shape[1])
        late[2:] = 1
        with steer(made, steering, where=late):
            got = made(**inputs).logits
        assert torch.equal(got[:, :2], plain[:, :2]) and not torch.allclose(got[:, 2:], plain[:, 2:])
        two = torch.ones(2, 3)
        with steer(made, steering, where=two), pytest.raises(MismatchError, match="2 token masks do not fit"):
            made(**inputs)


def test_several_samples_per_prompt_repeat_the_mask() -> None:
    made = model("Llama")
    steering, ids = steering_for(made, "post_attention"), torch.tensor([[1, 5, 6], [1, 7, 8]])
    mask = torch.tensor([[1.0, 1.0, 1.0], [0.0, 0.0, 0.0]])
    options = {"max_new_tokens": 2, "do_sample": False, "num_beams": 2, "num_return_sequences": 2}
    plain = made.generate(ids[1:], **options)
    with steer(made, steering, where=token_mask(mask)):
        assert torch.equal(made.generate(ids, **options)[2:], plain)


def test_wrong_regions_are_refused_and_hooks_go() -> None:
    made = model("Llama")
    with pytest.raises(ConfigError, match="a mask of tokens"):
        steer(made, steering_for(made, "mlp"), where="some")
    with pytest.raises(MismatchError, match=r"expected \[s\] or \[b, s\]"):
        token_mask(torch.ones(1, 2, 3))
    with steer(made, steering_for(made, "mlp"), where="generated"):
        assert made.model._forward_pre_hooks
    assert not any(m._forward_pre_hooks or m._forward_hooks for m in made.modules())
