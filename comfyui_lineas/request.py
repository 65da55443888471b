"""What the Train Steering node asks for."""

from __future__ import annotations

PRESETS = ("fast", "paper")
SITES = {
    "all norms": ("unet.*norm*",),
    "attention norms": ("unet.*attentions.*norm*",),
    "resnet norms": ("unet.*resnets.*norm*",),
    "text encoder norms": ("text_encoder*norm*",),
    "all and text encoder norms": ("unet.*norm*", "text_encoder*norm*"),
    "own pattern": (),
}
