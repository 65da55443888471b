"""Chats through the tokenizer's own template: one start token, and rows of the text's own tokens alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from toys.language import SOURCE, TARGET, WORDS, model, tokenizer, tokenizers, transformers

from lineas import fit
from lineas.adapters.language.problem import LanguageProblem
from lineas.adapters.language.text_tokens import text_tokens
from lineas.adapters.language.writing import Sampling, Writer, continuations
from lineas.errors import ConfigError, PromptError

NAMES = ["<pad>", "<s>", "</s>", *WORDS, "<turn>", "<end>", "user", "model"]
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<turn> {{ message['role'] }} {{ message['content'] | trim }}"
    " <end>{% endfor %}{% if add_generation_prompt %} <turn> model{% endif %}"
)


def chatty(template: str | None = TEMPLATE) -> Any:
    """A tokenizer that puts <s> before every text, as its template does."""
    backend = tokenizers.Tokenizer(tokenizers.models.WordLevel({n: i for i, n in enumerate(NAMES)}, "user"))
    backend.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    backend.post_processor = tokenizers.processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 1)]
    )
    made = transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>", pad_token="<pad>",
        additional_special_tokens=["<turn>", "<end>"],
    )  # fmt: skip
    made.chat_template = template
    return made


def chat_model() -> Any:
    torch.manual_seed(0)
    made = model("Llama")
    made.resize_token_embeddings(len(NAMES))
    return made


def words(ids: list[int]) -> list[str]:
    return [NAMES[number] for number in ids]


def test_a_message_stands_in_the_template_once_begun_and_alone_is_the_text() -> None:
    tokens = text_tokens(chatty(), "cold night", chat=True, answer=True)
    assert words(tokens.ids) == ["<s>", "<turn>", "user", "cold", "night", "<end>", "<turn>", "model"]
    own = [word for word, mine in zip(words(tokens.ids), tokens.own, strict=True) if mine]
    assert own == ["cold", "night"]
    assert words(text_tokens(chatty(), "cold night", chat=True).ids)[-1] == "<end>"


def test_a_text_that_brings_its_template_has_one_start_token_and_its_special_tokens_do_not_count() -> None:
    tokens = text_tokens(chatty(), "<s> <turn> user cold night <end>")
    assert words(tokens.ids) == ["<s>", "<turn>", "user", "cold", "night", "<end>"]
    assert tokens.own == [False, False, True, True, True, False]
    assert words(text_tokens(chatty(), "cold night").ids) == ["<s>", "cold", "night"]


def test_a_word_of_the_template_is_the_texts_own_where_the_text_has_it() -> None:
    tokens = text_tokens(chatty(), "model", chat=True, answer=True)
    assert tokens.own.index(True) == 3 and sum(tokens.own) == 1


def test_rows_of_a_chat_are_means_over_the_message() -> None:
    made = chat_model()
    problem = LanguageProblem(made, chatty(), SOURCE, TARGET, chat=True)
    texts = [text_tokens(chatty(), text, chat=True) for text in SOURCE]
    seen: list[torch.Tensor] = []
    site = problem.sites[0]
    with torch.no_grad():
        (rows,) = problem.rows("source", range(len(SOURCE)))[site]
        hook = made.get_submodule(site.name).register_forward_hook(lambda m, a, z: seen.append(z))
        for text in texts:
            made(torch.tensor([text.ids]))
        hook.remove()
    expected = [z[0][torch.tensor(text.own)].mean(0) for z, text in zip(seen, texts, strict=True)]
    torch.testing.assert_close(rows, torch.stack(expected))


def test_a_fit_and_what_is_written_take_chats() -> None:
    made, words_ = chat_model(), chatty()
    plain = fit(made, SOURCE, TARGET, tokenizer=words_, steps=2)
    chat = fit(made, SOURCE, TARGET, tokenizer=words_, steps=2, chat=True)
    assert not plain.allclose(chat)
    asked: list[list[int]] = []
    generate = made.generate
    made.generate = lambda **given: (asked.extend(given["input_ids"].tolist()), generate(**given))[1]
    (answers,) = continuations(made, words_, ["cold night"], sampling=Sampling(tokens=2), chat=True)
    text = Writer(made, words_, [], [], tokens=2, chat=True)("cold night")
    assert asked == [text_tokens(words_, "cold night", chat=True, answer=True).ids] * 2
    assert "user" not in answers[0] + text


def test_a_chat_needs_a_template_and_a_text() -> None:
    with pytest.raises(ConfigError, match="has no chat template"):
        text_tokens(tokenizer(), "cold night", chat=True)
    with pytest.raises(PromptError, match="has no tokens"):
        LanguageProblem(chat_model(), chatty(), ["<end>", "cold"], TARGET)
