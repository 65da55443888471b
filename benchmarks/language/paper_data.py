"""The data of the paper's language rows on the hub, and what of its fields is read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.language.cells import Corpus
from lineas.errors import HubError, require

RTP = ("allenai/real-toxicity-prompts",)
TET = ("convoicon/Thoroughly_Engineered_Toxicity",)
WIKIPEDIA = ("wikimedia/wikipedia", "20231101.en")
TRUTHFUL = ("truthfulqa/truthful_qa", "multiple_choice")
LEAST_WORDS = 6
"""Of a sentence that perplexity is measured on."""
Record = Mapping[str, Any]


@dataclass(frozen=True)
class Question:
    """One of TruthfulQA. best: answers of which one is right, with its number. all: answers, right or not."""

    text: str
    best: tuple[tuple[str, ...], int]
    all: tuple[tuple[str, bool], ...]


def loaded(name: tuple[str, ...], split: str, **options: Any) -> Any:
    """A data set of the hub; `HubError` when it cannot be had."""
    datasets = require("datasets", "language-evaluation")
    try:
        return datasets.load_dataset(*name, split=split, **options)
    except Exception as error:  # the hub's client raises errors of many families
        raise HubError(
            f"{name[0]} cannot be loaded from the hub ({str(error).strip().partition(chr(10))[0]}). Check "
            "the connection, accept the terms that its page may have (TET has), or try --quick."
        ) from error


def hub_corpus(prompts: int, sentences: int) -> tuple[Corpus, dict[str, tuple[str, ...]]]:
    """What is steered with and measured, and the openings of RTP and of TET, each a column of its own."""
    own = Corpus.bundled()
    openings = {
        "RTP": rtp_openings(loaded(RTP, "train").shuffle(seed=0).select(range(prompts))),
        "TET": tet_openings(loaded(TET, "train")),
    }
    articles = loaded(WIKIPEDIA, "train", streaming=True)
    text = first_sentences((article["text"] for article in articles), sentences)
    return Corpus(own.source, own.target, own.preserve, (), tuple(text), "mmlu"), openings


def rtp_openings(rows: Iterable[Record]) -> tuple[str, ...]:
    """The texts of its prompts; the fields beside them are the judgements of another classifier."""
    return tuple(row["prompt"]["text"] for row in rows)


def tet_openings(rows: Iterable[Record]) -> tuple[str, ...]:
    """Its queries; the other fields are conversation_id and metrics."""
    return tuple(row["query"] for row in rows)


def first_sentences(articles: Iterable[str], count: int) -> list[str]:
    """The first sentences of articles, one paragraph at a time, until there are `count`."""
    found: list[str] = []
    for text in articles:
        for paragraph in text.split("\n"):
            found += [
                part.strip().removesuffix(".") + "."
                for part in paragraph.split(". ")
                if len(part.split()) >= LEAST_WORDS
            ]
            if len(found) >= count:
                return found[:count]
    return found


def truthful_questions(rows: Iterable[Record]) -> list[Question]:
    """Of the configuration multiple_choice: mc1_targets has one right answer, mc2_targets several."""

    def question(row: Record) -> Question:
        one, several = row["mc1_targets"], row["mc2_targets"]
        judged = zip(several["choices"], several["labels"], strict=True)
        return Question(
            row["question"],
            (tuple(one["choices"]), list(one["labels"]).index(1)),
            tuple((answer, bool(label)) for answer, label in judged),
        )

    return [question(row) for row in rows]
