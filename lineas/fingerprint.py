"""Fingerprint: recognises the weights that a steering was made for.

Taken from the norms of each component rather than from the sites, and free of module names: a restricted or
composed steering keeps it, and faces that name the same modules differently agree on it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from lineas.folds import pristine
from lineas.kinds import is_norm
from lineas.steering import Site

VERSION = "1"
_ENDS = 8  # values taken from the start and the end of every parameter


def fingerprint(components: Mapping[str, nn.Module], sites: Iterable[Site]) -> str:
    """One hash per component that holds a site: "1:unet=0123456789abcdef,text_encoder=…".

    Hashes shape and first and last values, as float16, of every norm's weight and bias (of every module's
    where there is no norm), so a cast between float32 and float16 does not change it; a lossy cast to
    bfloat16 may. What is fused by this library at the moment is looked through. "" when nothing can be read,
    as on "meta".
    """
    touched = {site.name.partition(".")[0] for site in sites} | {""}
    parts = [(name, _digest(module)) for name, module in components.items() if name in touched]
    known = [f"{name}={digest}" for name, digest in parts if digest]
    return f"{VERSION}:{','.join(known)}" if known else ""


def same_weights(one: str, two: str) -> bool | None:
    """Do two fingerprints agree on every component they share? None when they cannot be compared."""
    a, b = _parse(one), _parse(two)
    shared = a.keys() & b.keys()
    return all(a[name] == b[name] for name in shared) if shared else None


def _parse(text: str) -> dict[str, str]:
    version, _, parts = text.partition(":")
    if version != VERSION or not parts:
        return {}
    return dict(part.rsplit("=", 1) for part in parts.split(",") if "=" in part)


def _digest(component: nn.Module) -> str:
    modules = [m for m in component.modules() if is_norm(m) and m._parameters.get("weight") is not None]
    digests = sorted(digest for m in modules or component.modules() if (digest := _module_digest(m)))
    return hashlib.sha256(b"".join(digests)).hexdigest()[:16] if digests else ""


def _module_digest(module: nn.Module) -> bytes:
    readable = [t for t in pristine(module) if t is not None and t.is_floating_point() and not t.is_meta]
    return hashlib.sha256(b"".join(_ends(t) for t in readable)).digest() if readable else b""


def _ends(tensor: Tensor) -> bytes:
    flat = tensor.detach().reshape(-1)
    values = torch.cat([flat[:_ENDS], flat[-_ENDS:]]).to("cpu", torch.float16)
    return str(list(tensor.shape)).encode() + bytes(values.view(torch.uint8).tolist())
