"""Small models with every kind of output that a site can have, and steerings for them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from lineas.maps.affine import AffineMap
from lineas.maps.gated import GatedMap
from lineas.modules.kinds import width
from lineas.steering.provenance import Provenance
from lineas.steering.site import Site
from lineas.steering.steering import Steering


class Pair(NamedTuple):
    first: Tensor
    second: Tensor


class TwoOutputs(nn.Module):
    """Returns two tensors in a container of the given kind."""

    def __init__(self, pack: Callable[[Tensor, Tensor], Any]) -> None:
        super().__init__()
        self.pack = pack
        self.inner = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Any:
        return self.pack(self.inner(x), 2 * x)


class Block(nn.Module):
    """[b, 4, h, w] -> the same: norms and projections over pixels and over tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(2, 4)
        self.conv = nn.Conv2d(4, 4, 3, padding=1)
        self.norm2 = nn.LayerNorm(4)
        self.to_q = nn.Linear(4, 4, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.conv(self.norm1(x))
        tokens = x.flatten(2).transpose(1, 2)
        tokens = tokens + self.to_q(self.norm2(tokens)).tanh()
        return tokens.transpose(1, 2).unflatten(2, x.shape[2:])


class ToyUNet(nn.Module):
    """[b, 4, h, w] -> the same, through two blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([Block(), Block()])
        self.conv_norm_out = nn.GroupNorm(2, 4)

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return self.conv_norm_out(x)


class OnePlusRMSNorm(nn.Module):
    """A norm whose weight is a deviation from one, with a name that does not say so."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        return x * (x.pow(2).mean(-1, keepdim=True) + 1e-6).rsqrt() * (1 + self.weight)


class ScaledRMSNorm(nn.Module):
    """Another one, which calls its weight otherwise."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        return x * (x.pow(2).mean(-1, keepdim=True) + 1e-6).rsqrt() * (1 + self.scale)


class SquaredRMSNorm(OnePlusRMSNorm):
    """A norm that uses its weight in a way that no fold fits."""

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight.square()


class AdaLayerNorm(nn.Module):
    """A conditioned norm: its scale comes from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4, elementwise_affine=False)
        self.linear = nn.Linear(4, 4)


def randomised(module: nn.Module, seed: int = 0) -> nn.Module:
    """The same module with irregular parameters, so that no weight is one and no bias zero."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(0.6 + 0.3 * torch.randn(parameter.shape, generator=generator))
    return module.eval()


def toy_unet(seed: int = 0) -> ToyUNet:
    unet = randomised(ToyUNet(), seed)
    assert isinstance(unet, ToyUNet)
    return unet


def noise(*shape: int, seed: int = 1, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def affine(d: int, seed: int = 2, shift: bool = True) -> AffineMap:
    return AffineMap(0.5 * noise(d, seed=seed), 0.5 * noise(d, seed=seed + 100) * shift)


def gated(d: int, seed: int = 3) -> GatedMap:
    a, b, direction = (noise(d, seed=seed + i) for i in range(3))
    return GatedMap(a, b, direction, torch.tensor(0.1), torch.zeros(d), torch.ones(d))


def steering_for(model: nn.Module, sites: Iterable[Site], seed: int = 2, **made: Any) -> Steering:
    modules = dict(model.named_modules())
    widths = {site: width(modules[site.name]) or 4 for site in sites}
    return Steering({s: affine(d, seed + i) for i, (s, d) in enumerate(widths.items())}, Provenance(**made))


def snapshot(model: nn.Module) -> list[tuple[str, int, Tensor]]:
    """Every parameter with its identity and bits, to show that nothing was left behind."""
    return [(name, id(p), p.detach().clone()) for name, p in model.named_parameters(remove_duplicate=False)]


def assert_untouched(model: nn.Module, before: list[tuple[str, int, Tensor]]) -> None:
    after = snapshot(model)
    assert [(name, key) for name, key, _ in after] == [(name, key) for name, key, _ in before]
    assert all(torch.equal(one, two) for (_, _, one), (_, _, two) in zip(after, before, strict=True))
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


@dataclass(frozen=True)
class Case:
    """A module, an input for it, and what folding into it can do."""

    make: Callable[[], nn.Module]
    shape: tuple[int, ...]
    takes_scale: bool = True
    takes_shift: bool = True


def _library(module: str, name: str, *args: Any, **kwargs: Any) -> Callable[[], nn.Module]:
    return lambda: getattr(pytest.importorskip(module), name)(*args, **kwargs)


def _torch_rms_norm(**kwargs: Any) -> nn.Module:
    if not hasattr(nn, "RMSNorm"):
        pytest.skip("this torch has no RMSNorm")
    return nn.RMSNorm(6, eps=1e-6, **kwargs)


_LLAMA, _GEMMA = "transformers.models.llama.modeling_llama", "transformers.models.gemma2.modeling_gemma2"
_NEMOTRON, _DIFFUSERS = "transformers.models.nemotron.modeling_nemotron", "diffusers.models.normalization"

CASES = {
    "group_norm": Case(lambda: nn.GroupNorm(3, 6), (2, 6, 4, 5)),
    "group_norm_3d": Case(lambda: nn.GroupNorm(3, 6), (2, 6, 7)),
    "group_norm_plain": Case(lambda: nn.GroupNorm(3, 6, affine=False), (2, 6, 4, 5), False, False),
    "batch_norm": Case(lambda: nn.BatchNorm2d(6), (2, 6, 4, 5)),
    "layer_norm": Case(lambda: nn.LayerNorm(6), (2, 7, 6)),
    "layer_norm_2d": Case(lambda: nn.LayerNorm(6), (2, 6)),
    "layer_norm_no_bias": Case(lambda: nn.LayerNorm(6, bias=False), (2, 7, 6)),
    "layer_norm_plain": Case(lambda: nn.LayerNorm(6, elementwise_affine=False), (2, 7, 6), False, False),
    "rms_norm": Case(_torch_rms_norm, (2, 7, 6), True, False),
    "rms_norm_plain": Case(lambda: _torch_rms_norm(elementwise_affine=False), (2, 7, 6), False, False),
    "linear": Case(lambda: nn.Linear(5, 6), (2, 7, 5)),
    "linear_no_bias": Case(lambda: nn.Linear(5, 6, bias=False), (2, 7, 5)),
    "linear_gpt2": Case(_library("transformers.pytorch_utils", "Conv1D", 6, 5), (2, 7, 5), False, False),
    "conv1d": Case(lambda: nn.Conv1d(4, 6, 3), (2, 4, 9)),
    "conv2d": Case(lambda: nn.Conv2d(4, 6, 3, groups=2, padding=1), (2, 4, 5, 6)),
    "conv2d_no_bias": Case(lambda: nn.Conv2d(4, 6, 1, bias=False), (2, 4, 5, 6)),
    "conv3d": Case(lambda: nn.Conv3d(4, 6, (1, 3, 3)), (2, 4, 2, 5, 6)),
    "conv_transpose": Case(lambda: nn.ConvTranspose2d(4, 6, 2), (2, 4, 5, 6), False, False),
    "one_plus": Case(lambda: OnePlusRMSNorm(6), (2, 7, 6), True, False),
    "scaled": Case(lambda: ScaledRMSNorm(6), (2, 7, 6), True, False),
    "squared": Case(lambda: SquaredRMSNorm(6), (2, 7, 6), False, False),
    "llama": Case(_library(_LLAMA, "LlamaRMSNorm", 6), (2, 7, 6), True, False),
    "gemma": Case(_library(_GEMMA, "Gemma2RMSNorm", 6), (2, 7, 6), True, False),
    "nemotron": Case(_library(_NEMOTRON, "NemotronLayerNorm1P", 6), (2, 7, 6)),
    "diffusers_rms": Case(_library(_DIFFUSERS, "RMSNorm", 6, eps=1e-6), (2, 7, 6), True, False),
    "diffusers_rms_bias": Case(_library(_DIFFUSERS, "RMSNorm", 6, eps=1e-6, bias=True), (2, 7, 6)),
    "diffusers_fp32": Case(_library(_DIFFUSERS, "FP32LayerNorm", 6), (2, 7, 6)),
}
