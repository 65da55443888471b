"""Which modules a training steers: those that its patterns name, else where a transformer is read best."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from torch import nn

from lineas.architectures.table import comfyui_sites
from lineas.errors import SiteError
from lineas.modules.kinds import is_norm
from lineas.modules.names import find_sites, named_modules
from lineas.steering.site import Site

from ..models.names import OTHER, TEXT, UNET

ALL_NORMS = f"{OTHER}.*norm*"
# The last layers of attentions and feed-forwards in numbered blocks, as diffusion transformers call them.
_OUTPUT = re.compile(
    r"\.\d+\.(.*attn\w*\.(.*\.)?(proj|out_proj|to_out\.0|to_add_out|o)"
    r"|.*(mlp|ff)\w*\.(net\.)?(2|fc2)|linear2)$"
)
_IN_BLOCK = re.compile(r"\.\d+\.")
_OF_HEADS = re.compile(r"(query|key|q|k)_norm$|norm_?(added_)?(q|k)$|\bln_[qk]$")


def chosen_sites(components: Mapping[str, nn.Module], patterns: Sequence[str]) -> list[Site]:
    """Sites that match patterns of canonical names; of patterns for norms only the norms with weights.

    Patterns for the UNet stand for an image model of another family too, for whose norms the library's table
    of architectures is asked first. Where a model that it does not know has no norms with weights in its
    blocks, the outputs of its attentions and feed-forwards take their place; norms of queries and keys do not
    count unless a pattern names them, as releases differ in how they compute them. Raises `SiteError` when
    nothing is found.
    """
    if UNET not in components:
        patterns = [f"{OTHER}.{p.partition('.')[2]}" if p.startswith(f"{UNET}.") else p for p in patterns]
    table = named_modules(components)
    if ALL_NORMS in patterns and (known := comfyui_sites(_below(OTHER, table))):
        image = find_sites(components, [f"{OTHER}.{pattern}" for pattern in known])
        others = [pattern for pattern in patterns if pattern != ALL_NORMS]
        return [*image, *(_matching(components, others, table) if others else [])]
    return _matching(components, patterns, table)


def _matching(
    components: Mapping[str, nn.Module], patterns: Sequence[str], table: Mapping[str, nn.Module]
) -> list[Site]:
    found = find_sites(components, list(patterns))
    if not any(pattern.endswith("norm*") for pattern in patterns):
        return found
    asked = any(_OF_HEADS.search(pattern.rstrip("*")) for pattern in patterns)
    norms = [site for site in found if _is_affine_norm(table[site.name]) and (asked or _is_usual(site.name))]
    of_text = [site for site in norms if site.name.startswith(TEXT)]
    asks_image = not all(pattern.startswith(TEXT) for pattern in patterns)
    outputs = [name for name in table if asks_image and name.startswith(OTHER) and _OUTPUT.search(name)]
    if len(norms) > len(of_text) or not outputs:
        return norms or _no_norms(patterns, table)
    return [*find_sites(components, outputs), *of_text]


def _below(component: str, names: Iterable[str]) -> list[str]:
    start = f"{component}."
    return [name.removeprefix(start) for name in names if name.startswith(start)]


def _is_usual(name: str) -> bool:
    """Not of heads, and in a block; the UNet has one norm behind its blocks that counts too."""
    return not _OF_HEADS.search(name) and (not name.startswith(f"{OTHER}.") or bool(_IN_BLOCK.search(name)))


def _is_affine_norm(module: nn.Module) -> bool:
    return is_norm(module) and module._parameters.get("weight") is not None


def _no_norms(patterns: Sequence[str], table: Mapping[str, nn.Module]) -> list[Site]:
    raise SiteError(
        f"No norm with weights matches {', '.join(patterns)}. Choose own pattern and name layers, "
        f"such as {next((n for n, m in table.items() if isinstance(m, nn.Linear)), '*')}."
    )
