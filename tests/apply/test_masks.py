"""Regions: some tokens, or the part of an image under a mask, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from toys.models import affine, noise, steering_for, toy_unet

from lineas.apply.hooks import steer
from lineas.errors import MismatchError
from lineas.modules.names import find_sites
from lineas.steering.site import Site
from lineas.steering.steering import Steering

TOKENS = nn.ModuleDict({"norm": nn.LayerNorm(4)})
ON_TOKENS = Steering({Site("norm"): affine(4)})


@pytest.mark.parametrize("where", ["last", lambda site, z: torch.arange(z.shape[1]).view(1, -1, 1) == 2])
def test_the_last_token_alone(where: Any) -> None:
    x = noise(2, 3, 4)
    plain = TOKENS["norm"](x)
    with steer(TOKENS, ON_TOKENS, 0.5, where=where):
        got = TOKENS["norm"](x)
    assert torch.equal(got[:, :-1], plain[:, :-1])
    assert torch.allclose(got[:, -1], affine(4)(plain, 0.5)[:, -1])


def test_generated_tokens_alone() -> None:
    prompt, token = noise(2, 3, 4), noise(2, 1, 4)
    with steer(TOKENS, ON_TOKENS, where="generated"):
        assert torch.equal(TOKENS["norm"](prompt), nn.functional.layer_norm(prompt, (4,)))
        assert torch.allclose(TOKENS["norm"](token), affine(4)(nn.functional.layer_norm(token, (4,))))


def test_token_places_are_refused_where_there_are_no_tokens() -> None:
    unet = toy_unet()
    steering = Steering({Site("conv_norm_out", 0, 1): affine(4)})
    with steer(unet, steering, where="last"), pytest.raises(MismatchError, match="not a token sequence"):
        unet(noise(1, 4, 4, 4))


@pytest.mark.parametrize(("height", "width"), [(4, 6), (2, 3), (8, 12), (3, 5)])
def test_a_mask_steers_its_part_of_images_and_of_their_tokens(height: int, width: int) -> None:
    mask = torch.zeros(4, 6)
    mask[:, :3] = 1
    model = nn.ModuleDict({"pixels": nn.GroupNorm(1, 4), "tokens": nn.LayerNorm(4)})
    steering = Steering({Site("pixels", 0, 1): affine(4), Site("tokens"): affine(4)})
    x = noise(2, 4, height, width)
    tokens = x.flatten(2).transpose(1, 2)
    plain = model["pixels"](x), model["tokens"](tokens)
    with steer(model, steering, mask=mask):
        got = model["pixels"](x), model["tokens"](tokens)
    far = width // 2 + 1
    assert torch.equal(got[0][..., far:], plain[0][..., far:])
    assert torch.allclose(got[0][..., 0], affine(4)(plain[0], axis=1)[..., 0])
    images = [t.transpose(1, 2).unflatten(2, (height, width)) for t in (got[1], plain[1])]
    assert torch.equal(images[0][..., far:], images[1][..., far:])
    torch.testing.assert_close(images[0][..., 0], affine(4)(images[1], axis=1)[..., 0])


def test_a_full_mask_is_no_mask_and_masks_follow_the_batch() -> None:
    unet, x = toy_unet(), noise(4, 4, 4, 4)
    steering = steering_for(unet, find_sites({"": unet}, "*norm*"))
    plain = unet(x)
    with steer(unet, steering):
        steered = unet(x)
    with steer(unet, steering, mask=torch.ones(8, 8)):
        torch.testing.assert_close(unet(x), steered)
    with steer(unet, steering, mask=torch.tensor([1.0, 0.0]).view(2, 1, 1, 1).expand(2, 1, 4, 4)):
        torch.testing.assert_close(unet(x)[:2], steered[:2])  # two images of each prompt, one after the other
        assert torch.equal(unet(x)[2:], plain[2:])
        with pytest.raises(MismatchError, match="2 masks do not fit a batch of 3"):
            unet(x[:3])


def test_a_mask_is_laid_over_video_and_refused_on_text() -> None:
    model = nn.ModuleDict({"video": nn.GroupNorm(1, 4), "text": nn.LayerNorm(4)})
    steering = Steering({Site("video", 0, 1): affine(4), Site("text"): affine(4)})
    half = torch.tensor([[1.0, 0.0]]).expand(2, 2)
    x = noise(1, 4, 3, 4, 4)
    plain = model["video"](x)
    with steer(model, steering, mask=half):
        assert torch.equal(model["video"](x)[..., 3], plain[..., 3])
        assert not torch.equal(model["video"](x)[..., 0], plain[..., 0])
        with pytest.raises(MismatchError, match="not an image"):
            model["text"](noise(1, 77, 4))


class _Denoiser(nn.Module):
    """Images [b, 4, h, w] -> tokens [b, h·w/4, 4], normalised; beside them 77 tokens of text."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.text = nn.LayerNorm(4), nn.LayerNorm(4)

    def forward(self, sample: torch.Tensor, text: torch.Tensor | None = None) -> Any:
        tokens = self.tokens(sample[..., ::2, ::2].flatten(2).transpose(1, 2))
        return tokens if text is None else self.text(text)


def test_a_row_for_a_prompt_serves_all_its_images_in_both_halves_of_guidance() -> None:
    model, images = _Denoiser(), noise(4, 4, 4, 6)  # two images of two prompts: a0, a1, b0, b1
    x = torch.cat([images, images])
    mask = torch.stack([torch.ones(4, 6), torch.zeros(4, 6)])
    plain = model(x)
    with steer({"unet": model}, Steering({Site("unet.tokens"): affine(4)}), mask=mask):
        changed = (model(x) != plain).flatten(1).any(1)
        assert changed.tolist() == [True, True, False, False] * 2
        alone = (model(images) != plain[:4]).flatten(1).any(1)
        assert alone.tolist() == [True, True, False, False]


def test_the_grid_is_that_of_the_denoisers_input() -> None:
    model, x = _Denoiser(), noise(1, 4, 16, 24)
    mask = torch.zeros(2, 3)
    mask[:, 0] = 1
    steering = Steering({Site("unet.tokens"): affine(4), Site("unet.text"): affine(4)})
    plain = model(x)
    with steer({"unet": model}, steering, mask=mask):
        got = model(x).unflatten(1, (8, 12))
        assert torch.equal(got[:, :, 6:], plain.unflatten(1, (8, 12))[:, :, 6:])
        assert not torch.equal(got[:, :, :2], plain.unflatten(1, (8, 12))[:, :, :2])
        with pytest.raises(MismatchError, match="not an image"):
            model(x, noise(1, 77, 4))  # 77 is nearly 7 by 11, which is nearly 2 to 3


def test_sites_of_a_text_encoder_are_refused_whatever_the_aspect() -> None:
    encoder = nn.ModuleDict({"norm": nn.LayerNorm(4)})
    steering = Steering({Site("text_encoder.norm"): affine(4)})
    handle = steer({"text_encoder": encoder}, steering, mask=torch.ones(7, 11))
    with handle, pytest.raises(MismatchError, match="not an image"):
        encoder["norm"](noise(1, 77, 4))


@pytest.mark.parametrize("mask", [torch.full((2, 2), 255, dtype=torch.uint8), torch.tensor([[-0.1, 1.0]]),
                                  torch.tensor([[float("nan"), 1.0]])], ids=str)  # fmt: skip
def test_values_outside_0_and_1_are_refused(mask: torch.Tensor) -> None:
    with pytest.raises(MismatchError, match="Divide a mask of 0 to 255 by 255"):
        steer(TOKENS, ON_TOKENS, mask=mask)


def test_an_array_is_a_mask() -> None:
    unet, x = toy_unet(), noise(1, 4, 4, 4)
    steering = steering_for(unet, find_sites({"": unet}, "*norm*"))
    with steer(unet, steering, mask=torch.ones(8, 8).numpy()):
        whole = unet(x)
    with steer(unet, steering):
        torch.testing.assert_close(unet(x), whole)
