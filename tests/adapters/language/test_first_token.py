"""A steered first token: under padding on either side, with and without cache, in generation and training."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from adapters.language.test_tokens import at_last, padded
from toys.language import ARCHITECTURES, SOURCE, TARGET, model, tokenizer

import lineas
from lineas.adapters.language.problem import LanguageProblem
from lineas.apply.hooks import steer
from lineas.errors import ConfigError, PromptError
from lineas.maps.first_token import FirstTokenMap
from lineas.steering.steering import Steering

ALL = pytest.mark.parametrize("name", ARCHITECTURES)


def steering_for(made: Any) -> Steering:
    problem = LanguageProblem(made, tokenizer(), SOURCE, TARGET, sites="norms")
    shift = torch.linspace(-2, 2, 16)
    return Steering({site: FirstTokenMap(shift) for site in problem.sites}, problem.provenance("test"))


@ALL
def test_either_padding_agrees_and_later_tokens_read_it(name: str) -> None:
    made = model(name)
    plain = at_last(made, padded("left"))
    with steer(made, steering_for(made)):
        left, right = (at_last(made, padded(side)) for side in ("left", "right"))
    torch.testing.assert_close(left, right, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(left, plain, atol=1e-3)


@pytest.mark.parametrize("name", ["Llama", "GPT2", "Gemma3"])
def test_generation_with_and_without_cache_agrees(name: str) -> None:
    made = model(name)
    inputs = tokenizer()(SOURCE[:1], return_tensors="pt", return_token_type_ids=False)
    options = {**inputs, "max_new_tokens": 6, "do_sample": False, "pad_token_id": 0}
    options |= {"output_logits": True, "return_dict_in_generate": True}

    def logits(use_cache: bool) -> torch.Tensor:
        return torch.stack(made.generate(**options, use_cache=use_cache).logits)

    untouched = logits(True)
    with steer(made, steering_for(made)):
        cached, whole = logits(True), logits(False)
    torch.testing.assert_close(cached, whole, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(cached, untouched, atol=1e-3)
    assert torch.equal(logits(True), untouched)


@torch.no_grad()
def test_only_the_first_of_a_cached_text_is_steered() -> None:
    made = model("Llama")
    ids = torch.tensor([[1, 5, 6, 7, 8]])
    with steer(made, steering_for(made)):
        whole = made(ids).logits
        begun = made(ids[:, :3], use_cache=True)
        rest = made(ids[:, 3:], past_key_values=begun.past_key_values).logits
    torch.testing.assert_close(rest, whole[:, 3:], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("where", ["last", "generated"])
def test_regions_that_leave_the_first_token_alone_are_refused(where: str) -> None:
    made = model("Llama")
    with (
        pytest.raises(ConfigError, match="nothing would be steered"),
        steer(made, steering_for(made), where=where),
    ):
        pass


def test_contexts_are_read_and_not_compared() -> None:
    made, words = model("Llama"), tokenizer()
    contexts = (TARGET[: len(SOURCE)], SOURCE)
    problem = LanguageProblem(made, words, SOURCE, SOURCE, contexts=contexts)
    for number, text in enumerate(SOURCE):
        tokens = problem._tokens["source"][number]
        before = len(contexts[0][number].split())
        assert tokens.ids == words(f"{contexts[0][number]} {text}").input_ids
        assert tokens.own == [False] * (1 + before) + [True] * len(text.split())
    alone = LanguageProblem(made, tokenizer(specials=False), SOURCE, SOURCE, contexts=([""] * len(SOURCE),))
    assert alone._tokens["source"][0].own == [False] + [True] * (len(SOURCE[0].split()) - 1)
    single = LanguageProblem(made, tokenizer(specials=False), ["cold", "warm"], SOURCE, contexts=(["", ""],))
    assert [each.own for each in single._tokens["source"]] == [[True], [True]]
    plain = LanguageProblem(made, words, SOURCE, SOURCE)
    assert plain.prompts_hash != problem.prompts_hash
    with pytest.raises(PromptError, match="1 contexts for 4 source texts"):
        LanguageProblem(made, words, SOURCE, TARGET, contexts=(["one"],))
    with pytest.raises(ConfigError, match="chat's texts have no contexts"):
        LanguageProblem(made, words, SOURCE, TARGET, contexts=contexts, chat=True)


def test_what_is_cut_of_a_text_in_a_context_is_the_context() -> None:
    words, contexts = tokenizer(), ([" ".join(SOURCE)] * 4, [" ".join(TARGET)] * 4)
    with pytest.warns(UserWarning, match="more than 8 tokens"):
        problem = LanguageProblem(model("Llama"), words, SOURCE, SOURCE, contexts=contexts, max_length=8)
    for number, text in enumerate(SOURCE):
        count = len(text.split())
        for group in ("source", "target"):
            tokens = problem._tokens[group][number]
            assert len(tokens.ids) == 8 and tokens.ids[0] == words.bos_token_id
            assert tokens.own == [False] * (8 - count) + [True] * count
            assert tokens.ids[-count:] == words(text).input_ids[1:]


def test_a_fit_leads_to_what_a_context_does() -> None:
    made = model("Llama")
    steering = lineas.add(
        (made, tokenizer()),
        "warmth",
        examples=TARGET,
        others=SOURCE,
        preserve=[],
        steps=60,
        learning_rate=0.3,
    )
    settings = steering.provenance.settings
    assert {map.kind for map in steering.maps.values()} == {"first_token"}
    assert settings["cost"] < 0.95 * settings["cost_at_start"]
