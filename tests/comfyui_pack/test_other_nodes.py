"""Steerings beside nodes that change how a model runs: compiled, in areas and tiles, merged and saved."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from comfyui_pack import tiny
from comfyui_pack.test_every_architecture import applied, steering_at
from comfyui_pack.tiny import StandInClip

from lineas.errors import MismatchError

pytestmark = pytest.mark.usefixtures("comfyui")
PATTERN = "comfy.joint_blocks.*x_block.attn.proj"


@pytest.fixture(scope="module")
def sd3(comfyui: Any) -> Any:
    return tiny.sd3()


def sampled(model: Any, steps: int = 2, size: tuple[int, int] = (8, 8), **area: Any) -> torch.Tensor:
    """The latents [1, c, h, w] of the stock sampler. area: options of the positive conditioning."""
    import comfy.sample

    (cross, extras), clip = StandInClip().encode_from_tokens_scheduled("abc")[0], StandInClip()
    negative = clip.encode_from_tokens_scheduled("another")
    latents = torch.zeros(1, 16, *size)
    with torch.inference_mode():
        noise = comfy.sample.prepare_noise(latents, 0)
        return comfy.sample.sample(
            *(model, noise, steps, 2.0, "euler", "simple", [[cross, {**extras, **area}]], negative, latents),
            seed=0,
        )


def compiled(model: Any) -> Any:
    """What the stock node does, on one block and with a backend that needs no compiler."""
    from comfy_api.torch_helpers import set_torch_compile_wrapper
    from comfy_extras import nodes_torch_compile

    patched, filtered = model.clone(), getattr(nodes_torch_compile, "skip_torch_compile_dict", None)
    options = {"guard_filter_fn": filtered} if filtered else None  # not in 0.3.64
    keys = ["diffusion_model.joint_blocks.1"]
    set_torch_compile_wrapper(patched, backend="eager", options=options, keys=keys)
    return patched


@pytest.mark.parametrize("before", [True, False])
def test_hooks_act_on_a_compiled_model(sd3: Any, before: bool) -> None:
    torch.compiler.reset()
    steering, placement = steering_at(sd3, PATTERN), {"start_percent": 0.5}
    # Compiled code is made in the first step, where the steering does not act yet.
    model = (
        applied(compiled(sd3), steering, **placement)
        if before
        else compiled(applied(sd3, steering, **placement))
    )
    expected = sampled(applied(sd3, steering, **placement))
    torch.testing.assert_close(sampled(model), expected, rtol=1e-4, atol=1e-5)
    assert (sampled(sd3) - expected).abs().max() > 1e-3
    torch.compiler.reset()


def left_and_right(model: Any, steered: Any, **options: Any) -> tuple[float, float]:
    """How far a steering moves the left and the right half of an image of 8 × 16."""
    change = (sampled(steered, 1, (8, 16), **options) - sampled(model, 1, (8, 16), **options)).abs()
    return float(change[..., :8].max()), float(change[..., 8:].max())


def test_a_mask_is_cropped_as_a_conditioning_area_is(sd3: Any) -> None:
    # SD3's tokens attend to each other, so the sites are those of the last block, behind its attention.
    steering = steering_at(sd3, "comfy.joint_blocks.1.x_block.attn.proj")
    mask = torch.zeros(1, 64, 128)
    mask[..., :48] = 1  # resizing smooths its edge
    steered = applied(sd3, steering, mask=mask)
    left, right = left_and_right(sd3, steered)
    assert left > 1e-3 and right < 1e-5
    area_right, area_left = (8, 8, 0, 8), (8, 8, 0, 0)  # height, width, top, left
    only_prompt = applied(sd3, steering, mask=mask, apply_to="cond")
    assert max(left_and_right(sd3, only_prompt, area=area_right)) < 1e-5
    assert left_and_right(sd3, only_prompt, area=area_left)[0] > 1e-3


def tiles(apply_model: Any, given: dict[str, Any]) -> torch.Tensor:
    """What packs for large images do: both halves in one batch, cut out of the latent."""
    x, sigma, conditions = given["input"], given["timestep"], given["c"]
    parts = torch.cat([x[..., :8], x[..., 8:]])
    double = {k: torch.cat([v, v]) if isinstance(v, torch.Tensor) else v for k, v in conditions.items()}
    left, right = apply_model(parts, torch.cat([sigma, sigma]), **double).chunk(2)
    return torch.cat([left, right], -1)


def test_a_mask_is_cropped_as_tiles_are(sd3: Any) -> None:
    steering = steering_at(sd3, "comfy.joint_blocks.1.x_block.attn.proj")
    mask = torch.zeros(1, 64, 128)
    mask[..., :48] = 1  # resizing smooths its edge
    tiled = sd3.clone()
    tiled.set_model_unet_function_wrapper(tiles)
    left, right = left_and_right(tiled, applied(tiled, steering, mask=mask))
    assert left > 1e-3 and right < 1e-5


def test_a_mask_over_something_else_is_refused(sd3: Any) -> None:
    shrunk = sd3.clone()
    shrunk.set_model_unet_function_wrapper(
        lambda apply_model, given: apply_model(
            torch.nn.functional.interpolate(given["input"], scale_factor=0.5), given["timestep"], **given["c"]
        )
    )
    steered = applied(shrunk, steering_at(sd3, PATTERN), mask=torch.ones(1, 8, 8))
    with pytest.raises(MismatchError, match="no part of the 8 × 8"):
        sampled(steered, 1)


def test_crops_are_found_by_their_values(comfyui: Any) -> None:
    from comfyui_lineas.apply.image_part import places_of

    random = torch.Generator().manual_seed(0)
    whole = torch.randn(2, 4, 3, 10, 12, generator=random)  # images and video alike
    parts = torch.stack([whole[1, ..., 2:7, 5:9], whole[0, ..., 0:5, 8:12], whole[1, ..., 5:10, 0:4]])
    assert places_of(parts, whole) == [(1, 2, 5), (0, 0, 8), (1, 5, 0)]
    assert places_of(parts[:, :, 0], whole[:, :, 0]) == [(1, 2, 5), (0, 0, 8), (1, 5, 0)]
    for wrong in (parts + 1, torch.randn(1, 4, 3, 11, 4, generator=random), parts[:, :3]):
        with pytest.raises(MismatchError, match="no part of"):
            places_of(wrong, whole)


@pytest.mark.parametrize("method", ["hooks", "weights"])
def test_merging_and_saving_tell_of_a_steering_that_stays_behind(
    sd3: Any, told: Any, running: Any, method: str, tmp_path: Any
) -> None:
    import comfy.sd
    from comfy_extras.nodes_model_merging import ModelMergeSimple

    steering = steering_at(sd3, PATTERN, shifts=True)
    steered = applied(sd3, steering, method=method).clone()  # as behind a LoRA loader
    with running("merge"):
        merged = ModelMergeSimple().merge(sd3, steered, 0.0)[0]
    with running("save"):
        comfy.sd.save_checkpoint(str(tmp_path / "saved.safetensors"), steered)
    assert [node for _, node in told] == (["merge", "save"] if method == "hooks" else [])
    assert all("acts by hooks" in text for text, _ in told)
    if method == "weights":
        torch.testing.assert_close(sampled(merged), sampled(steered), rtol=1e-4, atol=1e-4)


def test_a_warning_goes_when_it_no_longer_holds(sd3: Any, told: Any, running: Any) -> None:
    with running("7"):
        steered = applied(sd3, steering_at(sd3, PATTERN), start_percent=0.5)
    sampled(steered, 1)
    assert "did not act" in told[-1][0]
    sampled(steered, 4)
    assert told[-1] == ("", "7")


def test_drawing_with_hooks_is_no_saving(sd3: Any, told: Any, running: Any) -> None:
    with running("sampler"):
        sampled(applied(sd3, steering_at(sd3, PATTERN), method="hooks"))
    assert told == []
