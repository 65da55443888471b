"""Which modules a training steers: those that its patterns name, else where a transformer is read best."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from torch import nn

from lineas.architectures.table import comfyui_sites
from lineas.errors import SiteError
from lineas.modules.kinds import has_weight, is_norm
from lineas.modules.names import block_ends, find_sites, named_modules
from lineas.steering.site import Site

from ..models.names import OTHER, TEXT, UNET
from ..notices import board

ALL_NORMS = f"{OTHER}.*norm*"
TEXT_ENDS = "text_feed_forward"
"""Not a pattern but a preset of the library: what feed-forwards add in the text encoders."""
# The last layers of attentions and feed-forwards in numbered blocks, as diffusion transformers call them.
_OUTPUT = re.compile(
    r"\.\d+\.(.*(attn|attention)\w*\.(.*\.)?(proj|out_proj|output_proj|out_layer|out|to_out(\.0)?|to_add_out|w?o)"
    r"|.*(mlp|ff|ffn|feed_forward)\w*\.(.*\.)?(net\.)?"
    r"(2|fc2|w2|down|down_proj|c_proj|out_layer|layer2|linear_2|linear_fc2)|linear2)$"
)
# Layers that say how the noise level scales a block; the image does not go through them.
_OF_TIME = re.compile(r"\.\w*(modulation|_mod|adaln)\w*\.", re.IGNORECASE)
_IN_BLOCK = re.compile(r"\.\d+\.")
_BLOCK = re.compile(rf"({OTHER}\.\w+)\.\d+(?=\.)")
_OF_HEADS = re.compile(r"(query|key|q|k)_(rms_)?norm(_t)?$|norm_?(added_)?(q|k)$|\bln_[qk]$")


def chosen_sites(components: Mapping[str, nn.Module], patterns: Sequence[str]) -> list[Site]:
    """Sites that match patterns of canonical names; of patterns for norms only the norms with weights.

    Patterns for the UNet stand for an image model of another family too, for whose norms the library's table
    of architectures is asked first. Where a model that it does not know has no norms with weights in its
    blocks, the outputs of its attentions and feed-forwards take their place, which is told on the node;
    norms of queries and keys do not count unless a pattern names them, as releases differ in how they compute
    them. Raises `SiteError` when nothing is found.
    """
    if UNET not in components:
        patterns = [f"{OTHER}.{p.partition('.')[2]}" if p.startswith(f"{UNET}.") else p for p in patterns]
    table = named_modules(components)
    if TEXT_ENDS in patterns:
        ends = block_ends({name: module for name, module in table.items() if name.startswith(TEXT)})
        others = [pattern for pattern in patterns if pattern != TEXT_ENDS]
        return [*chosen_sites(components, others), *(find_sites(components, ends) if ends else [])]
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
    outputs = [name for name in table if asks_image and name.startswith(OTHER) and _is_output(name)]
    if len(norms) == len(of_text) and outputs:
        norms = [*find_sites(components, outputs), *of_text]
    of_image = [site.name for site in norms if site.name.startswith(OTHER)]
    if ALL_NORMS in patterns and of_image:
        _tell(of_image, table)
    return norms or _no_norms(patterns, table)


def _below(component: str, names: Iterable[str]) -> list[str]:
    start = f"{component}."
    return [name.removeprefix(start) for name in names if name.startswith(start)]


def _is_output(name: str) -> bool:
    return bool(_OUTPUT.search(name)) and not _OF_TIME.search(name)


def _tell(names: Sequence[str], table: Iterable[str]) -> None:
    """Say that a rule has chosen, and where."""
    held = {found[0]: found[1] for name in names if (found := _BLOCK.match(name))}
    numbered = {found[0]: found[1] for name in table if (found := _BLOCK.match(name))}
    blocks = [block for block, parent in numbered.items() if parent in held.values()]
    board().tell(
        "This image model is not in the table of architectures; a general rule gives "
        f"{len(names)} sites in {len(held)} of {len(blocks)} blocks. Choose own pattern to name them "
        "yourself."
    )


def _is_usual(name: str) -> bool:
    """Not of heads, and in a block; the UNet has one norm behind its blocks that counts too."""
    return not _OF_HEADS.search(name) and (not name.startswith(f"{OTHER}.") or bool(_IN_BLOCK.search(name)))


def _is_affine_norm(module: nn.Module) -> bool:
    return is_norm(module) and has_weight(module)


def _no_norms(patterns: Sequence[str], table: Mapping[str, nn.Module]) -> list[Site]:
    raise SiteError(
        f"No norm with weights matches {', '.join(patterns)}. Choose own pattern and name layers, "
        f"such as {next((n for n, m in table.items() if isinstance(m, nn.Linear)), '*')}."
    )
