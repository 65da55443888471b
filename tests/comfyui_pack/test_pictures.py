"""Charts, reports and pictures; needs no ComfyUI."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from PIL import Image

from comfyui_lineas.report import image_of, picture_of, steering_picture, training_picture, training_text
from lineas.maps.affine import AffineMap
from lineas.maps.gated import GatedMap
from lineas.pictures.charts import bars, curve
from lineas.steering.site import Site
from lineas.steering.steering import Steering

BLUE = (0, 114, 178)


def steering() -> Steering:
    return Steering(
        {
            Site("unet.down_blocks.0.resnets.0.norm1"): AffineMap(torch.ones(4), torch.zeros(4)),
            Site("unet.mid_block.attentions.0.norm"): GatedMap.identity(4),
        }
    )


def inked(picture: Image.Image, colour: tuple[int, int, int]) -> np.ndarray:
    return (np.asarray(picture) == colour).all(-1)


@pytest.mark.parametrize(
    "values", [[3.0], [2.0, 2.0], [5.0, 1.0, 0.5], [1.0, -1.0], [1.0, math.nan, 2.0], []]
)
def test_a_curve_takes_any_values(values: list[float]) -> None:
    assert curve(values, "cost").size == (640, 300)


def test_a_falling_curve_falls() -> None:
    ink = inked(curve([100.0, 10.0, 1.0], "cost"), BLUE)
    rows, columns = ink.nonzero()
    assert rows[columns.argmin()] < rows[columns.argmax()]


def test_bars_stand_in_proportion() -> None:
    picture = bars({"a": 1.0, "b": 0.5}, "bars", lambda name: name)
    first, second = inked(picture, BLUE).sum(0).max(), inked(picture, (213, 94, 0)).sum(0).max()
    assert second / first == pytest.approx(0.5, abs=0.05)


def test_reports_tell_where_and_how_far() -> None:
    assert steering_picture(steering()).size == (640, 600)
    assert training_picture(steering(), [3.0, 1.0]).size == (640, 900)
    assert training_picture(steering(), []).size == (640, 900)
    text = training_text(steering(), [3.0, 1.0], 12.3, "here.safetensors")
    assert text.startswith("2 steps in 12 s, cost 3 -> 1\nsaved: here.safetensors")


def test_images_survive_the_way_to_pillow_and_back() -> None:
    pixels = torch.randint(0, 256, (5, 7, 3), generator=torch.Generator().manual_seed(0)) / 255
    assert torch.equal(image_of(picture_of(pixels))[0], pixels.float())
    assert torch.equal(image_of(picture_of(pixels + 2))[0], torch.ones(5, 7, 3))


def test_the_strengths_of_use_are_told_where_they_are_known() -> None:
    from dataclasses import replace

    from comfyui_lineas.report import usable

    made = Steering({Site("a"): AffineMap(torch.zeros(2), torch.ones(2))})
    assert usable(made) == ""
    settings = {"usable_from": 0.6, "usable_to": 1.5}
    known = replace(made, provenance=replace(made.provenance, settings=settings))
    assert usable(known) == usable(known, 1.0) == "strength: usable from 0.6 to 1.5, best at 1"
    assert usable(known, 2.0).endswith("; 2 lies outside") and usable(known, -1.0).endswith(
        "; -1 lies outside"
    )
