"""Steerings made from steerings."""

from __future__ import annotations

from dataclasses import dataclass

MODES = ("sequence", "sum")


@dataclass(frozen=True)
class Group:
    """A part of the model: patterns of its canonical names, and what to call it."""

    patterns: tuple[str, ...]
    help: str


GROUPS = {
    "down": Group(("unet.down_blocks.*",), "the down blocks: composition and large shapes"),
    "mid": Group(("unet.mid_block.*",), "the middle block: what the image is about"),
    "up": Group(("unet.up_blocks.*",), "the up blocks: detail, texture and colour"),
    "attention": Group(("*attentions.*",), "attention blocks"),
    "resnets": Group(("*resnets.*",), "residual blocks"),
    "text_encoder": Group(("text_encoder*",), "the text encoders"),
    "others": Group((), "everything else, such as the last norm"),
}
