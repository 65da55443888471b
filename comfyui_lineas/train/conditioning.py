"""Prompts as conditions of the image model: encoded once, or anew where the text encoder is steered."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from comfy.sd1_clip import SDClipModel
from torch import Tensor
from torch.overrides import TorchFunctionMode

from ..models.names import text_components

MOST_REPEATS = 8
"""How far shorter prompts are repeated at most, so that they share a batch with longer ones."""

Encoded = tuple[Tensor, dict[str, Any]]
"""[b, s, d] for the cross-attention, and what else the model is told, such as a pooled vector [b, p]."""
Told = dict[str, list[Any]]
"""Tokens of a prompt, as ComfyUI's tokenizers give them: by tokenizer, sections of (token, weight, …)."""


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

    Each runs all of the prompts at once; what the model is told of a prompt is then put together by
    ComfyUI's own code, which may cut tokens of a template. Prompts of a batch are of one kind, see
    `kinds_of`. Longer prompts are cut to what a text encoder takes at once, and weights of words do not
    count.
    """

    def __init__(self, clip: Any, prompts: Sequence[str]) -> None:
        self.root, self.layer = clip.cond_stage_model, clip.layer_idx
        self.device = clip.patcher.load_device
        children = dict(self.root.named_children())
        self.encoders = {name: one for name, one in children.items() if isinstance(one, SDClipModel)}
        self.components = text_components(self.encoders)
        self.prompts = [_first_sections(clip.tokenize(prompt)) for prompt in prompts]
        self._real = {name: [self._real_of(name, told) for told in self.prompts] for name in self.encoders}

    def __call__(self, indices: Sequence[int]) -> list[Encoded]:
        """The conditions of these prompts, encoded together."""
        self.root.reset_clip_options()
        if self.layer is not None:
            self.root.set_clip_options({"layer": self.layer})
        self.root.set_clip_options({"execution_device": self.device})
        told = [self.prompts[index] for index in indices]
        with ExitStack() as stack:
            stack.enter_context(NewTensors())
            for name, encoder in self.encoders.items():
                if all(map(_tokens(name), told)):
                    stack.enter_context(_answering(encoder, list(map(_tokens(name), told))))
            return [_as_conditions(*self.root.encode_token_weights(each)) for each in told]

    def real(self, component: str, indices: Sequence[int]) -> Tensor:
        """[b, s] True at the tokens of the prompts, with their start, end and template."""
        name = next(name for name, known in self.components.items() if known == component)
        return torch.stack([self._real[name][index] for index in indices])

    def _real_of(self, name: str, told: Told) -> Tensor:
        encoder, tokens = self.encoders[name], _tokens(name)(told)
        if not tokens:
            return torch.zeros(0, dtype=torch.bool)
        with torch.no_grad():
            where = encoder.transformer.get_input_embeddings().weight.device
            return encoder.process_tokens([tokens], where)[1][0].bool().cpu()


def _first_sections(told: Told) -> Told:
    """Tokens of a prompt as tokenizers give them, the first section of each, without weights of words."""
    return {
        key: [[(token, 1.0, *more) for token, _, *more in section] for section in sections[:1]]
        for key, sections in told.items()
    }


def _tokens(encoder: str) -> Callable[[Told], list[Any]]:
    """What reads the tokens of a text encoder; [] where a prompt has none for it."""
    key = encoder.removeprefix("clip_")
    return lambda told: [token for section in told.get(key, []) for token, *_ in section]


@contextmanager
def _answering(encoder: Any, batch: Sequence[Sequence[Any]]) -> Iterator[None]:
    """A text encoder runs on all of a batch at once, and answers with the part of each prompt in turn."""
    z, pooled, *extra = encoder.encode(batch)
    parts = iter(
        (
            z[i : i + 1],
            None if pooled is None else pooled[i : i + 1],
            *({name: value[i : i + 1] for name, value in more.items()} for more in extra),
        )
        for i in range(len(batch))
    )
    encoder.encode = lambda tokens: next(parts)
    try:
        yield
    finally:
        del encoder.encode


def _as_conditions(cross: Tensor, pooled: Tensor | None, *extra: dict[str, Any]) -> Encoded:
    """In the form in which the stock node gives them."""
    return cross, {"pooled_output": pooled, **{name: v for more in extra for name, v in more.items()}}


class NewTensors(TorchFunctionMode):
    """Functions that are told to write into a tensor at hand give a new one, as gradients need it."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kept = {name: value for name, value in (kwargs or {}).items() if name != "out"}
        return func(*args, **(kept if torch.is_grad_enabled() else kwargs or {}))


def _copied(value: Any) -> Any:
    with torch.inference_mode(False):
        return value.clone() if isinstance(value, Tensor) else value
