"""The trained, tapered autoencoder computes what the stock class computes with zeros beside it."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("diffusers")

from tools.scenes_model.tapered import Tapered, grown, stock


@pytest.mark.parametrize("latents", [4, 16])
def test_the_stock_class_computes_the_same(latents: int) -> None:
    model = Tapered((8, 8, 16, 16), (0, 1, 1, 2), (2, 1, 1, 0), latents)
    full = stock(model)
    image = torch.rand(1, 3, 32, 48)
    with torch.no_grad():
        latent = model.encode(image)
        assert torch.allclose(full.encode(image * 2 - 1).latents, latent, atol=1e-5)
        assert torch.allclose(full.decode(latent).sample / 2 + 0.5, model.decode(latent), atol=1e-5)


def test_a_grown_autoencoder_starts_as_the_narrow_one() -> None:
    narrow = Tapered((8, 8, 8, 8), (0, 1, 1, 1), (1, 1, 1, 0))
    wide = grown(stock(narrow), Tapered((8, 8, 16, 16), (0, 1, 2, 3), (3, 2, 1, 0)))
    image = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        assert torch.allclose(wide.encode(image), narrow.encode(image), atol=1e-5)
        latent = narrow.encode(image)
        assert torch.allclose(wide.decode(latent), narrow.decode(latent), atol=1e-5)


def test_an_autoencoder_grows_out_of_its_own_stock_form() -> None:
    shape = ((8, 8, 16, 16), (0, 1, 1, 1), (1, 1, 1, 0))
    model = Tapered(*shape)
    again = grown(stock(model), Tapered(*shape))
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))


def test_growing_refuses_fewer_blocks() -> None:
    widths, blocks = (8,) * 4, (0, 1, 1, 1)
    narrow = stock(Tapered(widths, blocks, (3, 3, 1, 0)))
    with pytest.raises(ValueError, match="fewer blocks"):
        grown(narrow, Tapered(widths, blocks, (3, 2, 1, 0)))
