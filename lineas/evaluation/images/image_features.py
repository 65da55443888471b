"""IMGScore with any image encoder of transformers, by name; the paper's is DINOv2-small."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import cosine_similarity

from lineas.errors import HubError, MismatchError, require

DINO = "facebook/dinov2-small"


class ImageFeatures:
    """Cosines between images in the space of an image encoder: its [CLS] vector, or the mean of its patches.

    model: of transformers. processor: its image processor. `ImageFeatures.load` makes both.
    batch: images per forward pass; lower it when memory runs out.
    """

    def __init__(self, model: Any, processor: Any, *, batch: int = 32) -> None:
        self.model, self.processor, self.batch = model.eval(), processor, batch

    @classmethod
    def load(cls, name: str = DINO, *, device: str | torch.device = "cpu", batch: int = 32) -> ImageFeatures:
        """Load by hub name or folder. Raises `HubError` when there is none, `MissingExtraError`."""
        transformers = require("transformers", "transformers")
        try:
            model = transformers.AutoModel.from_pretrained(name)
            processor = transformers.AutoImageProcessor.from_pretrained(name)
        except (OSError, ValueError) as error:
            raise HubError(
                f"Cannot load the image encoder {name!r} ({str(error).strip().partition(chr(10))[0]}). Check "
                "the name and the connection, or give the folder of a downloaded model."
            ) from error
        return cls(model.to(device), processor, batch=batch)

    @torch.no_grad()
    def encode(self, images: Sequence[Image.Image]) -> Tensor:
        """[n, e] float32 features of n images, on the CPU. Raises `MismatchError` without images."""
        if not images:
            raise MismatchError("Nothing to score: got 0 images, expected at least 1.")
        device = next(self.model.parameters()).device
        parts = []
        for start in range(0, len(images), self.batch):
            part = [image.convert("RGB") for image in images[start : start + self.batch]]
            out = self.model(**self.processor(images=part, return_tensors="pt").to(device))
            pooled = getattr(out, "pooler_output", None)
            parts.append((out.last_hidden_state.mean(1) if pooled is None else pooled).float().cpu())
        return torch.cat(parts)

    def image_image(self, images: Sequence[Image.Image], reference: Sequence[Image.Image]) -> Tensor:
        """[n] cosine of image i and reference image i in −1 … 1; 1 for equal images.

        IMGScore of LinEAS (arXiv 2503.10679): of the steered and the unsteered image of the same prompt and
        seed. Raises `MismatchError` for unlike numbers of images.
        """
        if len(images) != len(reference):
            raise MismatchError(
                f"Image i is scored with reference image i, got {len(images)} and {len(reference)}. "
                "Pass as many of one as of the other."
            )
        return cosine_similarity(self.encode(images), self.encode(reference))
