"""Where to steer a language model: presets by name, wherever the parts of the blocks are known."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence

from torch import nn

from lineas.errors import SiteError
from lineas.modules.blocks import Block, decoder_blocks, last_of_feed_forward, last_of_mixer
from lineas.modules.kinds import is_norm
from lineas.modules.names import find_sites, named_modules
from lineas.steering.site import Site

PRESETS = ("post_attention", "norms", "mlp", "attention", "blocks")
"""post_attention: the norm after each attention, or a block's only norm. norms: also the norm after each
feed-forward, as LinEAS has it; where none follows, it is the first norm of the next block. mlp: the outputs
of the feed-forwards, of all experts together. attention: those of all that mixes tokens, linear attention,
state spaces and convolutions too. blocks: what each block hands on."""


def language_sites(components: Mapping[str, nn.Module], sites: str | Sequence[str]) -> list[Site]:
    """The sites of a preset by name, or those that match patterns (see `find_sites`).

    Warns where a preset finds nothing in some blocks. Raises `SiteError` for a preset on a model whose
    modules are named in an unknown way, with the patterns that would do, and for patterns that match nothing.
    """
    if not isinstance(sites, str) or sites not in PRESETS:
        return find_sites(components, sites)
    table = named_modules(components)
    blocks = decoder_blocks(table)
    chosen = {block.name: _of_block(table, block, sites) for block in blocks}
    names = [name for each in chosen.values() for name in each]
    if not names:
        raise SiteError(_nothing(table, sites, len(blocks)))
    held = sum(map(bool, chosen.values()))
    if held < len(blocks):
        warnings.warn(
            f"The preset {sites!r} has sites in {held} of {len(blocks)} blocks; the others have no part, "
            "as in hybrid models. Take blocks, post_attention or patterns to reach them.",
            stacklevel=2,
        )
    return find_sites(components, names)


def _of_block(table: Mapping[str, nn.Module], block: Block, preset: str) -> list[str]:
    """The canonical names of a preset's sites in one block."""
    if preset == "blocks":
        return [block.name]
    if preset == "mlp":
        return [last_of_feed_forward(table, part) for part in block.feed_forwards]
    if preset == "attention":
        return [last_of_mixer(table, part) for part in block.mixers]
    after = block.after_feed_forward() or (block.first() if block.number else [])
    return block.after_mixer() + (after if preset == "norms" else [])


def _nothing(table: Mapping[str, nn.Module], preset: str, blocks: int) -> str:
    norms = [name for name, module in table.items() if is_norm(module)]
    found = dict.fromkeys(re.sub(r"(?<=\.)\d+(?=\.)", "*", name) for name in norms)
    usable = ", ".join(f'"{pattern}"' for pattern in found if "*" in pattern) or "none in numbered blocks"
    return (
        f"The preset {preset!r} finds nothing in {blocks} blocks: they have no such part, or their modules "
        "are named in a way that is not known. Take another preset or give a pattern as sites; the norm "
        f"after each attention works well. Norms: {usable}."
    )
