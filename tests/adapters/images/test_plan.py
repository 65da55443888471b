"""What a fit will need: counted without data, and it grows as memory does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from toys.pipelines import ARGUMENTS, SOURCE, TARGET, flux, sd1, unet
from toys.transformers import TRANSFORMERS

from lineas.adapters.images.plan import memory_of
from lineas.adapters.images.recipes import Recipe
from lineas.errors import ConfigError
from lineas.fitting.memory import Memory, bytes_of, counted

ONE = Recipe("one")
CASES: dict[str, tuple[Any, dict[str, Any]]] = {
    "FLUX": (flux, ARGUMENTS["FLUX"]),
    "Z-Image": TRANSFORMERS["ZImagePipeline"],
    "Qwen-Image": TRANSFORMERS["QwenImagePipeline"],
}


def test_what_lives_at_once_is_counted_and_what_is_let_go_is_not() -> None:
    x = torch.zeros(1000, device="meta")
    with counted() as most:
        a = x + 1
        del a
        b = x + 1
        assert most() == 4000
        c = b + 1
        assert most() == 8000
        del b, c
        assert most() == 8000


def test_attention_is_counted_without_all_its_weights() -> None:
    q = torch.zeros(1, 2, 512, 8, device="meta", requires_grad=True)
    with counted() as most:
        torch.nn.functional.scaled_dot_product_attention(q, q, q).sum().backward()
    assert most() < 512 * 512 * 4


def test_a_pipeline_is_counted_without_its_weights(tmp_path: Path) -> None:
    pipe = sd1()
    found = memory_of(pipe, SOURCE, TARGET, recipe=ONE)
    assert found.weights == bytes_of([pipe.unet, pipe.vae])
    assert found.encoders == bytes_of([pipe.text_encoder])
    assert found.prompt > found.recomputed > 0
    assert found.needed(4) == found.weights + found.maps + found.rows + 4 * found.prompt
    pipe.save_pretrained(tmp_path)
    (tmp_path / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    assert memory_of(tmp_path, SOURCE, TARGET, recipe=ONE, dtype=torch.float32) == found
    half = memory_of(tmp_path, SOURCE, TARGET, recipe=ONE, dtype=torch.bfloat16)
    assert half.weights == found.weights // 2 and half.prompt < found.prompt
    assert pipe.unet.conv_in.weight.device.type == "cpu"


def test_more_pixels_blocks_and_steps_take_more() -> None:
    pipe = sd1()
    usual = memory_of(pipe, SOURCE, TARGET, recipe=ONE)
    larger = memory_of(pipe, SOURCE, TARGET, recipe=Recipe("large", height=32, width=32))
    steps = memory_of(pipe, SOURCE, TARGET, recipe=Recipe("steps", steps=3))
    assert larger.prompt > 2 * usual.prompt and larger.weights == usual.weights
    assert steps.prompt > 2 * usual.prompt
    pipe.unet = unet(width=32)
    assert memory_of(pipe, SOURCE, TARGET, recipe=ONE).weights > 2 * usual.weights


@pytest.mark.parametrize("name", CASES)
def test_transformers_are_counted(name: str) -> None:
    make, arguments = CASES[name]
    pipe = make()
    found = memory_of(pipe, SOURCE, TARGET, recipe=Recipe("one", arguments=arguments), sites="norms")
    assert found.weights == bytes_of([pipe.transformer, pipe.vae])
    assert found.prompt >= found.recomputed > 0


def test_sites_of_text_encoders_are_not_counted() -> None:
    with pytest.raises(ConfigError, match="text encoders is not counted"):
        memory_of(sd1(), SOURCE, TARGET, recipe=ONE, sites="norms+text")


def test_the_table_is_in_gib() -> None:
    text = Memory(12 * 2**30, 8 * 2**30, 6 * 2**30, 2**30, 2**20, 2**20).table((1, 2))
    assert text.splitlines()[-2:] == [
        "              1   20.00 GiB     20.00 GiB",
        "              2   24.00 GiB     20.00 GiB",
    ]
