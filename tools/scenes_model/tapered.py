"""A tiny autoencoder that is narrow where pixels are many; the stock class computes the same with zeros."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from diffusers import AutoencoderTiny
from torch import Tensor, nn

WIDTHS = (32, 32, 64, 64)
"""Channels at 128, 64, 32 and 16 pixels."""
BLOCKS = {4: ((0, 3, 3, 3), (3, 3, 3, 0)), 16: ((0, 1, 2, 3), (3, 3, 2, 0))}
"""Residual blocks of encoder and decoder by the channels of a latent, in the order in which the stock class
counts them: the encoder's from 128 pixels down. ComfyUI's class has (1, 3, 3, 3) and (3, 3, 3, 1), no more;
the transformer leaves less room in 16 MB than the UNet."""


def conv(inputs: int, outputs: int, stride: int = 1, bias: bool = True) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1, stride=stride, bias=bias)


class Block(nn.Module):
    """[b, c, h, w] -> the same shape, not negative: three convolutions beside a skip."""

    def __init__(self, width: int) -> None:
        super().__init__()
        first, second, third = (conv(width, width) for _ in range(3))
        self.conv = nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), third)

    def forward(self, x: Tensor) -> Tensor:
        return (self.conv(x) + x).relu()


class Tapered(nn.Module):
    """Encoder [b, 3, h, w] -> [b, 4, h/8, w/8] and decoder back, images in 0..1.

    Layers have the numbers and names of ``AutoencoderTiny``, so that :func:`stock` only fills up with zeros.
    """

    def __init__(
        self,
        widths: Sequence[int] = WIDTHS,
        encoder_blocks: Sequence[int] | None = None,
        decoder_blocks: Sequence[int] | None = None,
        latents: int = 4,
    ) -> None:
        super().__init__()
        encoder_blocks = encoder_blocks or BLOCKS[latents][0]
        decoder_blocks = decoder_blocks or BLOCKS[latents][1]
        self.shape = (tuple(widths), tuple(encoder_blocks), tuple(decoder_blocks), latents)
        layers: list[nn.Module] = [conv(3, widths[0])]
        for index, (width, blocks) in enumerate(zip(widths, encoder_blocks, strict=True)):
            if index:
                layers.append(conv(widths[index - 1], width, stride=2, bias=False))
            layers += [Block(width) for _ in range(blocks)]
        self.encoder = nn.ModuleDict({"layers": nn.Sequential(*layers, conv(widths[-1], latents))})
        up = widths[::-1]
        layers = [conv(latents, up[0]), nn.ReLU()]
        for index, (width, blocks) in enumerate(zip(up, decoder_blocks, strict=True)):
            if index:
                layers += [nn.Upsample(scale_factor=2), conv(up[index - 1], width, bias=False)]
            layers += [Block(width) for _ in range(blocks)]
        self.decoder = nn.ModuleDict({"layers": nn.Sequential(*layers, conv(up[-1], 3))})

    def encode(self, image: Tensor) -> Tensor:
        layers = self.encoder["layers"]
        inner = layers[:-1](image)
        with torch.autocast("cpu", enabled=False):
            return layers[-1](inner.float())

    def decode(self, latent: Tensor) -> Tensor:
        layers = self.decoder["layers"]
        inner = layers[:-1]((latent / 3).tanh() * 3)
        with torch.autocast("cpu", enabled=False):
            return layers[-1](inner.float())


@torch.no_grad()
def stock(model: Tapered) -> AutoencoderTiny:
    """The same function as diffusers' class, every layer as wide as the widest."""
    widths, encoder_blocks, decoder_blocks, latents = model.shape
    full = AutoencoderTiny(
        encoder_block_out_channels=(max(widths),) * len(widths),
        decoder_block_out_channels=(max(widths),) * len(widths),
        num_encoder_blocks=encoder_blocks,
        num_decoder_blocks=decoder_blocks,
        latent_channels=latents,
        latent_magnitude=3,
        scaling_factor=1.0,
    )
    weights = model.state_dict()
    for name, parameter in full.named_parameters():
        parameter.zero_()
        parameter[tuple(slice(0, size) for size in weights[name].shape)] = weights[name]
    return full


@torch.no_grad()
def grown(old: AutoencoderTiny, model: Tapered) -> Tapered:
    """``model`` computing what the narrower ``old`` does, with fresh channels and idle blocks beside.

    Raises:
        ValueError: ``model`` is narrower or has fewer blocks somewhere, which cannot compute the same.
    """
    for part, counts, mine in (
        ("encoder", old.config.num_encoder_blocks, model.shape[1]),
        ("decoder", old.config.num_decoder_blocks, model.shape[2]),
    ):
        source = list(getattr(old, part).layers)
        target = list(getattr(model, part)["layers"])
        start = 1 if part == "encoder" else 2
        _fill(source[0], target[0])
        i = j = start
        for index, (few, many) in enumerate(zip(counts, mine, strict=True)):
            if few > many:
                raise ValueError(f"The {part} has fewer blocks than it grows from: {mine} after {counts}.")
            if index:
                skip = 1 if part == "encoder" else 2
                _fill(source[i + skip - 1], target[j + skip - 1])
                i, j = i + skip, j + skip
            for number in range(many):
                if number < few:
                    for layer in (0, 2, 4):
                        _fill(source[i + number].conv[layer], target[j + number].conv[layer])
                else:
                    target[j + number].conv[4].weight.zero_()
                    target[j + number].conv[4].bias.zero_()
            i, j = i + few, j + many
        _fill(source[i], target[j])
    return model


def _fill(source: nn.Conv2d, target: nn.Conv2d) -> None:
    outputs, inputs = (min(pair) for pair in zip(source.weight.shape, target.weight.shape[:2], strict=False))
    if source.weight[outputs:].any() or source.weight[:, inputs:].any():
        raise ValueError(f"A layer {tuple(source.weight.shape)} is wider than {tuple(target.weight.shape)}.")
    target.weight[:outputs].zero_()
    target.weight[:outputs, :inputs] = source.weight[:outputs, :inputs]
    if target.bias is not None:
        target.bias[:outputs] = source.bias[:outputs]
