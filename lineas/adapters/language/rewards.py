"""Rewards: text classifiers of transformers as what a method with a reward raises."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from lineas.errors import ConfigError, HubError, require


class ClassifierReward:
    """Texts -> the probability, 0..1, that a text classifier gives to one of its labels.

    model, tokenizer: of transformers, for sequence classification. label: the wanted one, such as "neutral".
    Raises `ConfigError` for a label that the classifier does not have.
    """

    def __init__(self, model: Any, tokenizer: Any, label: str) -> None:
        labels = {str(name): int(place) for place, name in model.config.id2label.items()}
        if label not in labels:
            raise ConfigError(f"The classifier has no label {label!r}, only {', '.join(labels)}.")
        self.model, self.tokenizer, self._place = model.eval(), tokenizer, labels[label]
        self.__name__ = f"{getattr(model.config, '_name_or_path', '') or type(model).__name__}:{label}"

    @classmethod
    def load(cls, name: str, label: str) -> ClassifierReward:
        """A classifier by folder or name on the hub. Raises `HubError` when there is none."""
        transformers = require("transformers", "transformers")
        try:
            model = transformers.AutoModelForSequenceClassification.from_pretrained(name)
            tokenizer = transformers.AutoTokenizer.from_pretrained(name)
        except (OSError, ValueError) as error:
            reason = str(error).strip().partition("\n")[0]
            raise HubError(
                f"Cannot load the text classifier {name!r} ({reason}). Check the name and the connection, or "
                "give the folder of a downloaded one."
            ) from error
        return cls(model, tokenizer, label)

    @torch.no_grad()
    def __call__(self, texts: Sequence[str]) -> list[float]:
        inputs = self.tokenizer(list(texts), return_tensors="pt", padding=True, truncation=True)
        device = next(self.model.parameters()).device
        logits = self.model(**{name: tensor.to(device) for name, tensor in inputs.items()}).logits.float()
        # A single output is the chance of the one label against none.
        chances = logits.sigmoid() if logits.shape[1] == 1 else logits.softmax(1)
        return chances[:, self._place].tolist()
