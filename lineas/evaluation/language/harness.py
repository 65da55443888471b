"""A steered language model inside lm-eval, under the name `lineas`; importing this file registers it.

    python -m lineas.evaluation.language.harness run --model lineas --tasks arc_easy \\
        --model_args pretrained=Qwen/Qwen2.5-0.5B,steering=polite.safetensors:0.8

is lm-eval's own command line with that model in it.
"""

from __future__ import annotations

from typing import Any

from lineas.apply.hooks import steer
from lineas.apply.strengths import weighted_name
from lineas.errors import require
from lineas.steering.steering import Steering

EXTRA = "language-evaluation"
HFLM: Any = require("lm_eval.models.huggingface", EXTRA).HFLM
register_model: Any = require("lm_eval.api.registry", EXTRA).register_model


@register_model("lineas")
class SteeredLM(HFLM):
    """lm-eval's model of transformers with steerings on it.

    steering: "FILE:STRENGTH", with ";" between several, which act in this order; a FILE may be hf:owner/name.
    where: the tokens that are steered, "all" or "last". pretrained and what else there is: see lm-eval's
    `hf`. Raises `SteeringFileError` and `MismatchError` before anything is measured.
    """

    def __init__(self, pretrained: Any, steering: str = "", where: str = "all", **options: Any) -> None:
        asked = [weighted_name(name) for name in str(steering).split(";") if name.strip()]
        steerings = [Steering.load(name) for name, _ in asked]
        super().__init__(pretrained=pretrained, **options)
        self.steered = steer(self.model, steerings, [strength for _, strength in asked], where=where)


def main() -> None:
    """lm-eval's command line, in which the model is known."""
    require("lm_eval.__main__", EXTRA).cli_evaluate()


if __name__ == "__main__":
    main()
