"""Blocks of a language model: what mixes tokens in each, what feeds forward, and which norm is which."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from torch import nn

from lineas.modules.kinds import is_norm

_OTHER_SENSES = re.compile(r"(^|[._])(vision|visual|image|audio|speech|video|codec)")
_MIXER = re.compile(
    r"((self|linear|cross|multi_head)_)?(attn|attention|att|conv)|mixer|mamba\d?|temporal_block|mlstm_layer"
)
_FEED_FORWARD = re.compile(r"(shared_)?mlps?|mlp_block|feed_forward|ffn|(block_sparse_)?moe|fc2")
_LAST_OF_MIXER = ("o_proj", "out_proj", "dense", "c_proj", "Wo", "o_b_proj", "linear_out", "output")
_LAST_OF_FEED_FORWARD = (
    "down_proj", "dense_4h_to_h", "c_proj", "w2", "fc2", "fc_out", "Wo", "proj_down", "value",
    "output_linear",
)  # fmt: skip
_OF_EXPERTS = ("experts", "router", "gate")
_AFTER_MIXER = (
    "post_attention_layernorm", "post_attention_norm", "pre_feedforward_layernorm", "pre_mlp_layernorm",
    "pre_ff_layernorm", "feedforward_layernorm", "ffn_norm", "mlp_norm", "norm_2", "ln_2", "ln2",
    "channel_pre_norm", "norm_ffn", "final_layer_norm", "layernorm_before_ffn", "layernorm2", "ln_mlp",
)  # fmt: skip
_AFTER_FEED_FORWARD = ("post_feedforward_layernorm", "post_mlp_layernorm", "post_ffn_norm")
_FIRST = (
    "input_layernorm", "attention_layernorm", "operator_norm", "ln_1", "norm_1", "ln1", "attn_norm",
    "temporal_pre_norm", "norm_mlstm", "self_attn_layer_norm", "layernorm_before_attention", "layernorm1",
    "ln_attn", "norm",
)  # fmt: skip
_NORMS = {*_AFTER_MIXER, *_AFTER_FEED_FORWARD, *_FIRST}


@dataclass
class Block:
    """One decoder block by canonical name, with the canonical names of its parts.

    number: its place among its equals, from 0. mixers: attention, linear attention, state spaces and
    convolutions. feed_forwards: mixtures of experts too. norms: those that lie outside of both.
    """

    name: str
    number: int
    mixers: list[str] = field(default_factory=list)
    feed_forwards: list[str] = field(default_factory=list)
    norms: list[str] = field(default_factory=list)

    def after_mixer(self) -> list[str]:
        """The norm after what mixes tokens; the only one where a block has but one."""
        return self._named(_AFTER_MIXER) or (self.norms if len(self.norms) == 1 else [])

    def after_feed_forward(self) -> list[str]:
        """The norm on what the feed-forward gives; [] where none follows within the block."""
        return self._named(_AFTER_FEED_FORWARD)

    def first(self) -> list[str]:
        """The norm that the block begins with; [] where it is the same as `after_mixer`."""
        found = self._named(_FIRST)
        return found if found != self.after_mixer() else []

    def _named(self, names: Sequence[str]) -> list[str]:
        """The norms that the first of these names finds; several where a block has pairs of parts."""
        for name in names:
            found = [norm for norm in self.norms if _plain(norm, self.name) == name]
            if found:
                return found
        return []


def decoder_blocks(table: Mapping[str, nn.Module]) -> list[Block]:
    """The blocks among modules by canonical name (see `named_modules`), towers of other senses left out.

    A block is an entry of a module list that mixes tokens or feeds forward; [] where there is none.
    """
    found: list[Block] = []
    for name, module in table.items():
        inside = any(name.startswith(f"{block.name}.") for block in found)
        if inside or not isinstance(module, nn.ModuleList) or _OTHER_SENSES.search(name):
            continue
        blocks = [_block(f"{name}.{number}", int(number), each) for number, each in module.named_children()]
        found += [block for block in blocks if block.mixers or block.feed_forwards]
    return found


def last_of_mixer(table: Mapping[str, nn.Module], name: str) -> str:
    """The module whose output is a mixer's: its last projection, else itself."""
    return _last(table, name, _LAST_OF_MIXER)


def last_of_feed_forward(table: Mapping[str, nn.Module], name: str) -> str:
    """The module whose output is a feed-forward's: its last projection; of experts, what adds them up."""
    if any(part in dict(table[name].named_children()) for part in _OF_EXPERTS):
        return name
    return _last(table, name, _LAST_OF_FEED_FORWARD)


def _last(table: Mapping[str, nn.Module], name: str, parts: Sequence[str]) -> str:
    children = dict(table[name].named_children())
    found = next((part for part in parts if part in children), "")
    return f"{name}.{found}" if found else name


def _block(name: str, number: int, module: nn.Module) -> Block:
    block = Block(name, number)
    for path, part, role in _parts(module):
        whole = f"{name}.{path}"
        if _is_norm_of_block(role, part):
            block.norms.append(whole)
        elif _MIXER.fullmatch(role) and not (role == "mixer" and _feeds_forward(part)):
            block.mixers.append(whole)
        elif _FEED_FORWARD.fullmatch(role) or _MIXER.fullmatch(role):
            block.feed_forwards.append(whole)
    return block


def _parts(module: nn.Module, above: str = "", role: str = "") -> Iterator[tuple[str, nn.Module, str]]:
    """Path, module and name of every norm and every part with a role, and of what other levels hold."""
    for child, part in module.named_children():
        path, name = f"{above}{child}", role or child
        if isinstance(part, nn.ModuleList):
            yield from _parts(part, f"{path}.", name)
        elif _is_norm_of_block(name, part) or _MIXER.fullmatch(name) or _FEED_FORWARD.fullmatch(name):
            yield path, part, name
        else:
            yield from _parts(part, f"{path}.")


def _is_norm_of_block(name: str, part: nn.Module) -> bool:
    """By kind, or by a name that only norms have: some classes make them of several modules."""
    return is_norm(part) or name in _NORMS


def _feeds_forward(part: nn.Module) -> bool:
    """True for a feed-forward under a name that mixers have too, as in Nemotron-H."""
    children = dict(part.named_children())
    return "experts" in children or {"up_proj", "down_proj"} <= children.keys()


def _plain(norm: str, block: str) -> str:
    """The own name of a norm in a block, without the place in a list."""
    parts = [part for part in norm.removeprefix(f"{block}.").split(".") if not part.isdigit()]
    return parts[-1]
