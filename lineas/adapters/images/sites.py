"""Where to steer an image pipeline: presets by name, for UNets, diffusion transformers and text encoders."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase

from torch import nn

from lineas.architectures.table import architecture_of
from lineas.errors import SiteError
from lineas.modules.kinds import has_weight, is_norm, is_projection, width
from lineas.modules.names import block_ends, find_sites, named_modules
from lineas.steering.site import Site

PRESETS = ("norms", "attention", "feed_forward", "resnets", "text_stream", "text", "text_feed_forward")
"""norms: the norms with weights in every block of every denoiser, or the outputs of attention and feed-
forward where there are none; see `architectures`.
attention, feed_forward, resnets: what belongs to these parts.
text_stream: the text half of a diffusion transformer. text, text_feed_forward: the norms of the text
encoders, and what feed-forwards add there. Joined with a plus: "norms+text"."""
_WHOLE = ("norms", "attention", "feed_forward")
# The last layers of attentions and feed-forwards by the names that are usual.
_LAST = re.compile(
    r"((attn|attention)\w*\.(to_out(\.0)?|out_proj|out_layer|proj|o|wo|o_proj|dense)"
    r"|(ff|ffn|mlp|feed_forward)\w*\.(net\.2|fc2|w2|down|down_proj|linear_2"
    r"|out_proj|out_layer|linear_out|2))$"
)
_VISION = re.compile(r"\.(visual|vision_tower|vision_model|vision_encoder|multi_modal_projector)\.")


def diffusion_sites(components: Mapping[str, nn.Module], sites: str | Sequence[str]) -> list[Site]:
    """The sites of a preset, of several ("norms+text"), or those that match patterns (see `find_sites`).

    Warns where a preset finds nothing in some blocks of a denoiser, and where its class is not in the table
    of architectures, so that a general rule chose the sites. Raises `SiteError` when the pipeline has nothing
    of what was asked for.
    """
    if not is_preset(sites):
        return find_sites(components, sites)
    names = str(sites).split("+")
    return list(dict.fromkeys(site for name in names for site in _of_preset(components, name)))


def is_preset(sites: str | Sequence[str]) -> bool:
    """Whether this is the name of a preset, or of several, and no pattern."""
    return isinstance(sites, str) and any(name in PRESETS for name in sites.split("+"))


def denoisers(components: Mapping[str, nn.Module]) -> dict[str, nn.Module]:
    """The networks that denoise: "unet", "transformer", "transformer_2"."""
    return {name: part for name, part in components.items() if name.startswith(("unet", "transformer"))}


def sequence_first(components: Mapping[str, nn.Module], sites: Iterable[Site]) -> set[Site]:
    """Those of the sites whose activations are [s, b, d], as the table of architectures tells."""
    patterns = [
        f"{name}.{pattern}"
        for name, part in denoisers(components).items()
        if (known := architecture_of(part)) is not None
        for pattern in known.sequence_first
    ]
    chat_glm = [name for name, part in components.items() if type(part).__name__ == "ChatGLMModel"]
    patterns += [f"{name}.encoder.*" for name in chat_glm]
    return {site for site in sites if any(fnmatchcase(site.name, pattern) for pattern in patterns)}


def _of_preset(components: Mapping[str, nn.Module], preset: str) -> list[Site]:
    if preset not in PRESETS:
        near = get_close_matches(preset, PRESETS, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise SiteError(f"Unknown preset of sites {preset!r}, expected one of {', '.join(PRESETS)}.{hint}")
    found: list[Site] = []
    of_text = {"text": _norms_of_text, "text_feed_forward": _feed_forwards_of_text}.get(preset)
    for name, part in components.items():
        if of_text and name.startswith("text_encoder"):
            found += of_text(name, part)
    if not of_text:
        for name, part in denoisers(components).items():
            found += _of_denoiser(name, part, preset)
    if not found:
        parts = ", ".join(f"{part} ({type(module).__name__})" for part, module in components.items())
        raise SiteError(
            f"The preset {preset!r} finds no sites in {parts}. Give a pattern of module names instead, such "
            'as "transformer.*norm*"; find_sites(pipe.components, "*") lists them.'
        )
    return found


def _of_denoiser(name: str, denoiser: nn.Module, preset: str) -> list[Site]:
    known = architecture_of(denoiser)
    table = named_modules({name: denoiser})
    if known is None:
        chosen = _by_rule(name, table, preset)
        lists = _lists_of_blocks(table)
    else:
        chosen = _matching(table, [f"{name}.{each}" for each in known.presets.get(preset, ())])
        lists = [f"{name}.{each}" for each in known.blocks]
    # Norms without weights are scaled by the timestep, which outputs after them are not.
    chosen = [each for each in chosen if not is_norm(table[each]) or has_weight(table[each])]
    if chosen and lists and preset in _WHOLE:
        _tell(name, denoiser, chosen, lists, table, by_rule=known is None)
    return find_sites({name: denoiser}, chosen) if chosen else []


def _matching(table: Mapping[str, nn.Module], patterns: Sequence[str]) -> list[str]:
    return [
        name
        for name, module in table.items()
        if (is_norm(module) or is_projection(module)) and any(fnmatchcase(name, p) for p in patterns)
    ]


def _by_rule(component: str, table: Mapping[str, nn.Module], preset: str) -> list[str]:
    """For classes that are not known: the norms of the width that most outputs have, else those outputs."""
    if preset not in _WHOLE:
        return []
    inside = tuple(f"{blocks}." for blocks in _lists_of_blocks(table))
    outputs = [
        name
        for name, module in table.items()
        if name.startswith(inside) and is_projection(module) and _LAST.search(name)
    ]
    if preset != "norms":
        wanted = "att" if preset == "attention" else "f|mlp"
        return [name for name in outputs if re.search(rf"\.({wanted})\w*\.[^.]+(\.0|\.2)?$", name)]
    widths = {width(table[name]) for name in outputs}
    norms = [
        name
        for name, module in table.items()
        if name.startswith(inside) and is_norm(module) and has_weight(module) and width(module) in widths
    ]
    return norms if len(_blocks_of(norms, table)) == len(_blocks_of(outputs, table)) else outputs


def _lists_of_blocks(table: Mapping[str, nn.Module]) -> list[str]:
    """The lists of repeated blocks nearest the root."""
    lists = [name for name, module in table.items() if isinstance(module, nn.ModuleList) and len(module)]
    outer = [name for name in lists if not any(name.startswith(f"{other}.") for other in lists)]
    depth = min((name.count(".") for name in outer), default=0)
    return [name for name in outer if name.count(".") == depth]


def _blocks_of(names: Iterable[str], table: Mapping[str, nn.Module]) -> set[str]:
    """The blocks that hold modules of these names."""
    lists = _lists_of_blocks(table)
    return {
        f"{each}.{name.removeprefix(f'{each}.').partition('.')[0]}"
        for name in names
        for each in lists
        if name.startswith(f"{each}.")
    }


def _tell(
    name: str,
    denoiser: nn.Module,
    chosen: Sequence[str],
    lists: Sequence[str],
    table: Mapping[str, nn.Module],
    by_rule: bool,
) -> None:
    """Warn of blocks without sites and of a class that is not known."""
    blocks = [f"{each}.{number}" for each in lists for number in range(len(_children(table.get(each))))]
    held = sum(any(site.startswith(f"{block}.") for site in chosen) for block in blocks)
    where = f"{len(chosen)} sites in {held} of {len(blocks)} blocks of {name} ({type(denoiser).__name__})"
    if by_rule:
        warnings.warn(
            f"{type(denoiser).__name__} is not in the table of architectures; a general rule gives {where}. "
            "Give patterns of module names as sites to choose them yourself.",
            stacklevel=2,
        )
    elif held < len(blocks):
        warnings.warn(f"There are {where}.", stacklevel=2)


def _children(module: nn.Module | None) -> list[nn.Module]:
    return list(module.children()) if module is not None else []


def _norms_of_text(name: str, encoder: nn.Module) -> list[Site]:
    """The norms with weights of an encoder's language part; queries, keys and pictures are left out."""
    table = named_modules({name: encoder})
    chosen = [
        each
        for each, module in table.items()
        if is_norm(module) and has_weight(module) and not _VISION.search(each) and not _QUERIES.search(each)
    ]
    return find_sites({name: encoder}, chosen) if chosen else []


def _feed_forwards_of_text(name: str, encoder: nn.Module) -> list[Site]:
    """The last projection of every block of an encoder's language part."""
    table = named_modules({name: encoder})
    chosen = block_ends({each: module for each, module in table.items() if not _VISION.search(each)})
    return find_sites({name: encoder}, chosen) if chosen else []


_QUERIES = re.compile(r"\.(q|k|query|key)_?(norm|layernorm)$|\.norm_(q|k)$")
