"""A fingerprint of a model's weights: cheap, sampled everywhere, the same in float32 and float16."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from lineas.apply.folded_weights import pristine
from lineas.modules.kinds import is_norm, is_packed, weight_name
from lineas.steering.fingerprints import ENTRY, NAME, parse, same_weights, written
from lineas.steering.site import Site

VERSION = "2"
SAMPLES = 64
"""Values read of every weight."""
MOST_GROUPS = 64
_ENDS = 8  # values that version 1 took from the start and the end of every parameter
_GOLDEN = 0.6180339887498949


def fingerprint(
    components: Mapping[str, nn.Module], sites: Iterable[Site | str], version: str = VERSION
) -> str:
    """One part per component that holds a site: "2:unet=0123456789abcdef…,text_encoder=…".

    Hashes `SAMPLES` values of every weight of the component, spread over all of it and rounded to float16, so
    a cast between float32 and float16 does not change it; a lossy cast to bfloat16 may. Weights are grouped
    by shape and count, and names do not matter, so that the same model is recognised in diffusers' and in
    ComfyUI's layout. Groups that are quantised, or on "meta" in part, are left out. What is fused by this
    library at the moment is looked through. "" when nothing can be read.

    version: "1" gives what 0.1.0 wrote, from the first and last values of norms alone.
    """
    touched = {str(site).partition(".")[0] for site in sites} | {""}
    digest = _first_version if version == "1" else _digest
    parts = {(version, name): digest(module) for name, module in components.items() if name in touched}
    return written({key: found for key, found in parts.items() if found})


def has_weights(
    components: Mapping[str, nn.Module], sites: Iterable[Site | str], made_on: str
) -> bool | None:
    """Are these the weights of a fingerprint of any version? None when that cannot be told."""
    sites = list(sites)
    versions = {version for version, _ in parse(made_on)} & {"1", VERSION}
    answers = [same_weights(made_on, fingerprint(components, sites, version)) for version in versions]
    known = [answer for answer in answers if answer is not None]
    return all(known) if known else None


def _digest(component: nn.Module) -> str:
    weights = list(_weights(component))
    counts = Counter(_shape(weight) for weight in weights)
    unread = {_shape(weight) for weight in weights if not _readable(weight)}
    groups: dict[str, list[bytes]] = {}
    read = [weight for weight in weights if _shape(weight) not in unread]
    for weight, sample in zip(read, _samples(read), strict=True):
        shape = _shape(weight)
        name = hashlib.sha256(f"{shape} {counts[shape]}".encode()).hexdigest()[:NAME]
        groups.setdefault(name, []).append(sample)
    return "".join(
        name + hashlib.sha256(b"".join(sorted(groups[name]))).hexdigest()[: ENTRY - NAME]
        for name in sorted(groups)[:MOST_GROUPS]
    )


def _weights(component: nn.Module) -> Iterator[Tensor]:
    """Every parameter once, as it is without a fold."""
    seen: set[int] = set()
    for module in component.modules():
        own: dict[str, Tensor | None] = dict(module._parameters)
        name = weight_name(module)
        if {name, "bias"} & own.keys():
            own[name], own["bias"] = pristine(module)
        for weight in own.values():
            if weight is not None and weight.numel() and id(weight) not in seen:
                seen.add(id(weight))
                yield weight


def _shape(weight: Tensor) -> tuple[int, ...]:
    """A linear layer and a convolution of one pixel are alike."""
    return tuple(size for size in weight.shape if size != 1)


def _readable(weight: Tensor) -> bool:
    return weight.is_floating_point() and weight.itemsize > 1 and not weight.is_meta and not is_packed(weight)


@torch.no_grad()
def _samples(weights: Sequence[Tensor]) -> list[bytes]:
    """The sampled values of each, read from a device at once."""
    found: list[bytes] = [b""] * len(weights)
    by_device: dict[torch.device, list[int]] = {}
    for place, weight in enumerate(weights):
        by_device.setdefault(weight.device, []).append(place)
    for places in by_device.values():
        values = [_sample(weights[place]) for place in places]
        whole = torch.cat(values).to("cpu", torch.float16)
        for place, one in zip(places, whole.split([len(value) for value in values]), strict=True):
            found[place] = one.view(torch.uint8).numpy().tobytes()
    return found


def _sample(weight: Tensor) -> Tensor:
    """[up to SAMPLES] values from all over a weight, off any grid that its rows might make."""
    flat = weight.detach().reshape(-1)
    count = len(flat)
    if count <= SAMPLES:
        return flat.to(torch.float16)
    places = [int(count * (i + i * _GOLDEN % 1) / SAMPLES) for i in range(SAMPLES)]
    return flat[torch.tensor(places, device=flat.device)].to(torch.float16)


def _first_version(component: nn.Module) -> str:
    modules = [m for m in component.modules() if is_norm(m) and m._parameters.get("weight") is not None]
    digests = sorted(digest for m in modules or component.modules() if (digest := _module_digest(m)))
    return hashlib.sha256(b"".join(digests)).hexdigest()[:16] if digests else ""


def _module_digest(module: nn.Module) -> bytes:
    held = [t for t in pristine(module) if t is not None and not is_packed(t)]
    readable = [t for t in held if t.is_floating_point() and not t.is_meta]
    return hashlib.sha256(b"".join(_ends(t) for t in readable)).digest() if readable else b""


def _ends(tensor: Tensor) -> bytes:
    flat = tensor.detach().reshape(-1)
    values = torch.cat([flat[:_ENDS], flat[-_ENDS:]]).to("cpu", torch.float16)
    return str(list(tensor.shape)).encode() + bytes(values.view(torch.uint8).tolist())
