"""One step of the joint polish reaches text encoder, UNet or transformer, encoder and decoder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("diffusers")
pytest.importorskip("open_clip")

from lineas.scenes.grammar import prompt, random_scene
from lineas.scenes.render import render
from tools.scenes_model import together
from tools.scenes_model.perception import ClipFeatures, contour_error
from tools.scenes_model.text import build_tokenizer
from tools.scenes_transformer import together as flow


def unet(folder: Path) -> tuple[together.Whole, str]:
    return together.begin(None, None, build_tokenizer(folder)), "unet.conv_in"


def transformer(folder: Path) -> tuple[together.Whole, str]:
    return flow.begin(None, None), "transformer.all_x_embedder"


@pytest.mark.parametrize("begin", [unet, transformer])
def test_every_part_learns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begin: Callable) -> None:
    monkeypatch.setattr(together, "DRAWN", 2)
    monkeypatch.setattr(together, "ENCODED", 1)
    rng = np.random.default_rng(0)
    scenes, u = [random_scene(rng) for _ in range(6)], rng.random((6, 12))
    images = np.stack([render(scene, row) for scene, row in zip(scenes, u, strict=True)])
    texts = [prompt(scene, rng) for scene in scenes]
    monkeypatch.setattr(together, "read_shard", lambda path: (images, u, texts, scenes))
    (tmp_path / "0000000.npz").touch()
    model, first = begin(tmp_path / "tokenizer")
    batch = next(together.batches(tmp_path, seed=0))
    parts = together.loss(model, ClipFeatures(), batch, torch.Generator().manual_seed(0))
    sum(parts.values()).backward()
    assert all(value.isfinite() for value in parts.values())
    for part in (
        model.denoiser.get_submodule(first),
        model.denoiser.text_encoder,
        model.autoencoder.encoder,
        model.autoencoder.decoder,
    ):
        assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in part.parameters())


def test_faint_contours_count_as_much_as_bright_ones() -> None:
    torch.manual_seed(0)
    image = torch.rand(1, 3, 32, 32)
    blurred = torch.nn.functional.avg_pool2d(image, 3, stride=1, padding=1)
    faint = contour_error(0.5 * blurred, 0.5 * image).mean()
    assert torch.isclose(faint, contour_error(blurred, image).mean(), rtol=0.1)
