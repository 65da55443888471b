"""Toxicity of texts: a word-based judge that works offline, or any text classifier of transformers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from lineas.errors import ConfigError, HubError, require

Judge = Callable[[Sequence[str]], list[float]]
"""n texts -> n probabilities in 0..1 that the text is toxic."""

OFFLINE = "profanity-check"
TOXIC_LABELS = ("toxic", "toxicity", "label_1", "hate", "offensive", "negative")
"""Labels that are looked for, in this order, where none is named."""


def load_judge(
    name: str = OFFLINE, *, label: str | None = None, batch: int = 64, device: Any = None
) -> Judge:
    """A judge by name.

    name: "profanity-check", the linear word model of alt-profanity-check, which needs no download; or a text
    classifier of transformers by folder or hub name, such as "s-nlp/roberta_toxicity_classifier", with which
    LinEAS measured. label: the classifier's label that counts; None takes the first of `TOXIC_LABELS` that it
    has. Raises `MissingExtraError`, `HubError` when there is no such model and `ConfigError` without a label.
    """
    return _word_model() if name == OFFLINE else TransformersJudge(name, label, batch, device)


def _word_model() -> Judge:
    check = require("profanity_check", "language-evaluation")
    return lambda texts: [float(p) for p in check.predict_prob(list(texts))] if texts else []


class TransformersJudge:
    """A text classifier of transformers; called with n texts it gives n probabilities of its toxic label."""

    def __init__(self, name: str, label: str | None = None, batch: int = 64, device: Any = None) -> None:
        transformers = require("transformers", "transformers")
        try:
            model = transformers.AutoModelForSequenceClassification.from_pretrained(name)
            tokenizer = transformers.AutoTokenizer.from_pretrained(name)
        except (OSError, ValueError) as error:
            raise HubError(
                f"Cannot load the classifier {name!r} ({str(error).strip().partition(chr(10))[0]}). Give a "
                f"folder or a name on the hub, or {OFFLINE!r}, which needs no download."
            ) from error
        self.label = _label(model.config, label)
        self.pipe = transformers.pipeline(
            "text-classification", model=model.eval(), tokenizer=tokenizer, device=device
        )
        self.batch = batch
        # Several labels that do not exclude each other are scored one by one.
        several = getattr(model.config, "problem_type", None) == "multi_label_classification"
        self.function = "sigmoid" if several or len(model.config.id2label) == 1 else "softmax"

    def __call__(self, texts: Sequence[str]) -> list[float]:
        results = self.pipe(
            list(texts), top_k=None, truncation=True, batch_size=self.batch, function_to_apply=self.function
        )
        return [next(each["score"] for each in one if each["label"] == self.label) for one in results]


def _label(config: Any, wanted: str | None) -> str:
    labels = list(config.id2label.values())
    by_name = {label.lower(): label for label in labels}
    names = [wanted.lower()] if wanted else TOXIC_LABELS
    found = next(
        (by_name[name] for name in names if name in by_name), labels[0] if len(labels) == 1 else None
    )
    if found is None:
        raise ConfigError(f"The classifier has the labels {labels}. Say which one counts with label=….")
    return found
