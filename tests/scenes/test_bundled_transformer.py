"""The bundled transformer: a stock class loads it, and few steps draw what was asked."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from lineas.adapters.images.drawing import Drawer
from lineas.adapters.images.recipes import recipe_for
from lineas.prompts.banks import SCENES, bank_of
from lineas.scenes import BUNDLED
from lineas.scenes.bundled import FOLDERS, load_pipeline
from lineas.scenes.detector import Detector
from lineas.scenes.grammar import parse, prompt, random_scene

diffusers = pytest.importorskip("diffusers")
NAME = BUNDLED[1]
pytestmark = pytest.mark.skipif(
    not hasattr(diffusers, "ZImagePipeline"), reason="this diffusers has no ZImagePipeline"
)


@pytest.fixture(scope="module")
def pipe() -> Any:
    return load_pipeline(name=NAME)


def test_it_is_known_by_its_name(pipe: Any) -> None:
    recipe = recipe_for(pipe)
    assert recipe.name == NAME
    assert (recipe.steps, recipe.guidance, recipe.height, recipe.width) == (2, 0, 128, 128)
    assert bank_of(pipe.config["_name_or_path"]) == SCENES


def test_stock_diffusers_loads_the_folder_and_draws(pipe: Any) -> None:
    stock = diffusers.ZImagePipeline.from_pretrained(str(FOLDERS[NAME]))
    stock.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(0)
    size = {"height": 128, "width": 128, "num_inference_steps": 1, "guidance_scale": 0}
    image = stock("a cat in the forest", **size, generator=generator, output_type="np").images
    assert image.shape == (1, 128, 128, 3) and image.std() > 0.05


def test_two_steps_draw_what_the_prompts_name(pipe: Any) -> None:
    rng = np.random.default_rng(78)
    prompts = [prompt(random_scene(rng), rng) for _ in range(24)]
    found = Detector.load().found(Drawer(pipe, batch=24)(prompts))
    named = [{p for p in parse(text).visible() if p[0] in ("place", "time", "style")} for text in prompts]
    shown = [p in f for f, n in zip(found, named, strict=True) for p in n]
    assert np.mean(shown) > 0.9


def test_an_older_diffusers_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from lineas.errors import MissingExtraError

    monkeypatch.setattr(diffusers, "ZImagePipeline", None)
    with pytest.raises(MissingExtraError, match="ZImagePipeline"):
        load_pipeline(name=NAME)
