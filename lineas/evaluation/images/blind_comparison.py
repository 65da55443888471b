"""A blind comparison by a person: one HTML file with pairs of images, which counts and saves the choices.

The page needs no other file and no network, so it can be sent to anyone. Which steering an image is of is not
shown before all pairs are judged. Source: the user preference of LinEAS (arXiv 2503.10679) asked the same.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import random
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from PIL import Image

from lineas.errors import MismatchError

QUESTION = "Which image is better?"
Images = Sequence[Image.Image]


def comparison_page(
    prompts: Sequence[str],
    first: Images,
    second: Images,
    names: tuple[str, str],
    *,
    seeds: Sequence[int] | None = None,
    reference: Images | None = None,
    question: str = QUESTION,
    seed: int = 0,
) -> str:
    """The page as HTML: pair i shows image i of both, in random order and on random sides.

    names: of the two steerings, different. seeds: of the noise, for the record. reference: unsteered images
    to show beside each pair. question: asked of every pair. seed: of the order.
    Raises `MismatchError` for unlike numbers of images, none, or equal names.
    """
    sets = [first, second, *([reference] if reference is not None else [])]
    if not prompts or any(len(images) != len(prompts) for images in sets) or len(set(names)) != 2:
        raise MismatchError(
            f"Got {len(prompts)} prompts, {len(first)} and {len(second)} images of {names}, expected as many "
            "images as prompts, at least one, and two different names."
        )
    random_order = random.Random(seed)
    pairs: list[dict[str, Any]] = [
        {
            "number": i,
            "prompt": prompt,
            "seed": None if seeds is None else seeds[i],
            "images": [_embedded(first[i]), _embedded(second[i])],
            "reference": None if reference is None else _embedded(reference[i]),
            "left": random_order.randrange(2),
        }
        for i, prompt in enumerate(prompts)
    ]
    random_order.shuffle(pairs)
    content = {"names": list(names), "question": question, "pairs": pairs}
    # Choices are kept in the browser under this id, so that another page does not find them.
    content["id"] = hashlib.sha256(json.dumps(content).encode()).hexdigest()[:12]
    # A prompt may hold "</script>", which would end the data.
    data = json.dumps(content).replace("<", "\\u003c")
    template = files(__package__).joinpath("blind_comparison.html").read_text(encoding="utf-8")
    return template.replace("__DATA__", data)


def _embedded(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
