"""CLIPScore and an image similarity, measured with any open_clip model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import cosine_similarity, normalize

from lineas.errors import MismatchError, require
from lineas.steering.provenance import public_name

LOCAL = "local-dir:"


class ClipScore:
    """Cosines between images and texts in the space of a CLIP model.

    Takes a model with `encode_image` and `encode_text`, its image transform (PIL image → [3, h, w]) and its
    tokenizer (list of n strings → [n, tokens]); `ClipScore.load` makes all three. The model is set to
    evaluation mode. name: what files say of it.
    """

    def __init__(
        self,
        model: Any,
        preprocess: Callable[[Image.Image], Tensor],
        tokenizer: Callable[[list[str]], Tensor],
        *,
        batch: int = 32,
        name: str = "CLIP",
    ) -> None:
        self.model = model.eval()
        self.preprocess = preprocess
        self.tokenizer = tokenizer
        self.batch, self.name = batch, name

    @classmethod
    def load(
        cls,
        name: str | Path,
        pretrained: str | None = None,
        *,
        device: str | torch.device = "cpu",
        batch: int = 32,
    ) -> ClipScore:
        """Load by an open_clip name, a hub name or a local folder.

        name: an open_clip architecture ("ViT-B-32", with `pretrained`), "hf-hub:owner/name", or a folder with
        `open_clip_config.json` and the weights, written as a path or as "local-dir:path".
        pretrained: the weights' tag or file for an architecture name, such as "laion2b_s34b_b79k".
        batch: images or texts per forward pass; lower it when memory runs out.

        Raises `MissingExtraError`: open_clip is not installed. `FileNotFoundError`, `ValueError`,
        `RuntimeError`: from open_clip, when there is no such model.
        """
        open_clip, called = require("open_clip", "evaluation"), public_name(str(name).removeprefix(LOCAL))
        path = Path(str(name).removeprefix(LOCAL))
        if str(name).startswith(LOCAL) or (path / "open_clip_config.json").is_file():
            name = f"{LOCAL}{path}"
        model, preprocess = open_clip.create_model_from_pretrained(str(name), pretrained, device=device)
        return cls(model, preprocess, open_clip.get_tokenizer(str(name)), batch=batch, name=called)

    @torch.no_grad()
    def encode_images(self, images: Sequence[Image.Image]) -> Tensor:
        """[n, e] float32 unit vectors of n images, on the CPU."""
        device = next(self.model.parameters()).device
        stacks = (
            torch.stack([self.preprocess(image.convert("RGB")) for image in part])
            for part in self._parts(images)
        )
        return _unit([self.model.encode_image(stack.to(device)) for stack in stacks])

    @torch.no_grad()
    def encode_texts(self, texts: Sequence[str]) -> Tensor:
        """[n, e] float32 unit vectors of n texts, on the CPU."""
        device = next(self.model.parameters()).device
        return _unit(
            [self.model.encode_text(self.tokenizer(list(part)).to(device)) for part in self._parts(texts)]
        )

    def image_text(self, images: Sequence[Image.Image], texts: Sequence[str] | str) -> Tensor:
        """[n] cosine of image i and text i in −1 … 1: CLIPScore without its factor 2.5 and its floor at 0.

        One string is compared with every image, such as the concept's name. Source: CLIPScore, arXiv
        2104.08718.

        Raises `MismatchError`: unlike numbers of images and texts.
        """
        if isinstance(texts, str):
            return self.encode_images(images) @ self.encode_texts([texts])[0]
        _same_number(images, texts)
        return cosine_similarity(self.encode_images(images), self.encode_texts(texts))

    def image_image(self, images: Sequence[Image.Image], reference: Sequence[Image.Image]) -> Tensor:
        """[n] cosine of image i and reference image i in −1 … 1; 1 for equal images.

        IMGScore of LinEAS (arXiv 2503.10679) is this cosine of the steered and the unsteered image of the
        same prompt and seed, there with DINOv2-small features: compare figures only within one model.

        Raises `MismatchError`: unlike numbers of images.
        """
        _same_number(images, reference)
        return cosine_similarity(self.encode_images(images), self.encode_images(reference))

    def _parts(self, items: Sequence[Any]) -> Iterator[Sequence[Any]]:
        return (items[start : start + self.batch] for start in range(0, len(items), self.batch))


def _unit(parts: list[Tensor]) -> Tensor:
    if not parts:
        raise MismatchError("Nothing to score: got 0 images or texts, expected at least 1.")
    return normalize(torch.cat([part.float().cpu() for part in parts]), dim=-1)


def _same_number(first: Sequence[Any], second: Sequence[Any]) -> None:
    if len(first) != len(second):
        raise MismatchError(
            f"Item i of one is scored with item i of the other, got {len(first)} and {len(second)}. "
            "Pass as many of one as of the other."
        )
