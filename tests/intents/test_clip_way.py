"""A strength is calibrated by images where CLIP tells those of prompting from untouched ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from PIL import Image
from toys.problem import ToyProblem

from lineas.intents.calibration import AIM, calibrate, usable_range, way_of
from lineas.intents.clip_way import IMAGES, OTHERS, STEP, ClipWay
from lineas.methods.lineas.config import TrainConfig
from lineas.methods.lineas.trainer import fit

PROMPTS, TWINS = [f"night {i}" for i in range(20)], [f"day {i}" for i in range(20)]
PRESERVED = [f"other {i}" for i in range(20)]
DEGREE = torch.pi / 180


class Eye:
    """A CLIP model of a plane: an image is its angle, night lies at 0° and day at 60°."""

    name = "hf-hub:an/eye"

    def image_text(self, images: Sequence[Any], texts: Sequence[str]) -> torch.Tensor:
        return torch.cos(angles(images) - 60 * DEGREE * torch.tensor([t.startswith("day") for t in texts]))

    def image_image(self, images: Sequence[Any], reference: Sequence[Any]) -> torch.Tensor:
        return torch.cos(angles(images) - angles(reference))


def angles(images: Sequence[Any]) -> torch.Tensor:
    return DEGREE * torch.tensor([float(each.info["angle"]) for each in images])


class Model:
    """Draws night at 0° and day at `there`; a steering turns night by `reach` and others by `aside`."""

    def __init__(self, reach: float = 60.0, aside: float = 0.0, there: float = 60.0) -> None:
        self.reach, self.aside, self.there = reach, aside, there
        self.drawn: list[tuple[int, float]] = []

    def __call__(self, prompts: Sequence[str], strength: float) -> list[Image.Image]:
        self.drawn.append((len(prompts), strength))
        turns = {"night": self.reach * strength, "day": self.there, "other": 200 + self.aside * strength}
        images = []
        for prompt in prompts:
            image = Image.new("RGB", (2, 2))
            image.info["angle"] = turns[prompt.split()[0]]
            images.append(image)
        return images


def way(model: Model, others: Sequence[str] = ()) -> ClipWay:
    return ClipWay(model, Eye(), PROMPTS, TWINS, others)


def test_the_way_is_from_untouched_images_to_those_of_prompting() -> None:
    found = way(Model())
    assert found(0.0).along == pytest.approx(0) and found(0.0).off == pytest.approx(1)
    assert found(1.0).along == pytest.approx(1) and found(1.0).off == pytest.approx(0, abs=1e-6)
    assert found(0.5).along == pytest.approx(0.5) and found(2.0).along == pytest.approx(1.5)
    # At 2 the images are as far beyond prompting's as untouched ones are before them.
    assert found(2.0).off == pytest.approx(1) and found(3.0).off > 1
    assert found(0.6).along == pytest.approx(0.6 * found(0.5).along + 0.4 * found(0.75).along)


def test_what_other_prompts_lose_counts_as_what_is_missed() -> None:
    calm, rough = way(Model(), PRESERVED), way(Model(aside=60.0), PRESERVED)
    assert calm(1.0).off == pytest.approx(0, abs=1e-6)
    assert rough(1.0).along == calm(1.0).along and rough(1.0).off == pytest.approx(1)


def test_few_images_are_drawn() -> None:
    model = Model(reach=30.0)
    found = usable_range(way(model, PRESERVED))
    assert found is not None and found.met and found.best == pytest.approx(AIM * 2, abs=0.05)
    assert {count for count, _ in model.drawn} == {IMAGES, OTHERS}
    strengths = [strength for count, strength in model.drawn if count == OTHERS]
    assert len(strengths) == len(set(strengths)) <= 13 and all(s % STEP == 0 for s in strengths)


def test_a_calibration_by_images_says_so_in_the_file() -> None:
    problem, config = ToyProblem(), TrainConfig(steps=2)
    steering = fit(problem, config)
    settings = calibrate(problem, config, steering, way(Model(reach=30.0))).provenance.settings
    assert settings["strength_unit"] == pytest.approx(AIM * 2, abs=0.05)
    assert settings["calibrated_by"] == "hf-hub:an/eye"


@pytest.mark.filterwarnings("ignore:On prompts that it was not fitted to")
def test_where_clip_is_blind_the_cost_decides_and_it_is_said() -> None:
    problem, config = ToyProblem(), TrainConfig(steps=60, coupling="pair")
    steering = fit(problem, config)
    with pytest.warns(UserWarning, match="hf-hub:an/eye hardly tells .* calibrated by the cost"):
        made = calibrate(problem, config, steering, way(Model(there=0.0)))
    settings = made.provenance.settings
    found = usable_range(way_of(problem, config, steering))
    assert found is not None and settings["calibrated_by"] == "cost"
    assert settings["strength_unit"] == pytest.approx(found.best, abs=0.05)
