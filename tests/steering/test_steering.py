"""Steerings: their algebra site by site, their names, their summary."""

from __future__ import annotations

import copy
import pickle
import warnings
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from lineas.errors import ConfigError, MapError, SiteError
from lineas.maps.affine import AffineMap
from lineas.maps.gated import GatedMap
from lineas.maps.low_rank import LowRankMap
from lineas.steering.groups import at_groups
from lineas.steering.provenance import Provenance
from lineas.steering.site import Site, match_names
from lineas.steering.steering import Steering

NORM, LAST, TEXT = Site("unet.mid.norm", 0, 1), Site("unet.conv_norm_out", 0, 1), Site("text.layers.3.norm")
WIDTH = 4
seeds = st.integers(0, 2**31)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def steering(*sites: Site, seed: int = 0, **provenance: str) -> Steering:
    maps = {site: AffineMap(*normal(2, WIDTH, seed=seed + i)) for i, site in enumerate(sites)}
    return Steering(maps, Provenance(**provenance))


def run(one: Steering, z: Tensor, strength: float = 1.0) -> dict[Site, Tensor]:
    return {site: map(z, strength) for site, map in one.maps.items()}


@pytest.mark.parametrize("site", [Site("a.b"), Site("a.b", 2), Site("a:b", 1), Site("a.1")])
def test_sites_parse_as_they_print(site: Site) -> None:
    assert Site.parse(str(site)) == site


def test_a_site_needs_a_name_and_an_output() -> None:
    assert str(Site("a")) == "a" and str(Site("a", 1)) == "a:1"
    assert Site.parse("a:1", axis=1) == Site("a", 1, 1)
    for impossible in ("", ":1"):
        with pytest.raises(SiteError):
            Site.parse(impossible)
    with pytest.raises(SiteError):
        Site("a", -1)


@pytest.mark.parametrize(
    "bad", [{"method": 3}, {"notes": None}, {"settings": [1]}, {"settings": {"a": [1]}}, {"settings": {1: 2}}]
)
def test_provenance_holds_only_what_a_file_can(bad: dict) -> None:
    with pytest.raises(ConfigError):
        Provenance(**bad)


def test_the_maps_are_read_only_ordered_and_copied() -> None:
    maps = {LAST: AffineMap.identity(2), NORM: AffineMap.identity(3)}
    one = Steering(maps)
    maps.clear()
    assert one.sites == (LAST, NORM)
    with pytest.raises(TypeError):
        one.maps[NORM] = AffineMap.identity(3)  # type: ignore[index]


def test_one_output_has_one_axis() -> None:
    with pytest.raises(MapError, match="twice"):
        Steering({Site("a", 0, 1): AffineMap.identity(2), Site("a", 0, -1): AffineMap.identity(2)})


def test_it_can_be_copied_and_pickled() -> None:
    one = steering(NORM, TEXT, method="lineas")
    for again in (copy.deepcopy(one), pickle.loads(pickle.dumps(one))):
        assert again.allclose(one, 0, 0) and again.provenance == one.provenance


@given(seeds, st.floats(-2, 2))
def test_at_acts_at_every_site(seed: int, strength: float) -> None:
    one, z = steering(NORM, TEXT, seed=seed), normal(3, WIDTH)
    torch.testing.assert_close(run(one.at(strength), z), run(one, z, strength))


@given(seeds)
def test_the_inverse_undoes(seed: int) -> None:
    one, z = steering(NORM, TEXT, seed=seed), normal(3, WIDTH)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        back = one.inverse(1e-6).compose(one)
    torch.testing.assert_close(run(back, z), dict.fromkeys(one.sites, z), atol=1e-6, rtol=0)


def test_limited_units_are_counted() -> None:
    one = Steering({NORM: AffineMap(torch.tensor([-1.0, 0, -0.99]), torch.zeros(3))})
    with pytest.warns(UserWarning, match="2 units"):
        assert "2 units limited at |ω| = 0.05" in one.inverse().provenance.notes
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "0 units" in steering(NORM).at(0).inverse().provenance.notes


def test_what_has_no_inverse_names_its_site() -> None:
    with pytest.raises(MapError, match=r"unet\.mid\.norm: .*gated"):
        Steering({NORM: GatedMap.identity(2)}).inverse()


@given(seeds, st.floats(-2, 2), st.floats(-2, 2))
def test_composition_in_sequence_and_in_sum(seed: int, first: float, second: float) -> None:
    a, b, z = steering(NORM, TEXT, seed=seed), steering(NORM, LAST, seed=seed + 5), normal(3, WIDTH)
    chain, total = a.compose(b, weights=(first, second)), a.compose(b, "sum", (first, second))
    one, two = a.maps[NORM], b.maps[NORM]
    torch.testing.assert_close(chain.maps[NORM](z), two(one(z, first), second))
    torch.testing.assert_close(total.maps[NORM](z), one(z, first) + two(z, second) - z)
    for both in (chain, total):
        torch.testing.assert_close(both.maps[TEXT](z), a.maps[TEXT](z, first))
        torch.testing.assert_close(both.maps[LAST](z), b.maps[LAST](z, second))


def test_composition_keeps_the_execution_order() -> None:
    names = [Site(name) for name in "abcdef"]
    even, odd = steering(*names[1::2]), steering(*names[0::2], names[5])
    assert steering(*names[:2], names[4]).compose(steering(*names[1:4], names[5])).sites[:2] == tuple(
        names[:2]
    )
    for merged in (even.compose(odd), odd.compose(even)):
        assert set(merged.sites) == set(names)
        for part in (even, odd):
            assert [site for site in merged.sites if site in part.maps] == list(part.sites)


def test_composition_says_what_it_is_made_of() -> None:
    a, b = (
        steering(NORM, method="lineas", base_model="sdxl", fingerprint="1:unet=a"),
        steering(NORM, base_model="sd15"),
    )
    with pytest.warns(UserWarning, match="sdxl and sd15"):
        made = a.compose(b, weights=(0.5, 1)).provenance
    assert (made.method, made.base_model, made.fingerprint) == ("compose", "sdxl", "1:unet=a")
    assert made.settings == {"mode": "sequence", "weight_1": 0.5, "weight_2": 1}
    assert a.compose(a).provenance.fingerprint == "1:unet=a"


def test_the_usable_range_belongs_to_what_it_was_measured_on() -> None:
    one = steering(NORM, TEXT)
    settings = {"steps": 3, "usable_from": 0.5, "usable_to": 2.0, "calibrated_by": "cost"}
    one = replace(one, provenance=replace(one.provenance, settings=settings))
    assert one.at(2.0).provenance.settings == {**settings, "usable_from": 0.25, "usable_to": 1.0}
    others = (one.at(-1.0), one.inverse(1e-9), one.restrict("text*"), at_groups(one, {"unet*": 0.5}))
    for other in others:
        assert other.provenance.settings == {"steps": 3}
    assert one.to(dtype=torch.float32).provenance.settings == settings


def test_compositions_that_do_not_exist_are_refused() -> None:
    a = steering(NORM)
    with pytest.raises(ConfigError, match="'mean'"):
        a.compose(a, "mean")  # type: ignore[arg-type]
    with pytest.raises(MapError, match=r"unet\.mid\.norm: .*one site"):
        a.compose(Steering({NORM: LowRankMap.identity(WIDTH + 1)}))
    with pytest.raises(MapError, match="twice"):
        a.compose(steering(Site(NORM.name, 0, -1)))


def test_restriction_keeps_order_and_the_fingerprint_of_what_is_left() -> None:
    one = steering(NORM, TEXT, LAST, fingerprint="1:unet=a,text_encoder=b")
    kept = one.restrict("unet.*")
    assert kept.sites == (NORM, LAST) and kept.provenance.fingerprint == "1:unet=a"
    assert "2 of 3" in kept.provenance.notes
    assert one.restrict(["*"]) is one
    with pytest.raises(SiteError, match=r"Near names: unet\.mid\.norm"):
        one.restrict("unet.mid.nrm")


def test_names_match_in_their_own_order() -> None:
    names = ["b.norm", "a.norm", "a.proj"]
    assert match_names("*.norm", names) == ["b.norm", "a.norm"]
    assert match_names(["a.proj", "b.*"], names) == ["b.norm", "a.proj"]
    assert match_names("a.proj", iter(names)) == ["a.proj"]
    with pytest.warns(UserWarning, match=r"'a\.nrm'.*a\.norm"):
        assert match_names(["a.nrm", "a.proj"], names) == ["a.proj"]
    for nothing, of in (([], names), ("A.*", names), ("*", [])):
        with pytest.raises(SiteError, match="No site matches"):
            match_names(nothing, of)


def test_sparsity_and_support() -> None:
    one = Steering({NORM: AffineMap(torch.tensor([0.0, 1, 0]), torch.zeros(3)), TEXT: AffineMap.identity(5)})
    assert one.sparsity == pytest.approx(7 / 8)
    assert one.support[NORM].tolist() == [False, True, False]
    assert Steering({}).sparsity == 1


def test_allclose_sees_every_difference() -> None:
    one = steering(NORM, TEXT)
    assert one.allclose(one.to(dtype=torch.float32), rtol=1e-6)
    assert not one.allclose(one.at(1.001))
    assert not one.allclose(steering(TEXT, NORM))
    assert not one.allclose(one.restrict("unet*"))
    assert not Steering({NORM: AffineMap.identity(2)}).allclose(Steering({NORM: GatedMap.identity(2)}))
    assert not Steering({NORM: AffineMap.identity(2)}).allclose(Steering({NORM: AffineMap.identity(3)}))


def test_a_check_names_the_site() -> None:
    with pytest.raises(MapError, match=r"unet\.mid\.norm: .*NaN"):
        Steering({NORM: AffineMap(torch.tensor([float("nan")]), torch.zeros(1))}).check()
    steering(NORM).check()


def test_the_summary_tells_what_where_how_sparse_and_how_strong() -> None:
    resnets = {
        Site(f"unet.down.{i}.norm", 0, 1): AffineMap(torch.tensor([0.5, 0]), torch.zeros(2)) for i in range(3)
    }
    made = Provenance("lineas", "sdxl", "1:ab", settings={"seed": 1}, library_version="0.1.0", notes="a\nb")
    text = Steering({**resnets, TEXT: LowRankMap.identity(3)}, made).summary()
    for part in ("lineas", "sdxl 1:ab", "seed 1", "4, 9 units, sparsity 66.7%", "a; b"):
        assert part in text
    row = next(line.split() for line in text.splitlines() if "unet.down.*.norm" in line)
    assert row[1:] == ["3", "6", "50.0%", "0.25", "0"]
    assert Steering({}).summary().startswith("Steering")
