"""Shifts of the residual stream: what programs hold that add a vector to what a block hands on.

That is what a shift does at a block's output, and at any module inside whose output reaches the end of the
block as it is: the last branch that the block adds to its stream, or the norm on it. Whether it does is seen
by running the model on two tokens, not guessed from names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from lineas.apply.check import check_fit
from lineas.apply.next_linears import takes_tokens, two_tokens, undisturbed
from lineas.errors import ExportError
from lineas.maps.base import Map
from lineas.modules.names import module_tree, resolve, without_adapter
from lineas.modules.recorder import get_output, replace_output
from lineas.steering.site import Site
from lineas.steering.steering import Steering

_BLOCK = re.compile(r"((?:.*\.)?(?:layers|h|blocks)\.(\d+))(?:\.(.+))?")


def stream_shifts(
    steering: Steering, model: nn.Module, strength: float = 1.0, first: int = 0
) -> dict[int, Tensor]:
    """Block number -> [d] float32 vector that is added to the stream behind that block.

    model: the language model it is for. strength: what scale 1 will mean elsewhere, neutral 1. first: the
    first block that the format has a vector for.
    Raises `ExportError` that lists every site that is not such a shift, and why, and for a steering that
    changes nothing.
    """
    check_fit(module_tree(model), steering)
    reasons = {site: why for site in steering.maps if (why := _obstacle(steering, model, site, first))}
    if reasons:
        raise ExportError(_refusal(reasons, len(steering.maps)))
    vectors: dict[int, Tensor] = {}
    for site, map in steering.maps.items():
        affine = map.affine()
        if map.is_identity or affine is None:
            continue
        block, shift = block_of(site)[1], strength * affine.shift.detach().to("cpu", torch.float32)
        vectors[block] = vectors[block] + shift if block in vectors else shift
    if not vectors:
        raise ExportError("The steering changes nothing, so there is nothing to export.")
    return dict(sorted(vectors.items()))


def block_of(site: Site) -> tuple[str, int, str]:
    """Name and number of the block, and the path within it ("" for the block itself); "", −1 outside."""
    found = _BLOCK.fullmatch(site.name)
    return (found[1], int(found[2]), found[3] or "") if found else ("", -1, "")


def only_shifts(map: Map) -> str | None:
    """Why a map is no shift, or None when it is one."""
    affine = map.affine()
    if affine is None:
        return f"a {map.kind} map depends on the activation, a vector is the same for all"
    return "it scales units, a vector can only shift them" if bool(affine.deviation.any()) else None


def _obstacle(steering: Steering, model: nn.Module, site: Site, first: int) -> str | None:
    map = steering.maps[site]
    if map.is_identity or (why := only_shifts(map)):
        return None if map.is_identity else why
    name, block, inside = block_of(site)
    if block < 0 or site.output != 0 or (inside and not _reaches_the_end(model, site, name)):
        return "it is not the output of a block, nor what a block adds last to its stream"
    return f"the format gives no vector to blocks before {first}" if block < first else None


def _reaches_the_end(model: nn.Module, site: Site, block: str) -> bool:
    """Whether what is added to the site's output is added, as it is, to the output of its block."""
    root: Any = without_adapter(model)
    if not takes_tokens(root):
        return False
    components = {"": model}
    module, end = resolve(components, site), resolve(components, block)
    seen: list[Tensor] = []
    added: list[Tensor] = []

    def add(module: nn.Module, args: Any, output: Any) -> Any:
        z = get_output(output, site.output)
        generator = torch.Generator().manual_seed(0)
        noise = torch.randn(z.shape[-1], generator=generator).to(z) * z.float().std().to(z)
        added.append(noise)
        return replace_output(output, site.output, z + noise)

    with undisturbed(root):
        for hooks in ([], [(module, add)]):
            with ExitStack() as stack:
                keep = end.register_forward_hook(lambda m, a, out: seen.append(get_output(out)))
                stack.callback(keep.remove)
                for where, hook in hooks:
                    stack.callback(where.register_forward_hook(hook).remove)
                root(input_ids=two_tokens(root), use_cache=False)
    change = (seen[1] - seen[0]).float()
    return len(added) == 1 and bool((change - added[0].float()).norm() < 0.05 * change.norm())


def _refusal(reasons: Mapping[Site, str], total: int, shown: int = 5) -> str:
    lines = [f"  {site}: {reason}" for site, reason in list(reasons.items())[:shown]]
    lines += [f"  … and {len(reasons) - shown} more"] if len(reasons) > shown else []
    remedy = (
        'Fit it where it can: map="shift", or a method that only shifts (such as mean_act or caa), with '
        'sites="mlp" or "blocks", in llama.cpp from block 1 on; or save the model with the steering fused in.'
    )
    return "\n".join([f"A vector per block cannot hold {len(reasons)} of {total} sites:", *lines, remedy])
