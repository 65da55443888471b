"""The fingerprint: any other weight shows, a cast, a layout or a fuse does not."""

from __future__ import annotations

import copy
import warnings
from dataclasses import replace

import pytest
import torch
from torch import nn
from toys.models import ScaledRMSNorm, affine, randomised, toy_unet

from lineas.apply.fingerprint import fingerprint, has_weights
from lineas.apply.fusing import fuse
from lineas.apply.hooks import steer
from lineas.modules.names import find_sites
from lineas.steering.fingerprints import joined, parse, restricted, same_weights
from lineas.steering.provenance import Provenance
from lineas.steering.site import Site
from lineas.steering.steering import Steering


def test_fingerprint_knows_the_weights_and_not_the_sites_or_the_precision() -> None:
    unet = toy_unet().half().float()  # weights as a half-precision file holds them
    components = {"unet": unet, "text_encoder": randomised(nn.LayerNorm(3))}
    all_sites = find_sites(components, "*norm*")
    print_ = fingerprint(components, all_sites)
    assert fingerprint(components, all_sites[1:2]) == print_
    assert same_weights(print_, fingerprint({"unet": toy_unet().half()}, all_sites)) is True
    assert same_weights(print_, fingerprint({"unet": toy_unet(seed=5)}, all_sites)) is False
    assert same_weights(print_, fingerprint({"other": unet}, [Site("other.x")])) is None
    assert same_weights(print_, "") is None


def test_fingerprint_reads_a_bare_site_component_and_gives_up_on_meta() -> None:
    components = {"text_encoder": nn.LayerNorm(3), "unet": toy_unet()}
    assert fingerprint(components, [Site("unet.conv_norm_out")]).count("=") == 1
    with torch.device("meta"):
        hollow = nn.LayerNorm(3)
    assert fingerprint({"": hollow}, []) == ""


def test_fingerprint_looks_through_what_is_fused_into_a_scale_by_another_name() -> None:
    model = nn.ModuleDict({"norm": randomised(ScaledRMSNorm(4))})
    sites = find_sites({"": model}, "norm")
    before = fingerprint({"": model}, sites)
    with fuse(model, Steering({sites[0]: affine(4, shift=False)})) as handle:
        assert handle.fused and before and fingerprint({"": model}, sites) == before


def test_fingerprint_looks_through_what_is_fused() -> None:
    unet = toy_unet()
    sites = find_sites({"": unet}, "*norm*")
    before = fingerprint({"": unet}, sites)
    with fuse(unet, Steering({sites[0]: affine(4)})):
        assert fingerprint({"": unet}, sites) == before


def test_every_weight_counts_norms_or_not_and_all_over() -> None:
    unet = toy_unet()
    sites = find_sites({"": unet}, "*norm*")
    print_ = fingerprint({"": unet}, sites)
    for name, weight in unet.named_parameters():
        other = copy.deepcopy(unet)
        with torch.no_grad():
            dict(other.named_parameters())[name].add_(0.01 * weight.abs().max() + 0.01)
        assert same_weights(print_, fingerprint({"": other}, sites)) is False, name
    wide = nn.LayerNorm(320)
    before = fingerprint({"": wide}, [])
    with torch.no_grad():
        wide.weight[8:-8] += 0.1
    assert same_weights(before, fingerprint({"": wide}, [])) is False


def test_layouts_are_compared_in_the_weights_that_both_have() -> None:
    class Split(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.q, self.k, self.v, self.out = (nn.Linear(8, 8, bias=False) for _ in range(4))
            self.norm = randomised(nn.LayerNorm(8))

    class Fused(nn.Module):
        def __init__(self, other: Split) -> None:
            super().__init__()
            self.qkv, self.proj = nn.Linear(8, 24, bias=False), nn.Conv2d(8, 8, 1, bias=False)
            self.ln = copy.deepcopy(other.norm)
            with torch.no_grad():
                self.qkv.weight.copy_(torch.cat([other.q.weight, other.k.weight, other.v.weight]))
                self.proj.weight.copy_(other.out.weight[:, :, None, None])

    split = Split()
    fused = Fused(split)
    print_ = fingerprint({"": split}, [])
    assert has_weights({"": fused}, [], print_) is True
    with torch.no_grad():
        fused.ln.weight[3] += 1
    assert has_weights({"": fused}, [], print_) is False


def test_what_is_elsewhere_or_quantised_is_left_out_and_gives_no_false_alarm() -> None:
    unet = toy_unet()
    sites = find_sites({"": unet}, "*norm*")
    print_ = fingerprint({"": unet}, sites)
    offloaded = copy.deepcopy(unet)
    first = next(m for m in offloaded.modules() if isinstance(m, nn.Conv2d))
    first.weight = nn.Parameter(first.weight.to("meta"))
    assert has_weights({"": offloaded}, sites, print_) is True
    quantised = copy.deepcopy(unet)
    for module in quantised.modules():
        if isinstance(module, nn.Conv2d):
            module.weight = nn.Parameter(module.weight.to(torch.float8_e4m3fn), requires_grad=False)
    assert has_weights({"": quantised}, sites, print_) is True


def test_files_of_0_1_0_stay_comparable() -> None:
    """The value is what 0.1.0 wrote for this module."""
    norm = nn.LayerNorm(3)
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([1.0, 2.0, 3.0]))
        norm.bias.copy_(torch.tensor([0.5, 0.0, -0.5]))
    old = "1:=2a1394bfe5c640ea"
    assert fingerprint({"": norm}, [], version="1") == old
    assert has_weights({"": norm}, [], old) is True
    assert has_weights({"": nn.LayerNorm(3)}, [], old) is False
    assert has_weights({"": norm}, [], "9:=abcd") is None
    assert has_weights({"": norm}, [], "nonsense") is None


def test_it_stays_through_restrict_and_compose() -> None:
    unet, text = toy_unet(), randomised(nn.LayerNorm(3))
    components = {"unet": unet, "text_encoder": text}
    sites = find_sites(components, "*norm*")
    print_ = fingerprint(components, [*sites, Site("text_encoder.x")])
    maps = {site: affine(4) for site in sites[:2]}
    one = Steering(maps, Provenance(fingerprint=print_))
    kept = one.restrict(str(sites[0])).provenance.fingerprint
    assert kept == restricted(print_, ["unet"]) and has_weights(components, sites, kept) is True
    other = fingerprint({"text_encoder": text}, [Site("text_encoder.x")])
    two = Steering(maps, Provenance(fingerprint=other))
    both = one.restrict(str(sites[0])).compose(two).provenance.fingerprint
    assert parse(both) == parse(print_)
    old = fingerprint(components, sites, version="1")
    assert has_weights(components, sites, joined(kept, old)) is True
    assert has_weights({"unet": toy_unet(seed=5)}, sites, joined(kept, old)) is False
    strange = replace(one.provenance, fingerprint=fingerprint({"unet": toy_unet(seed=5)}, sites))
    with pytest.warns(UserWarning, match="fitted on other weights"):
        one.compose(Steering(maps, strange))


def test_each_wrong_model_is_warned_of() -> None:
    unet = toy_unet()
    sites = find_sites({"": unet}, "*norm*")[:1]
    steering = Steering({sites[0]: affine(4)}, Provenance(fingerprint=fingerprint({"": unet}, sites)))
    others = [toy_unet(seed=seed) for seed in (5, 6, 7)]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for other in (*others, *others):
            steer(other, steering).remove()
    assert len({str(each.message) for each in caught}) == 3
