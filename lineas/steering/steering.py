"""A steering: maps at sites, in execution order, with where they came from."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor

from lineas.errors import ConfigError, MapError
from lineas.maps.base import Map
from lineas.maps.stacked import join
from lineas.steering.fingerprints import joined, restricted, same_weights
from lineas.steering.hub_names import FILE, HubName, hub_name
from lineas.steering.provenance import Provenance, Setting
from lineas.steering.site import Site, match_names
from lineas.steering.slots import behind, slots_of
from lineas.steering.summary import headline, table

K = TypeVar("K")


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

    def active(self, strength: float = 1.0) -> dict[Site, Map]:
        """The maps that change anything at this strength, in execution order."""
        return {site: map for site, map in self.maps.items() if strength and not map.is_identity}

    @property
    def sparsity(self) -> float:
        """Share of all units that are left alone, 0..1; 1 for an identity."""
        units = sum(map.width for map in self.maps.values())
        return 1 - sum(int(s.sum()) for s in self.support.values()) / units if units else 1.0

    def at(self, strength: float) -> Steering:
        """The steering that does at strength 1 what this one does at `strength`."""
        return replace(self._mapped(lambda map: map.at(strength)), provenance=self.provenance.at(strength))

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
        made = self.provenance.unmeasured().noted(remark)
        return Steering({site: map for site, (map, _) in pairs.items()}, made)

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
        first = self.at(weights[0]).maps
        second = behind(other.at(weights[1]).maps, slots_of(first.items()))
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

        The fingerprint stays for the components that still hold a site.
        """
        kept = set(match_names(patterns, [str(site) for site in self.maps]))
        maps = {site: map for site, map in self.maps.items() if str(site) in kept}
        if len(maps) == len(self.maps):
            return self
        remark = f"restricted to {len(maps)} of {len(self.maps)} sites"
        components = {site.component for site in maps} | {""}
        print_ = restricted(self.provenance.fingerprint, components)
        return Steering(maps, replace(self.provenance, fingerprint=print_).unmeasured().noted(remark))

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
        return "\n".join([*headline(self), *table(self)])

    def save(
        self,
        path: str | Path,
        dtype: Literal["float32", "float16"] = "float32",
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        """Write one safetensors file; see `lineas.steering.files.save_steering`."""
        from lineas.steering.files import save_steering

        save_steering(self, path, dtype, metadata)

    @classmethod
    def load(cls, path: str | Path) -> Steering:
        """Read what `save` wrote, or one of the hub, "hf:owner/name"; see `load_steering` and `hub_name`."""
        from lineas.steering.files import load_steering

        if (name := hub_name(path)) is not None:
            from lineas.steering.hub import pull

            return pull(name)
        return load_steering(path)

    def push_to_hub(
        self,
        repo_id: str,
        *,
        about: str = "",
        license: str | None = None,
        figures: Mapping[str, object] | str | None = None,
        pictures: Mapping[str, str | Path] | None = None,
        **options: Any,
    ) -> str:
        """Put it on the Hugging Face hub with a card; returns its address there.

        repo_id: "owner/name". about: a sentence on what it does. license: None takes that of its model, where
        the hub knows it. figures: by name, {row: {column: figure}} for a table, or the Markdown that reports
        give. pictures: image files by caption. options: those of huggingface_hub's mixin, such as
        `private`, `token`, `branch` and `create_pr`. Raises `HubError`.
        """
        from lineas.steering.card import Card
        from lineas.steering.hub import push

        return push(self, repo_id, Card(about, license, figures or {}, pictures or {}), **options)

    @classmethod
    def from_pretrained(cls, repo_id: str | Path, filename: str = FILE, **options: Any) -> Steering:
        """Load what `push_to_hub` wrote, from the hub or from a folder.

        filename: where a repository holds several. options: `revision`, `token`, `cache_dir`,
        `force_download`, `local_files_only`. Raises `HubError`, and `SteeringFileError` for a bad file.
        """
        from lineas.steering.hub import pull

        return pull(HubName(str(repo_id), filename), **options)

    def _mapped(self, change: Callable[[Map], Map]) -> Steering:
        return Steering({site: change(map) for site, map in self.maps.items()}, self.provenance)


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
    if same_weights(a.fingerprint, b.fingerprint) is False:
        warnings.warn("These steerings were fitted on other weights; the first's are kept.", stacklevel=3)
    return Provenance(
        method="compose",
        base_model=a.base_model or b.base_model,
        fingerprint=joined(a.fingerprint, b.fingerprint),
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
