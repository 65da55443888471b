"""The autoencoder of the bundled model in ComfyUI's class of tiny autoencoders.

That class has 64 channels and a fixed number of residual blocks at every resolution, ours has fewer of both.
The difference is filled up exactly:

- Channels that ours does not have are zeros, as ours has at full resolution itself.
- A block that ours does not have is relu(x) with a last convolution of zeros. After another block that is
  the identity. Where there is none, the convolution before gives [W, −W] x, the block turns that into
  positive and negative part, and the convolution behind joins them by [V, −V].
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import comfy.sd
import torch
from torch import Tensor

from lineas.errors import ConfigError

WIDTH = 64
ENCODER_BLOCKS, DECODER_BLOCKS = (1, 3, 3, 3), (3, 3, 3, 1)


@dataclass(frozen=True)
class Layer:
    """A layer by its number in the file; split: its output goes through a block that ours does not have."""

    kind: str
    number: int | None = None
    split: bool = False


def build_vae(config: Mapping[str, Any], weights: Mapping[str, Tensor]) -> Any:
    """A VAE of an AutoencoderTiny's configuration and weights, in float32.

    Raises:
        ConfigError: it has more blocks somewhere than ComfyUI's class.
    """
    for part, full in (("encoder", ENCODER_BLOCKS), ("decoder", DECODER_BLOCKS)):
        own = tuple(config[f"num_{part}_blocks"])
        if any(mine > theirs for mine, theirs in zip(own, full, strict=True)):
            raise ConfigError(f"The {part} has {own} blocks where ComfyUI's class has room for {full}.")
    encoder = _encoder_layers(config["num_encoder_blocks"])
    decoder = _decoder_layers(config["num_decoder_blocks"])
    padded = _padded("encoder", encoder, weights, start=0)
    padded |= _padded("decoder", decoder, weights, start=1)  # ComfyUI counts the clamp at the start
    padded |= {"vae_scale": torch.tensor(1.0), "vae_shift": torch.tensor(0.0)}
    return comfy.sd.VAE(sd=padded, dtype=torch.float32)


def _encoder_layers(blocks: Sequence[int]) -> list[Layer]:
    layers, number = [], 0
    for own, full in zip(blocks, ENCODER_BLOCKS, strict=True):
        layers.append(Layer("conv", number, split=own == 0))
        layers += [Layer("block", number + 1 + i) for i in range(own)]
        layers += [Layer("block")] * (full - own)
        number += 1 + own
    return [*layers, Layer("conv", number)]


def _decoder_layers(blocks: Sequence[int]) -> list[Layer]:
    layers, number = [Layer("conv", 0, split=False), Layer("plain")], 2
    for index, (own, full) in enumerate(zip(blocks, DECODER_BLOCKS, strict=True)):
        if index:
            layers += [Layer("plain"), Layer("conv", number + 1, split=own == 0)]
            number += 2
        layers += [Layer("block", number + i) for i in range(own)]
        layers += [Layer("block")] * (full - own)
        number += own
    return [*layers, Layer("conv", number)]


def _padded(
    part: str, layers: Sequence[Layer], weights: Mapping[str, Tensor], start: int
) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    joining = 0
    for index, layer in enumerate(layers, start):
        place, own = f"taesd_{part}.{index}", f"{part}.layers.{layer.number}"
        last = index - start == len(layers) - 1
        if layer.kind == "block":
            tensors |= dict(_block(place, own if layer.number is not None else None, weights))
        if layer.kind != "conv":
            continue
        weight, bias = weights[f"{own}.weight"].float(), weights.get(f"{own}.bias")
        if joining:
            weight = torch.cat([weight[:, :joining], -weight[:, :joining]], dim=1)
        joining = _used(weight, bias) if layer.split else 0
        if joining:
            weight, bias = weight[:joining], bias if bias is None else bias[:joining]
        tensors[f"{place}.weight"] = _conv(weight, layer.split, index == start, last)
        if bias is not None:
            tensors[f"{place}.bias"] = bias.float() if last else _vector(bias.float(), layer.split)
    return tensors


def _used(weight: Tensor, bias: Tensor | None) -> int:
    """How many output channels there are up to the last one that is not zero throughout."""
    live = weight.flatten(1).any(1) if bias is None else weight.flatten(1).any(1) | (bias != 0)
    return int(live.nonzero().max()) + 1


def _conv(weight: Tensor, split: bool, first: bool, last: bool) -> Tensor:
    """[o, i, 3, 3] -> the same between 64 channels, those of the image and of the latent as they are."""
    if split:
        weight = torch.cat([weight, -weight], dim=0)
    assert max(weight.shape[:2]) <= WIDTH
    return _filled(weight, weight.shape[0] if last else WIDTH, weight.shape[1] if first else WIDTH)


def _block(place: str, own: str | None, weights: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    for number in (0, 2, 4):
        weight = weights[f"{own}.conv.{number}.weight"].float() if own else torch.zeros(1, 1, 3, 3)
        bias = weights[f"{own}.conv.{number}.bias"].float() if own else torch.zeros(1)
        yield f"{place}.conv.{number}.weight", _filled(weight, WIDTH, WIDTH)
        yield f"{place}.conv.{number}.bias", _vector(bias, False)


def _filled(weight: Tensor, out: int, into: int) -> Tensor:
    full = torch.zeros(out, into, *weight.shape[2:])
    full[: weight.shape[0], : weight.shape[1]] = weight
    return full


def _vector(bias: Tensor, split: bool) -> Tensor:
    bias = torch.cat([bias, -bias]) if split else bias
    return torch.cat([bias, torch.zeros(WIDTH - len(bias))])
