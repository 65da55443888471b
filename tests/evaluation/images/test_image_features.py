from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from lineas.errors import HubError, MismatchError
from lineas.evaluation.images.image_features import ImageFeatures
from lineas.evaluation.images.image_measures import detected_measures, image_measures
from lineas.evaluation.rates import joint_rate
from lineas.evaluation.sweep import sweep_strengths

transformers = pytest.importorskip("transformers")


def noise(seed: int, count: int = 3) -> list[Image.Image]:
    pixels = np.random.default_rng(seed).integers(0, 256, (count, 28, 28, 3), dtype=np.uint8)
    return [Image.fromarray(each) for each in pixels]


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> ImageFeatures:
    """A tiny DINOv2 with random weights, loaded by the name of its folder."""
    folder = tmp_path_factory.mktemp("dino")
    torch.manual_seed(0)
    config = transformers.Dinov2Config(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=28, patch_size=14
    )
    transformers.Dinov2Model(config).save_pretrained(folder)
    transformers.BitImageProcessor(
        size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28}
    ).save_pretrained(folder)
    return ImageFeatures.load(str(folder), batch=2)


def test_equal_images_score_1_and_others_less_whatever_the_batch(features: ImageFeatures) -> None:
    one, other = noise(0), noise(1)
    torch.testing.assert_close(features.image_image(one, one), torch.ones(3))
    assert (features.image_image(one, other) < 1 - 1e-4).all()
    alone = torch.cat([features.encode([image]) for image in one])
    torch.testing.assert_close(features.encode(one), alone, rtol=1e-4, atol=1e-5)
    with pytest.raises(MismatchError):
        features.image_image(one, other[:2])
    with pytest.raises(HubError, match="Cannot load the image encoder"):
        ImageFeatures.load("/nowhere/at-all")


def test_measures_fit_a_sweep(features: ImageFeatures) -> None:
    concept = ("time", "night")
    seen = {0.0: [{concept, ("object", "cat")}] * 3, 1.0: [{("object", "cat")}, {concept}, set()]}
    pictures = {level: noise(int(level)) for level in seen}

    def detect(images: object) -> object:
        return next(seen[level] for level, each in pictures.items() if each is images)

    measures = image_measures(["a"] * 3, features=features) | detected_measures(detect, concept)  # type: ignore[arg-type]
    sweep = sweep_strengths(lambda level: pictures[level], (0.0, 1.0), measures)
    assert sweep.values("found") == (1.0, pytest.approx(1 / 3))
    assert sweep.values("erased") == (0.0, pytest.approx(2 / 3))
    assert sweep.values("rest kept") == (1.0, pytest.approx(1 / 3))
    assert sweep.values("IMGScore")[0] == pytest.approx(1)


def test_a_joint_rate_wants_both() -> None:
    assert str(joint_rate([True, True, False], [True, False, False])).startswith("33.3%")
    with pytest.raises(MismatchError):
        joint_rate([True], [])
