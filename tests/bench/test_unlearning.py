"""The bundled CLIP under the names of transformers sees and reads what open_clip's does."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmarks.images.unlearning import save_clip
from lineas.adapters.images.clip_score import ClipScore
from lineas.scenes.bundled import CLIP


def test_the_clip_for_the_harness_is_the_bundled_one(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("open_clip")
    save_clip(tmp_path)
    model, ours = transformers.CLIPModel.from_pretrained(tmp_path).eval(), ClipScore.load(CLIP)
    words = transformers.AutoTokenizer.from_pretrained(tmp_path)
    texts = ["a red clock at night", "a cat"]
    with torch.no_grad():
        read = words(texts, padding="max_length", max_length=32, return_tensors="pt")
        mine = model.text_model(**read).pooler_output @ model.text_projection.weight.T
        torch.testing.assert_close(mine, ours.model.encode_text(ours.tokenizer(texts)), rtol=1e-3, atol=1e-4)
        pixels = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
        mine = model.vision_model(pixels).pooler_output @ model.visual_projection.weight.T
        torch.testing.assert_close(mine, ours.model.encode_image(pixels), rtol=1e-3, atol=1e-4)
