"""Perplexity of texts, and fluency: that of continuations after their openings."""

from __future__ import annotations

import math

import pytest
import torch
from toys.language import SOURCE, model, tokenizer

from lineas.errors import PromptError
from lineas.evaluation.language.multiple_choice import Accuracy
from lineas.evaluation.language.perplexity import Perplexity, fluency, perplexity


@torch.no_grad()
def test_fluency_is_the_loss_of_the_continuations_tokens_alone() -> None:
    made, words = model("Llama"), tokenizer()
    got = fluency(made, words, ["the cold", "sun"], [["rain falls", ""], ["and light"]], batch=2)
    assert got.tokens == (2, 2)
    for opening, text, loss in (("the cold", "rain falls", 0), ("sun", "and light", 1)):
        ids = torch.tensor([words(f"{opening} {text}")["input_ids"]])
        chances = made(ids).logits[0].log_softmax(-1)
        expected = -sum(chances[place - 1, ids[0, place]] for place in (-2, -1))
        assert got.losses[loss] == pytest.approx(float(expected), rel=1e-4)
    with pytest.raises(PromptError, match="all of them are empty"):
        fluency(made, words, ["sun"], [[""]])


def test_perplexity_counts_every_token_but_the_first() -> None:
    made, words = model("Llama"), tokenizer()
    got = perplexity(made, words, SOURCE)
    with torch.no_grad():
        ids = torch.tensor([words(SOURCE[0])["input_ids"]])
        expected = made(input_ids=ids, labels=ids).loss * (ids.shape[1] - 1)
    assert got.losses[0] == pytest.approx(float(expected), rel=1e-4) and got.tokens[0] == ids.shape[1] - 1


def test_where_no_answer_changed_the_interval_is_what_so_many_questions_leave_room_for() -> None:
    same = Accuracy((True, False) * 72 + (True,))
    change, low, high = same.change_over(same)
    assert change == 0 and high == -low == pytest.approx(0.0205, abs=1e-3)


def test_the_mean_of_texts_weighs_a_short_one_as_a_long_one() -> None:
    found = Perplexity((math.log(8.0), 3 * math.log(2.0)), (1, 3))
    assert found.mean_of_texts == pytest.approx(5) and found.value == pytest.approx(8**0.25 * 2**0.75)
