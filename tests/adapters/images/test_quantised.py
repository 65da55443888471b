"""Fits of transformers that bitsandbytes, torchao or a GGUF file hold in a few bits, and quantising under a
steering. Each part is skipped where its package is not installed."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from toys.pipelines import ARGUMENTS, SOURCE, TARGET, diffusers, draw, flux

from lineas import Steering, fit, fuse, steer
from lineas.adapters.images.recipes import Recipe
from lineas.errors import MismatchError

ONE = Recipe("one", arguments=ARGUMENTS["FLUX"])
drawn = partial(draw, **ARGUMENTS["FLUX"])


def bitsandbytes(kind: str, **options: Any) -> Callable[[Any, Path], None]:
    def quantised(pipe: Any, folder: Path) -> None:
        """Every linear layer of the blocks becomes one of the package, on the CPU."""
        package = pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed")
        for parent in [*pipe.transformer.transformer_blocks.modules(),
                       *pipe.transformer.single_transformer_blocks.modules()]:  # fmt: skip
            for name, old in parent.named_children():
                if type(old) is nn.Linear:
                    new = getattr(package.nn, kind)(
                        old.in_features, old.out_features, old.bias is not None, **options
                    )
                    new.load_state_dict(old.state_dict(), strict=False)
                    setattr(parent, name, new.to("cpu"))

    return quantised


def torchao(kind: str) -> Callable[[Any, Path], None]:
    def quantised(pipe: Any, folder: Path) -> None:
        package = pytest.importorskip("torchao.quantization", reason="torchao is not installed")
        package.quantize_(pipe.transformer, getattr(package, kind)())

    return quantised


def gguf(pipe: Any, folder: Path) -> None:
    """The transformer goes into a file in eight bits, and comes back from it."""
    package = pytest.importorskip("gguf", reason="gguf is not installed")
    pipe.transformer.save_config(folder)
    writer = package.GGUFWriter(folder / "flux.gguf", "flux")
    eight_bits = package.GGMLQuantizationType.Q8_0
    for name, tensor in pipe.transformer.state_dict().items():
        if tensor.ndim == 2 and tensor.shape[1] % 32 == 0:
            data = package.quants.quantize(tensor.numpy(), eight_bits)
            writer.add_tensor(name, data, raw_dtype=eight_bits)
        else:
            writer.add_tensor(name, tensor.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    pipe.transformer = type(pipe.transformer).from_single_file(
        str(folder / "flux.gguf"),
        quantization_config=diffusers.GGUFQuantizationConfig(compute_dtype=torch.float32),
        config=str(folder),
        torch_dtype=torch.float32,
    )


WAYS: dict[str, Callable[[Any, Path], None]] = {
    "bitsandbytes, 8 bits": bitsandbytes("Linear8bitLt", has_fp16_weights=False),
    "bitsandbytes, 4 bits": bitsandbytes("Linear4bit", compute_dtype=torch.float32, quant_type="nf4"),
    "torchao, 8 bits": torchao("Int8WeightOnlyConfig"),
    "GGUF, 8 bits": gguf,
}


def fitted(pipe: Any, **options: Any) -> Steering:
    return fit(pipe, SOURCE, TARGET, recipe=ONE, steps=3, learning_rate=0.01, **options)


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("way", WAYS)
def test_a_quantised_transformer_is_fitted_and_steered(way: str, checkpointing: bool, tmp_path: Path) -> None:
    pipe = flux()
    plain = drawn(pipe)
    WAYS[way](pipe, tmp_path)
    base = drawn(pipe)
    assert not torch.equal(base, plain)
    steering = fitted(pipe, checkpointing=checkpointing)
    settings = steering.provenance.settings
    assert 0 < settings["cost"] < settings["cost_at_start"]
    assert torch.equal(drawn(pipe), base)
    with steer(pipe, steering):
        hooked = drawn(pipe)
    assert not torch.equal(hooked, base)
    with fuse(pipe, steering):
        assert torch.allclose(drawn(pipe), hooked, rtol=1e-4, atol=1e-5)
    assert torch.equal(drawn(pipe), base)


@pytest.mark.parametrize("way", list(WAYS)[:3])
def test_a_model_that_is_quantised_under_a_steering_is_steered_or_told(way: str, tmp_path: Path) -> None:
    pipe, other = flux(), flux()
    steering = fitted(pipe)
    WAYS[way](other, tmp_path)
    base = drawn(other)
    with steer(other, steering):
        expected = drawn(other)
    with steer(pipe, steering):
        WAYS[way](pipe, tmp_path)
        assert torch.equal(drawn(pipe), expected)
    assert torch.equal(drawn(pipe), base)
    pipe = flux()
    handle = fuse(pipe, steering)
    WAYS[way](pipe, tmp_path)
    with pytest.raises(MismatchError, match=r"were replaced|changed by something else"):
        handle.remove()
    handle.remove(keep=True)
