"""Prompts as conditions of the image model: encoded once, or anew where the text encoder is steered."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..models.names import TEXT

MOST_REPEATS = 8
"""How far shorter prompts are repeated at most, so that they share a batch with longer ones."""

Encoded = tuple[Tensor, dict[str, Any]]
"""[b, s, d] for the cross-attention, and what else the model is told, such as a pooled vector [b, p]."""


def encode(clip: Any, prompts: Sequence[str]) -> list[Encoded]:
    """Each prompt by itself, the way the stock node encodes it."""
    encoded = []
    for prompt in prompts:
        cross, extras = clip.encode_from_tokens_scheduled(clip.tokenize(prompt), show_pbar=False)[0]
        encoded.append((_copied(cross), {name: _copied(value) for name, value in extras.items()}))
    return encoded


def kinds_of(each: Sequence[Encoded], repeats: bool) -> list[int]:
    """A number for each prompt, the same for those that may run in one batch, as the samplers would.

    repeats: whether the model reads prompts by cross-attention alone, which shorter ones may be repeated for;
    others take prompts of one length at a time.
    """
    shapes = [_shapes(one) for one in each]
    lengths = [cross.shape[1] for cross, _ in each]
    if repeats and math.lcm(*lengths) <= MOST_REPEATS * min(lengths):
        return [0] * len(each)
    known = sorted(set(shapes))
    return [known.index(shape) for shape in shapes]


def _shapes(encoded: Encoded) -> tuple[Any, ...]:
    """What must agree for a batch: all shapes, and how many tokens are real."""
    cross, extras = encoded
    tensors = sorted((name, value) for name, value in extras.items() if isinstance(value, Tensor))
    shapes = ((name, tuple(value.shape), _real(name, value)) for name, value in tensors)
    return (tuple(cross.shape), *shapes)


def _real(name: str, value: Tensor) -> int:
    return int(value.sum()) if "mask" in name else 0


class TextEncoders:
    """The text encoders of a CLIP, run on a batch of prompts so that gradients flow.

    Longer prompts are cut to what a text encoder takes at once, and weights of words do not count.
    """

    def __init__(self, clip: Any, prompts: Sequence[str]) -> None:
        self.root, self.layer = clip.cond_stage_model, clip.layer_idx
        self.device = clip.patcher.load_device
        tokens = [clip.tokenize(prompt) for prompt in prompts]
        self.encoders = {name: module for name, module in self.root.named_children() if name in TEXT}
        self.tokens = {
            name: [[token for token, *_ in each[name.removeprefix("clip_")][0]] for each in tokens]
            for name in self.encoders
        }

    def __call__(self, indices: Sequence[int]) -> list[Encoded]:
        """The conditions of these prompts, encoded together."""
        self.root.reset_clip_options()
        if self.layer is not None:
            self.root.set_clip_options({"layer": self.layer})
        self.root.set_clip_options({"execution_device": self.device})
        crosses, pooled = [], None
        for name in sorted(self.encoders, key=list(TEXT).index):  # the large one comes last
            cross, pooled = self.encoders[name]([self.tokens[name][index] for index in indices])[:2]
            crosses.append(cross)
        shortest = min(cross.shape[1] for cross in crosses)
        cross = torch.cat([cross[:, :shortest] for cross in crosses], -1)
        each = [None] * len(cross) if pooled is None else pooled.split(1)
        return [(one, {"pooled_output": own}) for one, own in zip(cross.split(1), each, strict=True)]

    def real(self, component: str, indices: Sequence[int]) -> Tensor:
        """[b, s] True at the tokens of the prompts, with their start and end."""
        name = next(name for name in self.encoders if TEXT[name] == component)
        end = self.encoders[name].special_tokens["end"]
        ids = torch.tensor(
            [[t if isinstance(t, int) else -1 for t in self.tokens[name][index]] for index in indices]
        )
        ended = (ids == end).long()
        return ended.cumsum(1) - ended == 0


def _copied(value: Any) -> Any:
    with torch.inference_mode(False):
        return value.clone() if isinstance(value, Tensor) else value
