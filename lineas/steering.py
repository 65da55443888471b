"""A steering: maps at sites, in execution order, with where they came from."""

from __future__ import annotations

import difflib
import re
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from fnmatch import fnmatchcase
from pathlib import Path
from types import MappingProxyType
from typing import Literal, TypeVar

import torch
from torch import Tensor

from lineas.errors import ConfigError, MapError, SiteError
from lineas.maps import Map
from lineas.stacked import join

Setting = str | int | float | bool | None
K = TypeVar("K")


@dataclass(frozen=True, order=True)
class Site:
    """One output of one module, and the axis that holds its units.

    name: canonical module path, such as "unet.mid_block.attentions.0.norm".
    output: index into the module's outputs, 0 for the first or only one.
    axis: unit axis of the output, −1 for [b, s, d], 1 for [b, c, h, w].
    """

    name: str
    output: int = 0
    axis: int = -1

    def __post_init__(self) -> None:
        if not self.name or self.output < 0:
            raise SiteError(f"A site needs a name and an output ≥ 0, got {self.name!r}, {self.output}.")

    def __str__(self) -> str:
        return self.name if self.output == 0 else f"{self.name}:{self.output}"

    @classmethod
    def parse(cls, text: str, axis: int = -1) -> Site:
        """The site that prints as `text`: "name" or "name:output". Raises `SiteError` on an empty name."""
        found = re.fullmatch(r"(.*):(\d+)", text)
        return cls(found[1], int(found[2]), axis) if found else cls(text, 0, axis)


@dataclass(frozen=True)
class Provenance:
    """Where a steering came from. Every field may be empty.

    method: name of the method that fitted it. base_model: the model it was fitted on, for people.
    fingerprint: the same for machines, over the modules at its sites. prompts_hash: of the prompt sets.
    settings: the method's options, seeds included. library_version, created: of the fit, created in ISO 8601.
    notes: free text, one remark per line. Raises `ConfigError` for values that a file cannot hold.
    """

    method: str = ""
    base_model: str = ""
    fingerprint: str = ""
    prompts_hash: str = ""
    settings: Mapping[str, Setting] = field(default_factory=dict, hash=False)
    library_version: str = ""
    created: str = ""
    notes: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.settings, Mapping):
            raise ConfigError(f"settings of a provenance are {self.settings!r}, expected a mapping.")
        texts = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "settings"}
        wrong = [name for name, value in texts.items() if not isinstance(value, str)]
        plain = {name: isinstance(name, str) and isinstance(v, Setting) for name, v in self.settings.items()}
        wrong += [repr(name) for name, fits in plain.items() if not fits]
        if wrong:
            raise ConfigError(
                f"{', '.join(wrong)} of a provenance must be text, or a plain value in settings."
            )

    def noted(self, remark: str) -> Provenance:
        """The same with one more line of notes."""
        return replace(self, notes=f"{self.notes}\n{remark}" if self.notes else remark)


@dataclass(frozen=True, eq=False)
class Steering:
    """{Site: map} in execution order, read-only, and its provenance.

    Compared by identity; `allclose` compares the content.
    """

    maps: Mapping[Site, Map]
    provenance: Provenance = field(default_factory=Provenance)

    def __post_init__(self) -> None:
        outputs: set[str] = set()
        for site in self.maps:
            if str(site) in outputs:
                raise MapError(f"Site {site} appears twice, with two unit axes. Keep the one of its module.")
            outputs.add(str(site))
        object.__setattr__(self, "maps", MappingProxyType(dict(self.maps)))

    def __reduce__(self) -> tuple[type[Steering], tuple[dict[Site, Map], Provenance]]:
        return Steering, (dict(self.maps), self.provenance)

    @property
    def sites(self) -> tuple[Site, ...]:
        """The sites in execution order."""
        return tuple(self.maps)

    @property
    def support(self) -> dict[Site, Tensor]:
        """[d] bool per site: the units that can change."""
        return {site: map.support for site, map in self.maps.items()}

    @property
    def sparsity(self) -> float:
        """Share of all units that are left alone, 0..1; 1 for an identity."""
        units = sum(map.width for map in self.maps.values())
        return 1 - sum(int(s.sum()) for s in self.support.values()) / units if units else 1.0

    def at(self, strength: float) -> Steering:
        """The steering that does at strength 1 what this one does at `strength`."""
        return self._mapped(lambda map: map.at(strength))

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Steering:
        """The same steering on another device or in another floating dtype."""
        return self._mapped(lambda map: map.to(device, dtype))

    def inverse(self, min_scale: float = 0.05) -> Steering:
        """Undo this steering, site by site; T⁻¹(z) = (z − b) ⊘ ω.

        Units with |ω| < `min_scale` are limited: they are counted in a warning and in the notes, and undone
        only approximately. Raises `MapError` when a map has no inverse.
        """
        pairs = {site: _at_site(site, map.inverse, min_scale) for site, map in self.maps.items()}
        limited = sum(int(units.sum()) for _, units in pairs.values())
        remark = f"inverted; {limited} units limited at |ω| = {min_scale:g}"
        if limited:
            warnings.warn(f"Undone only in part: {remark}.", stacklevel=2)
        return Steering({site: map for site, (map, _) in pairs.items()}, self.provenance.noted(remark))

    def compose(
        self,
        other: Steering,
        mode: Literal["sequence", "sum"] = "sequence",
        weights: tuple[float, float] = (1.0, 1.0),
    ) -> Steering:
        """Both steerings as one, at the sites of either, each at its weight (1 full, 0 off).

        "sequence": `other` after this one, not commutative. "sum": changes are added, commutative. Two affine
        maps of a site make one affine map, other pairs a `StackedMap`. Raises `MapError` where two maps of a
        site have unlike widths, `ConfigError` for another mode.
        """
        if mode not in ("sequence", "sum"):
            raise ConfigError(f'Unknown way to compose {mode!r}, expected "sequence" or "sum".')
        first, second = self.at(weights[0]).maps, other.at(weights[1]).maps
        maps: dict[Site, Map] = {}
        for site in _merged(list(first), list(second)):
            if site in first and site in second:
                maps[site] = _at_site(site, join, first[site], second[site], mode)
            else:
                maps[site] = first[site] if site in first else second[site]
        settings: dict[str, Setting] = {"mode": mode, "weight_1": weights[0], "weight_2": weights[1]}
        return Steering(maps, _joint_provenance(self, other, settings))

    def restrict(self, patterns: str | Sequence[str]) -> Steering:
        """Keep the sites whose full names match a pattern (fnmatch). `SiteError` when nothing is left.

        The fingerprint covers all sites of a fit, so it is dropped when a site is.
        """
        kept = set(match_names(patterns, [str(site) for site in self.maps]))
        maps = {site: map for site, map in self.maps.items() if str(site) in kept}
        if len(maps) == len(self.maps):
            return self
        remark = f"restricted to {len(maps)} of {len(self.maps)} sites"
        return Steering(maps, replace(self.provenance, fingerprint="").noted(remark))

    def allclose(self, other: Steering, rtol: float = 1e-5, atol: float = 1e-8) -> bool:
        """True when both have the same sites in the same order, the same kinds of maps and close tensors."""
        return self.sites == other.sites and all(
            _maps_close(self.maps[site], other.maps[site], rtol, atol) for site in self.maps
        )

    def check(self) -> None:
        """Raise `MapError`, naming the site, when a map has misshapen or non-finite tensors."""
        for site, map in self.maps.items():
            _at_site(site, map.check)

    def summary(self) -> str:
        """Lines for people: what it is, where it acts by group of sites, how sparsely and how strongly."""
        return "\n".join([*_headline(self), *_table(self)])

    def save(self, path: str | Path, dtype: Literal["float32", "float16"] = "float32") -> None:
        """Write one safetensors file; see `lineas.storage.save_steering`."""
        from lineas.storage import save_steering

        save_steering(self, path, dtype)

    @classmethod
    def load(cls, path: str | Path) -> Steering:
        """Read a file written by `save`; see `lineas.storage.load_steering`."""
        from lineas.storage import load_steering

        return load_steering(path)

    def _mapped(self, change: Callable[[Map], Map]) -> Steering:
        return Steering({site: change(map) for site, map in self.maps.items()}, self.provenance)


def match_names(patterns: str | Sequence[str], names: Iterable[str]) -> list[str]:
    """The names that match any pattern (fnmatch, case-sensitive), in the order of `names`.

    Raises `SiteError` with near names when no pattern matches; warns when only some of them do not.
    """
    names = list(names)
    patterns = [patterns] if isinstance(patterns, str) else list(patterns)
    unmatched = [p for p in patterns if not any(fnmatchcase(name, p) for name in names)]
    message = (
        f"No site matches {', '.join(map(repr, unmatched)) or 'an empty list'}. {_near(unmatched, names)}"
    )
    if len(unmatched) == len(patterns):
        raise SiteError(message)
    if unmatched:
        warnings.warn(message, stacklevel=2)
    return [name for name in names if any(fnmatchcase(name, p) for p in patterns)]


def _near(patterns: Sequence[str], names: Sequence[str]) -> str:
    near = [n for p in patterns for n in difflib.get_close_matches(p, names, n=3, cutoff=0.3)] or names[:3]
    return f"Near names: {', '.join(dict.fromkeys(near))}." if near else "There are no sites to choose from."


T = TypeVar("T")


def _at_site(site: Site, action: Callable[..., T], *arguments: object) -> T:
    try:
        return action(*arguments)
    except MapError as error:
        raise MapError(f"{site}: {error}") from error


def _merged(first: list[Site], second: list[Site]) -> list[Site]:
    """Both execution orders as one: a site of the second alone follows its predecessor there."""
    merged, position = list(first), 0
    for site in second:
        if site not in first:
            merged.insert(position, site)
        position = merged.index(site) + 1
    return merged


def _joint_provenance(first: Steering, second: Steering, settings: Mapping[str, Setting]) -> Provenance:
    a, b = first.provenance, second.provenance
    if a.base_model and b.base_model and a.base_model != b.base_model:
        warnings.warn(f"These steerings were made for {a.base_model} and {b.base_model}.", stacklevel=3)
    same_sites = set(first.sites) == set(second.sites)
    return Provenance(
        method="compose",
        base_model=a.base_model or b.base_model,
        fingerprint=a.fingerprint if same_sites and a.fingerprint == b.fingerprint else "",
        settings=settings,
        library_version=a.library_version,
        notes=f"1: {a.method} {dict(a.settings)}\n2: {b.method} {dict(b.settings)}",
    )


def _maps_close(one: Map, two: Map, rtol: float, atol: float) -> bool:
    mine, others = one.tensors(), two.tensors()
    if one.kind != two.kind or mine.keys() != others.keys():
        return False
    pairs = ((mine[name], others[name]) for name in mine)
    return all(a.shape == b.shape and _close(a, b, rtol, atol) for a, b in pairs)


def _close(one: Tensor, two: Tensor, rtol: float, atol: float) -> bool:
    return torch.allclose(one.to("cpu", torch.float64), two.to("cpu", torch.float64), rtol, atol)


def _headline(steering: Steering) -> list[str]:
    made = steering.provenance
    units = sum(map.width for map in steering.maps.values())
    facts = {
        "sites": f"{len(steering.maps)}, {units} units, sparsity {steering.sparsity:.1%}",
        "made for": f"{made.base_model} {made.fingerprint}".strip(),
        "made by": f"lineas {made.library_version} {made.created}".rstrip() if made.library_version else "",
        "settings": ", ".join(f"{name} {value}" for name, value in made.settings.items()),
        "notes": made.notes.replace("\n", "; "),
    }
    lines = [f"  {name}: {fact}" for name, fact in facts.items() if fact]
    return [f"Steering {made.method}".rstrip(), *lines]


def _table(steering: Steering) -> list[str]:
    """One line per group of sites; a group is the site names with their numbers left out."""
    groups: dict[str, list[Map]] = {}
    for site, map in steering.maps.items():
        groups.setdefault(re.sub(r"\d+", "*", str(site)), []).append(map)
    place = max((len(name) for name in groups), default=0)
    lines = [f"  {'where':{place}}  sites   units  steered  mean |ω − 1|  mean |b|"]
    for name, maps in groups.items():
        units = sum(map.width for map in maps)
        steered = sum(int(map.support.sum()) for map in maps) / units
        size = "  ".join((f"{_mean_size(maps, 'deviation'):>12}", f"{_mean_size(maps, 'shift'):>8}"))
        lines.append(f"  {name:{place}}  {len(maps):5}  {units:6}  {steered:7.1%}  {size}")
    return lines


def _mean_size(maps: Sequence[Map], tensor: str) -> str:
    values = [map.tensors()[tensor].abs().float().flatten() for map in maps if tensor in map.tensors()]
    return f"{torch.cat(values).mean():.3g}" if values else "–"
