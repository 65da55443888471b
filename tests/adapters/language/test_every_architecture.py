"""Every language architecture that people run, built tiny: sites, default fit, steering, fusing."""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

import pytest
import torch
from toys.architectures import ARCHITECTURES, architecture, class_name
from toys.language import SOURCE, TARGET, tokenizer, transformers

from lineas import fit, fuse, steer
from lineas.adapters.language.sites import language_sites
from lineas.errors import SiteError
from lineas.modules.blocks import decoder_blocks
from lineas.modules.names import named_modules

IDS = torch.tensor([[1, 5, 6, 7, 8], [1, 9, 4, 3, 5]])
NO_FEED_FORWARD = ("FalconMamba", "Mamba", "Mamba2")


@cache
def made(name: str) -> Any:
    if not hasattr(transformers, class_name(name)):
        pytest.skip(f"transformers {transformers.__version__} has no {class_name(name)}")
    return architecture(name)


@torch.no_grad()
def logits(name: str) -> torch.Tensor:
    return made(name)(IDS, use_cache=False).logits


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_presets_reach_every_block_or_say_how_many(name: str) -> None:
    components = {"": made(name)}
    blocks = decoder_blocks(named_modules(components))
    assert len(blocks) >= 2
    for preset in ("post_attention", "norms", "mlp", "attention", "blocks"):
        if preset == "mlp" and name in NO_FEED_FORWARD:
            with pytest.raises(SiteError, match="finds nothing in 3 blocks"):
                language_sites(components, preset)
            continue
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            found = language_sites(components, preset)
        held = sum(any(f"{site.name}.".startswith(f"{b.name}.") for site in found) for b in blocks)
        said = [str(each.message) for each in told]
        assert said == [] if held == len(blocks) else f"{held} of {len(blocks)} blocks" in said[0]
        assert held == len(blocks) or (name == "NemotronH" and preset in ("mlp", "attention"))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_it_is_fitted_steered_fused_and_left_as_it_was(name: str) -> None:
    model, base = made(name), logits(name)
    steering = fit(model, SOURCE, TARGET, tokenizer=tokenizer(), steps=3, learning_rate=0.03)
    settings = steering.provenance.settings
    assert 0 < settings["cost"] < settings["cost_at_start"]
    assert torch.equal(logits(name), base)
    with steer(model, steering) as handle:
        hooked = logits(name)
        handle.set_strength(0)
        assert torch.equal(logits(name), base)
    assert not torch.equal(hooked, base)
    with fuse(model, steering):
        torch.testing.assert_close(logits(name), hooked, rtol=1e-3, atol=1e-4 * float(hooked.abs().max()))
    assert torch.equal(logits(name), base)


def _others() -> list[str]:
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as mapping

    return sorted(set(mapping.values()) - set(map(class_name, ARCHITECTURES)))


@pytest.mark.parametrize("name", _others())
def test_a_class_that_is_not_covered(name: str) -> None:
    pytest.skip(f"{name} is not covered: no tiny model of it is built here")
