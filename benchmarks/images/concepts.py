"""What the tables of images are about: the concepts of each intent, and the weights that are measured."""

from __future__ import annotations

import hashlib

from lineas.prompts.banks import SWAP
from lineas.scenes import BUNDLED
from lineas.scenes.bundled import FOLDERS

TUNED = (
    "at night", "rain", "in the forest", "in the city", "pixel art", "sepia", "red", "pink", "clock",
    "elephant",
)  # fmt: skip
"""Settings were chosen on other prompts and noise of some of these."""
NEVER_TUNED = ("snow", "on the beach", "vaporwave", "robot")
SWAPS = {
    "cat": "horse", "red": "blue", "at night": "at sunset", "in the forest": "on the beach", "rain": "snow",
    "sepia": "pixel art", "clock": "book", "elephant": "gorilla",
}  # fmt: skip


def concepts_of(intent: str) -> tuple[str, ...]:
    """In the words of an intent."""
    return tuple(SWAPS) if intent == SWAP else (*TUNED, *NEVER_TUNED)


def swapped_for(intent: str, concept: str) -> str | None:
    """What a swap puts in the place of a concept; None for other intents."""
    return SWAPS[concept] if intent == SWAP else None


def weights_there(model: str = BUNDLED[0]) -> str:
    """Which weights are measured: rows of other weights are not shown."""
    digest = hashlib.sha256()
    for path in sorted(FOLDERS[model].rglob("*.safetensors")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
