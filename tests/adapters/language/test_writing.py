"""What a language problem does with texts: losses, openings, continuations and rewards."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from toys.language import ARCHITECTURES, PRESERVE, SOURCE, TARGET, WORDS, model, tokenizer, transformers

from lineas.adapters.language.problem import LanguageProblem
from lineas.adapters.language.rewards import ClassifierReward
from lineas.errors import ConfigError, HubError


def problem(name: str = "Llama", **options: Any) -> LanguageProblem:
    return LanguageProblem(model(name), tokenizer(), SOURCE, TARGET, PRESERVE, **options)


def ids_of(text: str) -> torch.Tensor:
    return tokenizer()(text, return_tensors="pt", return_token_type_ids=False)["input_ids"]


@pytest.mark.parametrize("name", ARCHITECTURES)
@torch.no_grad()
def test_losses_are_those_of_transformers_text_by_text(name: str) -> None:
    made = problem(name)
    losses = made.text_loss("target", range(len(TARGET)))
    for loss, text in zip(losses, TARGET, strict=True):
        expected = made.model(input_ids=ids_of(text), labels=ids_of(text)).loss
        torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_a_text_of_one_token_has_no_loss() -> None:
    made = LanguageProblem(model("Llama"), tokenizer(specials=False), ["cold", "cold rain"], TARGET)
    assert made.text_loss("source", [0, 1])[0] == 0


@torch.no_grad()
def test_continuations_are_drawn_from_the_model_and_weighed_by_it() -> None:
    made = problem()
    openings = made.openings("source", [0, 1, 3], 3)
    assert [len(opening) for opening in openings] == [3, 3, 3]
    torch.manual_seed(5)
    state = torch.random.get_rng_state()
    written = made.continued(openings, 4, seed=1)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert written == made.continued(openings, 4, seed=1) != made.continued(openings, 4, seed=2)
    assert [ids[:3] for ids in written.ids] == openings
    for likelihood, ids in zip(made.log_likelihood(written), written.ids, strict=True):
        chances = made.model(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
        expected = sum(chances[place - 1, ids[place]] for place in range(3, len(ids)))
        torch.testing.assert_close(likelihood, expected, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_one_token_is_drawn_with_the_models_own_frequencies() -> None:
    made = problem()
    opening = made.openings("source", [0], 3)
    written = made.continued(opening * 4000, 1, seed=0)
    drawn = torch.tensor([ids[-1] for ids in written.ids]).bincount(minlength=len(WORDS) + 3) / 4000
    expected = made.model(input_ids=torch.tensor(opening)).logits[0, -1].softmax(-1)
    assert (drawn - expected).abs().max() < 4 * (0.25 / 4000) ** 0.5


@torch.no_grad()
def test_openings_of_unlike_lengths_do_not_disturb_each_other() -> None:
    """Padded on the left: greedy continuations are those of each opening alone."""
    made = problem()
    openings = [made.openings("source", [i], tokens)[0] for i, tokens in ((0, 4), (1, 2))]
    sharp = made.model.lm_head.weight
    sharp.mul_(1e4)  # leaves nothing to chance
    together = made.continued(openings, 3, seed=0)
    alone = [made.continued([opening], 3, seed=9).ids[0] for opening in openings]
    assert together.ids == alone


def test_special_tokens_at_the_end_are_no_opening() -> None:
    made = problem()
    text = made._tokens["source"][1]
    made._tokens["source"][1] = type(text)([*text.ids, 2], [*text.own, False])
    assert made.openings("source", [1], 99) == [text.ids]


def classifier() -> Any:
    config = transformers.BertConfig(
        vocab_size=len(WORDS) + 3, hidden_size=8, num_hidden_layers=1, num_attention_heads=1,
        intermediate_size=8, id2label={0: "civil", 1: "rude"}, label2id={"civil": 0, "rude": 1},
    )  # fmt: skip
    torch.manual_seed(0)
    return transformers.BertForSequenceClassification(config)


def test_a_classifier_rewards_by_the_chance_of_its_label() -> None:
    net = classifier()
    both = [ClassifierReward(net, tokenizer(), label)(SOURCE) for label in ("civil", "rude")]
    assert [a + b for a, b in zip(*both, strict=True)] == pytest.approx([1.0] * len(SOURCE))
    with torch.no_grad():
        expected = net(input_ids=ids_of(SOURCE[1])).logits.softmax(1)[0, 0].item()
    assert both[0][1] == pytest.approx(expected, rel=1e-3)
    with pytest.raises(ConfigError, match="only civil, rude"):
        ClassifierReward(net, tokenizer(), "kind")


def test_a_classifier_that_is_not_there(tmp_path: Any) -> None:
    with pytest.raises(HubError, match="text classifier"):
        ClassifierReward.load(str(tmp_path), "kind")
