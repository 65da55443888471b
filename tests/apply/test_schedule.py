"""Schedules: factors by step, counted as a pipeline runs, refused where there are no steps."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from toys.pipelines import draw, sd1

from lineas.apply.hooks import steer
from lineas.apply.schedule import Schedule, ScheduledRegion
from lineas.errors import ConfigError
from lineas.maps.shift import ShiftMap
from lineas.steering.site import Site
from lineas.steering.steering import Steering


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0:1", [1, 1, 1, 1]),
        ("0:0.5", [1, 1, 0, 0]),
        ("0.25:0.75", [0, 1, 1, 0]),
        ("1,0", [1, 2 / 3, 1 / 3, 0]),
        ("0,1,0", [0, 2 / 3, 2 / 3, 0]),
        ("0.5", [0.5] * 4),
    ],
)
def test_factors_by_step(text: str, expected: list[float]) -> None:
    schedule = Schedule.parse(text)
    assert [schedule.factor(step, 4) for step in range(4)] == pytest.approx(expected)


@pytest.mark.parametrize("text", ["", "a", "0:2", "0.5:0.5", "1:0", "0:0.5:1", "nan,1", "inf"])
def test_what_is_no_schedule_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        Schedule.parse(text)


def shifted(name: str = "unet.conv_norm_out", axis: int = 1, width: int = 32) -> Steering:
    return Steering({Site(name, 0, axis): ShiftMap(torch.ones(width))})


def test_it_follows_the_steps_of_a_pipeline_in_every_run(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe, factors = sd1(), list[float]()
    whole = ScheduledRegion.__call__

    def noted(self: ScheduledRegion, site: Site, z: Any) -> float:
        factors.append(whole(self, site, z))
        return factors[-1]

    monkeypatch.setattr(ScheduledRegion, "__call__", noted)
    width = pipe.unet.conv_norm_out.num_channels
    with steer(pipe, shifted(width=width), schedule="0:0.5"):
        for _ in range(2):
            draw(pipe, num_inference_steps=4)
    assert factors == [1, 1, 0, 0] * 2


def test_outside_of_its_steps_nothing_changes_and_all_of_them_are_the_plain_steering() -> None:
    pipe = sd1()
    steering = shifted(width=pipe.unet.conv_norm_out.num_channels)
    plain = draw(pipe, num_inference_steps=2)
    with steer(pipe, steering):
        steered = draw(pipe, num_inference_steps=2)
    with steer(pipe, steering, schedule="0:1"):
        assert torch.equal(draw(pipe, num_inference_steps=2), steered)
    with steer(pipe, steering, schedule="0,0"):
        assert torch.equal(draw(pipe, num_inference_steps=2), plain)
    with steer(pipe, steering, schedule="0.5:1"):
        late = draw(pipe, num_inference_steps=2)
    assert not torch.equal(late, steered) and not torch.equal(late, plain)


def test_text_encoders_and_models_without_steps_are_refused() -> None:
    pipe = sd1()
    layer = "text_encoder.text_model.final_layer_norm"
    text = shifted(layer, -1, pipe.text_encoder.config.hidden_size)
    with pytest.raises(ConfigError, match="run before the denoising"):
        steer(pipe, text, schedule="0:0.5")
    with pytest.raises(ConfigError, match="needs a diffusers pipeline"):
        steer(pipe.unet, shifted("conv_norm_out"), schedule="0:0.5")
