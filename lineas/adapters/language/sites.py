"""Where to steer a language model: presets by name, for the usual ways in which its modules are named."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from torch import nn

from lineas.errors import SiteError
from lineas.modules.kinds import is_norm
from lineas.modules.names import find_sites, named_modules
from lineas.steering.site import Site

PRESETS = ("post_attention", "norms", "mlp", "attention", "blocks")
"""post_attention: the norm after each attention. norms: also the norm after each feed-forward, as LinEAS has
it. mlp, attention: the outputs of the feed-forwards (of all experts together), of the
attentions. blocks: what each block hands on."""

# Each naming: the norm after attention, the norm after the feed-forward, their output projections. Where no
# norm follows the feed-forward, it is the first norm of the next block; [1-9] leaves out that of block 0.
_NAMINGS = {
    "Gemma 2 and 3": (
        "*layers.*.post_attention_layernorm",
        "*layers.*.post_feedforward_layernorm",
        "*layers.*.mlp.down_proj",
        "*layers.*.self_attn.o_proj",
    ),
    "Llama, Mistral, Qwen, Phi-3, Gemma": (
        "*layers.*.post_attention_layernorm",
        "*layers.[1-9]*.input_layernorm",
        "*layers.*.mlp.down_proj",
        "*layers.*.self_attn.o_proj",
    ),
    "GPT-NeoX": (
        "*layers.*.post_attention_layernorm",
        "*layers.[1-9]*.input_layernorm",
        "*layers.*.mlp.dense_4h_to_h",
        "*layers.*.attention.dense",
    ),
    "GPT-2": ("*h.*.ln_2", "*h.[1-9]*.ln_1", "*h.*.mlp.c_proj", "*h.*.attn.c_proj"),
    "Bloom": (
        "*h.*.post_attention_layernorm",
        "*h.[1-9]*.input_layernorm",
        "*h.*.mlp.dense_4h_to_h",
        "*h.*.self_attention.dense",
    ),
    "Apertus": (
        "*layers.*.feedforward_layernorm",
        "*layers.[1-9]*.attention_layernorm",
        "*layers.*.mlp.down_proj",
        "*layers.*.self_attn.o_proj",
    ),
    "LFM2": (
        "*layers.*.ffn_norm",
        "*layers.[1-9]*.operator_norm",
        "*layers.*.feed_forward.w2",
        "*layers.*.self_attn.out_proj",
    ),
    "OPT": (
        "*layers.*.final_layer_norm",
        "*layers.[1-9]*.self_attn_layer_norm",
        "*layers.*.fc2",
        "*layers.*.self_attn.out_proj",
    ),
}


_FEED_FORWARDS = ("mlp", "feed_forward", "block_sparse_moe", "moe")
_EXPERTS = re.compile(r"\.(experts|router|gate)(\.|$)")


def language_sites(components: Mapping[str, nn.Module], sites: str | Sequence[str]) -> list[Site]:
    """The sites of a preset by name, or those that match patterns (see `find_sites`).

    Warns where a preset finds nothing in some blocks. Raises `SiteError` for a preset on a
    model whose modules are named in an unknown way,
    with the patterns that would do,
    and for patterns that match nothing.
    """
    if not isinstance(sites, str) or sites not in PRESETS:
        return find_sites(components, sites)
    post_attention, post_mlp, mlp, attention = _naming(components)
    blocks = _blocks(components, post_attention)
    if sites == "blocks":
        return find_sites(components, blocks)
    # A model of a single block has no norm after its only feed-forward.
    after_mlp = [post_mlp] if _matches(components, post_mlp) else []
    chosen = {
        "post_attention": [post_attention],
        "norms": [post_attention, *after_mlp],
        "mlp": _feed_forwards(components, blocks, mlp),
        "attention": [attention],
    }[sites]
    found = find_sites(components, chosen)
    held = sum(any(site.name.startswith(f"{block}.") for site in found) for block in blocks)
    if held < len(blocks):
        warnings.warn(
            f"The preset {sites!r} has sites in {held} of {len(blocks)} blocks; the others have no part, "
            "as in hybrid models. Take blocks, post_attention or patterns to reach them.",
            stacklevel=2,
        )
    return found


def _feed_forwards(components: Mapping[str, nn.Module], blocks: Sequence[str], pattern: str) -> list[str]:
    """Of each block the last projection of its feed-forward; where that is a mixture of experts, the module
    that adds them up, with those that all tokens share."""
    table, chosen = named_modules(components), []
    for block in blocks:
        dense = [n for n in table if n.startswith(f"{block}.") and fnmatchcase(n, pattern)]
        parts = [f"{block}.{part}" for part in _FEED_FORWARDS if f"{block}.{part}" in table]
        is_mixture = bool(parts) and any(_EXPERTS.search(n) for n in table if n.startswith(f"{parts[0]}."))
        chosen += parts[:1] if is_mixture or not dense else dense
    return chosen


def _naming(components: Mapping[str, nn.Module]) -> tuple[str, str, str, str]:
    for naming in _NAMINGS.values():
        post_attention, post_mlp, _, attention = naming
        needed = [post_attention, attention] + [post_mlp] * ("feedforward" in post_mlp)
        if all(_matches(components, pattern) for pattern in needed):
            return naming
    norms = [name for name, module in named_modules(components).items() if is_norm(module)]
    found = dict.fromkeys(re.sub(r"(?<=\.)\d+(?=\.)", "*", name) for name in norms)
    usable = ", ".join(f'"{pattern}"' for pattern in found if "*" in pattern) or "none in numbered blocks"
    raise SiteError(
        f"The modules of this model are not named like those of {', '.join(_NAMINGS)}, so there are no "
        f"presets for it. Give a pattern as sites; the norm after each attention works well. Norms: {usable}."
    )


def _blocks(components: Mapping[str, nn.Module], pattern: str) -> list[str]:
    """The exact names of the numbered modules above the norms that match."""
    norms = [name for name in named_modules(components) if fnmatchcase(name, pattern)]
    return [name.rpartition(".")[0] for name in norms]


def _matches(components: Mapping[str, nn.Module], pattern: str) -> bool:
    return any(fnmatchcase(name, pattern) for name in named_modules(components))
