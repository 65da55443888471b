"""A steering as a technique of eval-unlearn, found there under the name `lineas` where both are installed."""

from __future__ import annotations

from typing import Any

from PIL import Image

from lineas.adapters.images.drawing import Drawer
from lineas.adapters.images.loading import load_pipeline
from lineas.apply.strengths import weighted_name
from lineas.errors import ConfigError
from lineas.steering.steering import Steering


class SteeringTechnique:
    """What the harness asks of a technique: options by name, and images of prompts.

    steering: "FILE:STRENGTH" or a list of them, which act in this order; a FILE may be hf:owner/name.
    model: the pipeline, None for the one that the first steering was made for. recipe, device: as
    `load_pipeline` takes them. batch: images at once. erase_concept: the harness's name of what is gone; some
    of its metrics ask for it.
    """

    def __init__(
        self,
        steering: str | list[str],
        model: str | None = None,
        *,
        recipe: str | None = None,
        device: str | None = None,
        batch: int = 8,
        erase_concept: str | None = None,
    ) -> None:
        asked = [weighted_name(name) for name in ([steering] if isinstance(steering, str) else steering)]
        steerings = [Steering.load(name) for name, _ in asked]
        base = model or (steerings[0].provenance.base_model if steerings else "")
        if not base:
            raise ConfigError(
                "No model is named, and the steering does not say which one it is for. Give model: …"
            )
        pipe = load_pipeline(base, recipe, device=device)
        self.draw = Drawer(pipe, steerings, [strength for _, strength in asked], recipe=recipe, batch=batch)
        self.erase_concept = erase_concept

    def generate(self, prompts: list[str], seed: int | None = None, **_: Any) -> list[Image.Image]:
        """An image per prompt; prompt i starts from the noise of seed + i, whatever the strength."""
        first = seed or 0
        return self.draw(prompts, 1.0, [first + i for i in range(len(prompts))])
