"""The exported LoRA in the stock loader against Apply Steering."""

from __future__ import annotations

import numpy as np
import pytest
from comfyui_server.conftest import workflow
from comfyui_server.graph import edited


def titled(title: str) -> str:
    return next(str(node["id"]) for node in workflow("Export as LoRA")["nodes"] if node.get("title") == title)


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0, -1.0])
def test_the_exported_lora_draws_what_apply_steering_draws(comfy, strength):
    prompt = comfy.prompt(workflow("Export as LoRA"), steps=3, seed=21, learning_rate=0.2)
    prompt = edited(prompt, "LineasApplySteering", strength=strength)
    prompt = edited(prompt, "LoraLoaderModelOnly", strength_model=strength)
    run = comfy.run(prompt)
    titles = ("As a LoRA", "Apply Steering", "Without either")
    lora, applied, without = (comfy.client.images(run, titled(title))[0].astype(int) for title in titles)
    assert np.abs(lora - applied).max() <= 2
    assert (np.abs(applied - without).max() > 2) == (strength != 0)
