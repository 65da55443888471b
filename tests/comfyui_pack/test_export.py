"""Export as LoRA: the stock loader gives the image of Apply Steering."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from lineas.errors import ConfigError, ExportError, MismatchError
from lineas.steering.steering import Steering

pytestmark = pytest.mark.usefixtures("comfyui", "unchanged")


def exported(scenes: Any, steering: Any, name: str, model: Any = None, **options: Any) -> Any:
    from comfyui_lineas.apply.lora import export_lora

    with torch.inference_mode():
        return export_lora(model or scenes.model, scenes.clip, steering, name, **options)


def with_lora(scenes: Any, file: Any, strength: float) -> Any:
    import comfy.sd
    import comfy.utils

    lora = comfy.utils.load_torch_file(str(file), safe_load=True)
    return comfy.sd.load_lora_for_models(scenes.model, scenes.clip, lora, strength, strength)


@pytest.mark.parametrize(("precision", "limit"), [("float32", 0.1), ("float16", 2.0)])
def test_the_stock_loader_draws_what_apply_draws(
    scenes: Any, comfyui: Any, draw: Any, steering_for: Any, precision: str, limit: float
) -> None:
    from comfyui_lineas.apply.steering import apply_steering

    steering = steering_for()
    file = comfyui.output / "loras" / exported(scenes, steering, precision, precision=precision).name
    for strength in (0, 0.5, 1, -1):
        applied = draw(apply_steering(scenes.model, None, steering, strength)[0])
        difference = (draw(with_lora(scenes, file, strength)[0]) - applied).abs().max()
        assert difference <= limit / 255, (strength, float(difference))


def test_it_is_exact_while_other_patches_are_loaded(
    scenes: Any, comfyui: Any, draw: Any, steering_for: Any
) -> None:
    from comfyui_lineas.apply.steering import apply_steering

    steering = steering_for()
    draw(apply_steering(scenes.model, None, steering_for(seed=9), 1.0)[0])  # its weights are in memory now
    file = comfyui.output / "loras" / exported(scenes, steering, "clean", precision="float32").name
    applied = draw(apply_steering(scenes.model, None, steering, 1.0)[0])
    assert (draw(with_lora(scenes, file, 1.0)[0]) - applied).abs().max() < 0.1 / 255


def test_layers_of_the_text_encoder_are_exported(
    scenes: Any, comfyui: Any, draw: Any, steering_for: Any
) -> None:
    from comfyui_lineas.apply.steering import apply_steering

    steering = steering_for("text_encoder*mlp.fc2")
    file = comfyui.output / "loras" / exported(scenes, steering, "text", precision="float32").name
    _, applied = apply_steering(scenes.model, scenes.clip, steering, 1.0)
    assert (draw(None, with_lora(scenes, file, 1.0)[1]) - draw(None, applied)).abs().max() < 0.1 / 255
    assert (draw(None, applied) - draw()).abs().max() > 1 / 255


def test_sites_that_the_format_cannot_hold(scenes: Any, steering_for: Any) -> None:
    both = steering_for("unet.conv_norm_out").compose(steering_for("text_encoder*norm*"), "sum")
    with pytest.raises(ExportError, match="text_encoder"):
        exported(scenes, both, "refused")
    assert "left out: text_encoder" in exported(scenes, both, "partly", skip_unsupported=True).message


def test_a_steered_model_is_not_exported_from(scenes: Any, steering_for: Any) -> None:
    from comfyui_lineas.apply.steering import apply_steering

    steering = steering_for()
    model, _ = apply_steering(scenes.model, None, steering, 1.0)
    with pytest.raises(ConfigError, match="steered already"):
        exported(scenes, steering, "twice", model=model)


def test_another_model_and_bad_names_are_refused(scenes: Any, steering_for: Any) -> None:
    steering = steering_for("unet.conv_norm_out")
    with pytest.raises(ConfigError, match="leads out"):
        exported(scenes, steering, "../x")
    from lineas.maps.affine import AffineMap
    from lineas.steering.site import Site

    other = Steering({Site("unet.nowhere"): AffineMap(torch.ones(4), torch.ones(4))})
    with pytest.raises(MismatchError, match="the connected model is lineas/scenes"):
        exported(scenes, other, "other")
