"""How pipelines are called, and what those say that cannot be trained with prompts alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from PIL import Image
from toys.every_pipeline import COVERED, pipeline
from toys.pipelines import SOURCE, TARGET, diffusers, draw, sd1

from lineas import fit, steer
from lineas.adapters.images.calling import call_arguments
from lineas.adapters.images.drawing import Drawer
from lineas.adapters.images.recipes import Recipe
from lineas.errors import MismatchError
from lineas.steering.steering import Steering

ONE = Recipe("one")


@pytest.fixture(scope="module")
def pipe() -> Any:
    return sd1()


@pytest.fixture(scope="module")
def steering(pipe: Any) -> Steering:
    return fit(pipe, SOURCE, TARGET, recipe=ONE, steps=4, learning_rate=0.02, sites="resnets")


def control(pipe: Any) -> Any:
    torch.manual_seed(0)
    network = diffusers.ControlNetModel(
        block_out_channels=(16, 32), layers_per_block=1, in_channels=4, norm_num_groups=4,
        attention_head_dim=4, down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        cross_attention_dim=16, conditioning_embedding_out_channels=(8, 16),
    )  # fmt: skip
    parts = {**pipe.components, "controlnet": network, "requires_safety_checker": False}
    made = diffusers.StableDiffusionControlNetPipeline(**parts)
    made.set_progress_bar_config(disable=True)
    return made


def of_class(kind: str, pipe: Any) -> Any:
    made = getattr(diffusers, kind)(**pipe.components, requires_safety_checker=False)
    made.set_progress_bar_config(disable=True)
    return made


@pytest.mark.parametrize(
    ("kind", "lacks"),
    [
        ("StableDiffusionImg2ImgPipeline", "image"),
        ("StableDiffusionInpaintPipeline", "mask_image"),
        ("StableDiffusionControlNetPipeline", "image"),
    ],
)
def test_a_pipeline_that_needs_a_picture_says_so(kind: str, lacks: str, pipe: Any) -> None:
    made = control(pipe) if "ControlNet" in kind else of_class(kind, pipe)
    with pytest.raises(MismatchError, match=rf"{kind} fails with the recipe one.*can take .*{lacks}"):
        fit(made, SOURCE, TARGET, recipe=ONE, steps=1)


def test_a_pipeline_that_takes_one_prompt_at_a_time_says_so() -> None:
    entry = COVERED["PRXPipeline"]
    recipe = Recipe("guided", guidance=3.0, arguments=entry.arguments)
    with pytest.raises(MismatchError, match=r"PRXPipeline fails with the recipe guided on 3 prompts at once"):
        fit(pipeline("PRXPipeline"), SOURCE, TARGET, recipe=recipe, steps=1)


def test_a_steering_serves_pipelines_that_need_a_picture(pipe: Any, steering: Steering) -> None:
    picture = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    made = of_class("StableDiffusionImg2ImgPipeline", pipe)
    options = {"image": picture, "strength": 1.0, "num_inference_steps": 2}
    base = draw(made, SOURCE[:1], **options)
    with steer(made, steering):
        assert not torch.equal(draw(made, SOURCE[:1], **options), base)
    assert torch.equal(draw(made, SOURCE[:1], **options), base)


def test_a_picture_among_the_arguments_makes_a_fit_possible(pipe: Any) -> None:
    picture = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    recipe = Recipe("controlled", arguments={"image": picture, "height": 16, "width": 16})
    fitted = fit(control(pipe), SOURCE, TARGET, recipe=recipe, steps=3, sites="resnets", learning_rate=0.01)
    made = fitted.provenance.settings
    assert 0 < made["cost"] < made["cost_at_start"]
    assert all(str(site).startswith("unet.") for site in fitted.sites)


def test_a_pipeline_with_an_ip_adapter_says_what_it_lacks() -> None:
    made = sd1()
    made.unet.config.encoder_hid_dim_type = "ip_image_proj"
    made.unet.register_to_config(encoder_hid_dim_type="ip_image_proj")
    made.unet.encoder_hid_proj = torch.nn.Identity()
    with pytest.raises(MismatchError, match="ip_adapter_image"):
        fit(made, SOURCE, TARGET, recipe=ONE, steps=1)


def test_a_model_loaded_in_inference_mode_says_so() -> None:
    with torch.inference_mode():
        made = sd1()
    with pytest.raises(MismatchError, match=r"made in torch.inference_mode"):
        fit(made, SOURCE, TARGET, recipe=ONE, steps=1)


def test_a_steering_works_on_weights_that_are_cast_between_forwards(steering: Steering) -> None:
    made = sd1()
    made.unet.enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn, compute_dtype=torch.float32)
    base = draw(made)
    with steer(made, steering):
        assert not torch.equal(draw(made), base)
    assert torch.equal(draw(made), base)


@pytest.mark.parametrize(
    ("name", "guidance", "expected"),
    [
        ("StableDiffusionPipeline", 0.0, {"guidance_scale": 0.0}),
        ("PRXPipeline", 0.0, {"guidance_scale": 1.0}),  # refuses less
        ("OmniGenPipeline", 0.0, {"guidance_scale": 1.0}),  # 0 draws without the prompt
        ("Ideogram4Pipeline", 0.0, {"guidance_scale": 1.0, "guidance_schedule": None}),
        ("HunyuanImagePipeline", 1.0, {}),  # has a guider instead
        ("QwenImage21Pipeline", 0.0, {}),
    ],
)
def test_no_guidance_is_asked_for_as_a_pipeline_takes_it(
    name: str, guidance: float, expected: dict[str, Any]
) -> None:
    given = call_arguments(pipeline(name), Recipe("one", guidance=guidance))
    assert given == {"num_inference_steps": 1, **expected}


def test_guidance_that_a_pipeline_does_not_take_is_refused() -> None:
    with pytest.raises(MismatchError, match=r"is not called with guidance_scale"):
        fit(pipeline("HunyuanImagePipeline"), SOURCE, TARGET, recipe=Recipe("guided", guidance=3.0))


def test_one_negative_prompt_serves_all_prompts(pipe: Any) -> None:
    given = call_arguments(pipe, Recipe("one", arguments={"negative_prompt": "road"}), 3)
    assert given["negative_prompt"] == ["road"] * 3


@pytest.mark.parametrize("name", ["Kandinsky5T2IPipeline", "WanPipeline", "ErnieImagePipeline"])
def test_every_output_is_drawn_as_images(name: str) -> None:
    recipe = Recipe("one", guidance=COVERED[name].guidance, arguments=COVERED[name].arguments)
    images = Drawer(pipeline(name), recipe=recipe)(SOURCE[:2])
    assert all(isinstance(image, Image.Image) for image in images) and len(images) == 2
