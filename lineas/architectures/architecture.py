"""An image model that is known: where it is steered, by the names of diffusers and of ComfyUI."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

Patterns = tuple[str, ...]
ABOVE_ONE, ABOVE_ZERO = "above 1", "above 0"
ALWAYS, GUIDER = "always", "its guider"


@dataclass(frozen=True)
class Architecture:
    """Where a denoiser is steered.

    name: what people call the models. classes: of the denoiser in diffusers.
    norms: the norms with weights in its blocks; where it has none but those of queries and keys, the outputs
    of attention and feed-forward take their place. attention, feed_forward: of the image stream, and of both
    where a block has one stream. text_stream: what the text half gives, where a block has one. All are
    patterns of names below the denoiser. blocks: its lists of blocks; () in
    UNets, where norms are everywhere.
    comfyui: the norms, or what takes their place, by ComfyUI's names below the diffusion model; () where they
    are not known.
    guidance: the scale from which the model also runs without the prompt: "above 1", "above 0", "always", or
    what decides instead: an argument by name, "its guider".
    least: the scale that draws the prompt alone; a smaller one draws something else, or is refused.
    sequence_first: modules whose outputs are [s, b, d] instead of [b, s, d].
    """

    name: str
    classes: Patterns
    norms: Patterns
    attention: Patterns = ()
    feed_forward: Patterns = ()
    text_stream: Patterns = ()
    blocks: Patterns = ("transformer_blocks",)
    comfyui: Patterns = ()
    guidance: str = ABOVE_ONE
    least: float = 0.0
    sequence_first: Patterns = ()
    presets: dict[str, Patterns] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        for preset in ("norms", "attention", "feed_forward", "text_stream"):
            self.presets.setdefault(preset, getattr(self, preset))


def below(lists: Sequence[str], *ends: str) -> Patterns:
    return tuple(f"{block}.*.{end}" for block in lists for end in ends)


def outputs(
    name: str,
    classes: Sequence[str],
    blocks: Sequence[str],
    attention: Sequence[str],
    feed_forward: Sequence[str],
    both: Patterns = (),
    **options: Any,
) -> Architecture:
    """A model without norms of its own; `both` are outputs of attention and feed-forward in one."""
    first, second = below(blocks[:1], *attention), below(blocks[:1], *feed_forward)
    if not both:
        first, second = below(blocks, *attention), below(blocks, *feed_forward)
    return Architecture(
        name,
        tuple(classes),
        (*first, *second, *both),
        first,
        (*second, *both),
        blocks=tuple(blocks),
        **options,
    )
