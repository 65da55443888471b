"""Settings of one-step models, and sweeps over the strength."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from lineas.errors import MismatchError

pytestmark = pytest.mark.usefixtures("comfyui", "unchanged")


def noisy_input(model: Any, sigma: torch.Tensor) -> torch.Tensor:
    """What the image model would see of pure noise."""
    sampling = model.get_model_object("model_sampling")
    noise = torch.randn(1, 4, 64, 64, generator=torch.Generator().manual_seed(0))
    x = sampling.noise_scaling(sigma[:1], noise.clone(), torch.zeros_like(noise), False)
    return sampling.calculate_input(sigma[:1], x)


@pytest.mark.parametrize(
    ("setting", "timestep", "spread"),
    [("turbo", 999, 1.0), ("dmd2", 399, 1.0), ("hyper-sdxl", 800, 1.0), ("own timestep", 399, 0.758)],
)
def test_the_step_is_taken_where_it_should_be(
    scenes: Any, setting: str, timestep: int, spread: float
) -> None:
    from comfyui_lineas.models.one_step import one_step

    model, sigmas = one_step(scenes.model, setting, 399)
    sampling = scenes.model.get_model_object("model_sampling")
    assert sigmas.shape == (2,) and sigmas[1] == 0
    assert int(sampling.timestep(sigmas[:1])) == timestep
    assert float(noisy_input(model, sigmas).std()) == pytest.approx(spread, abs=0.01)


def test_lightning_predicts_the_image(scenes: Any) -> None:
    import comfy.model_sampling

    from comfyui_lineas.models.one_step import one_step

    class Noise(comfy.model_sampling.ModelSamplingDiscrete, comfy.model_sampling.EPS):
        pass

    model = scenes.model.clone()
    model.add_object_patch("model_sampling", Noise(model.model.model_config))
    patched, sigmas = one_step(model, "lightning x0")
    sampling, output = patched.get_model_object("model_sampling"), torch.ones(1, 4, 2, 2)
    assert torch.equal(sampling.calculate_denoised(sigmas[:1], output, 3 * output), output)
    original = model.get_model_object("model_sampling")
    assert not torch.equal(original.calculate_denoised(sigmas[:1], output, 3 * output), output)


def test_training_takes_the_setting_over(scenes: Any) -> None:
    from comfyui_lineas.models.one_step import one_step, prepared

    model, sigmas = one_step(scenes.model, "dmd2")
    assert torch.equal(prepared(model, "automatic")[1], sigmas)
    full = float(scenes.model.get_model_object("model_sampling").sigma_max)
    assert float(prepared(scenes.model, "automatic")[1][0]) == pytest.approx(full)


def test_the_turbo_setting_draws_what_the_model_draws(scenes: Any, draw: Any) -> None:
    from comfyui_lineas.models.one_step import one_step

    assert torch.equal(draw(one_step(scenes.model, "turbo")[0]), draw())


def test_a_sweep_gives_one_image_per_strength(scenes: Any, draw: Any, steering_for: Any) -> None:
    from comfyui_lineas.apply.steering import apply_steering
    from comfyui_lineas.sweep import sweep_grid, sweep_models

    steering = steering_for()
    models, clips, strengths = sweep_models(scenes.model, None, steering, "-1:1:3")
    assert strengths == [-1.0, 0.0, 1.0] and clips == [None] * 3
    images = [draw(model, batch=2) for model in models]
    assert torch.equal(images[1], draw(batch=2))
    assert torch.equal(images[2], draw(apply_steering(scenes.model, None, steering, 1.0)[0], batch=2))
    sheet = sweep_grid(images, strengths, "a sweep", "first\nsecond")
    assert sheet.ndim == 4 and sheet.shape[1] > 2 * 192 and sheet.shape[2] > 3 * 192
    with pytest.raises(MismatchError, match="3 batches of images for 2 strengths"):
        sweep_grid(images, strengths[:2], "", "")
