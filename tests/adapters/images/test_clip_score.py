from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

from lineas.adapters.images.clip_score import ClipScore
from lineas.errors import MismatchError, MissingExtraError

open_clip = pytest.importorskip("open_clip")
VISION = {"layers": 1, "width": 32, "head_width": 16, "patch_size": 8, "image_size": 32}
TEXT = {"context_length": 12, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}
CONFIG = {"embed_dim": 16, "vision_cfg": VISION, "text_cfg": TEXT}
TEXTS = ["a clock", "a house at night", "two robots"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random CLIP in open_clip's folder layout, made without a download."""
    from safetensors.torch import save_file

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("clip")
    save_file(open_clip.model.CLIP(**CONFIG).state_dict(), path / "open_clip_model.safetensors")
    (path / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": CONFIG, "preprocess_cfg": {"size": 32}})
    )
    return path


@pytest.fixture(scope="module")
def score(folder: Path) -> ClipScore:
    return ClipScore.load(folder, batch=2)


@pytest.fixture(scope="module")
def images() -> list[Image.Image]:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (3, 40, 48, 3), generator=generator, dtype=torch.uint8)
    return [Image.fromarray(one.numpy()) for one in pixels]


def cosine(a: Tensor, b: Tensor) -> Tensor:
    return torch.stack([x @ y / (x.norm() * y.norm()) for x, y in zip(a, b, strict=True)])


@torch.no_grad()
def test_scores_equal_the_models_own_cosines(score: ClipScore, images: list[Image.Image]) -> None:
    pixels = torch.stack([score.preprocess(image) for image in images])
    seen, read = score.model.encode_image(pixels), score.model.encode_text(score.tokenizer(TEXTS))
    torch.testing.assert_close(score.image_text(images, TEXTS), cosine(seen, read))
    torch.testing.assert_close(score.image_text(images, TEXTS[1]), cosine(seen, read[[1, 1, 1]]))
    torch.testing.assert_close(score.image_image(images, images[::-1]), cosine(seen, seen.flip(0)))


def test_an_image_is_most_like_itself(score: ClipScore, images: list[Image.Image]) -> None:
    torch.testing.assert_close(score.image_image(images, images), torch.ones(3))
    assert score.image_image(images[:1], images[1:2]).item() < 1
    grey = images[0].convert("L")
    torch.testing.assert_close(score.image_image([grey], [grey.convert("RGB")]), torch.ones(1))


def test_a_batch_of_any_size_gives_the_same(
    folder: Path, score: ClipScore, images: list[Image.Image]
) -> None:
    large = ClipScore.load(f"local-dir:{folder}", batch=8)
    torch.testing.assert_close(large.image_text(images, TEXTS), score.image_text(images, TEXTS))


def test_scoring_leaves_no_gradients(score: ClipScore, images: list[Image.Image]) -> None:
    assert not score.image_text(images, TEXTS).requires_grad
    assert not score.model.training


def test_unlike_numbers_are_refused(score: ClipScore, images: list[Image.Image]) -> None:
    for call in (lambda: score.image_text(images, TEXTS[:2]), lambda: score.image_image(images, images[:2])):
        with pytest.raises(MismatchError, match="got 3 and 2"):
            call()
    with pytest.raises(MismatchError, match="at least 1"):
        score.image_text([], [])


def test_without_open_clip_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "open_clip", None)
    with pytest.raises(MissingExtraError, match=r"lineas\[evaluation\]"):
        ClipScore.load("ViT-B-32")
