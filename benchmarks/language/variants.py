"""The rows of the language tables: methods with their defaults, LinEAS with one option changed at a time."""

from __future__ import annotations

import importlib.util
from typing import Any

from benchmarks.language.cells import Variant
from lineas.adapters.language.sites import language_sites
from lineas.intents.settings import settings_for
from lineas.methods.lineas.config import TrainConfig
from lineas.modules.kinds import width
from lineas.modules.names import named_modules
from lineas.prompts.banks import REMOVE

DEFAULT, DEFAULT_SITES = TrainConfig.preset("fast"), "post_attention"
PUBLISHED_RATE, PUBLISHED_GAMMAS = 0.1, (0.0, 0.1)
COUNT = 32
"""Sentences of each set that there are."""
STEPS = 40
"""Of LinEAS here: more of them fit the 32 sentences more closely and change other texts more."""
GATED: dict[str, Any] = {"map": "gated", "preserve_weight": 0.3}
"""Maps that act only on tokens that look like the source; they change little else, so less must hold them."""
STRENGTHS = (0.25, 0.5, 0.75, 1.0)


def chosen_of(variants: list[Variant], names: list[str] | None) -> list[Variant]:
    """The rows with these labels; a name that is no label is a method, and stands for all its rows."""
    if names is None:
        return variants
    labels = {each.label for each in variants}
    unknown = set(names) - labels - {each.method for each in variants}
    if unknown:
        raise SystemExit(f"No row {', '.join(sorted(unknown))}, expected {'; '.join(sorted(labels))}.")
    whole = set(names) - labels
    return [each for each in variants if each.label in names or each.method in whole]


def methods(quick: bool = False) -> list[Variant]:
    """Table A: LinEAS with and without preserve texts, and every other method that is installed."""
    short: dict[str, Any] = {"steps": 2} if quick else {}
    lineas = {"steps": 2 if quick else STEPS}
    found = [
        Variant("LinEAS, gated", "lineas", preserve=True, options={**GATED, **lineas}),
        Variant("LinEAS", "lineas", preserve=True, options=dict(lineas)),
        Variant("LinEAS, no preserve texts", "lineas", options=dict(lineas)),
    ]
    trained = {"reft", "lofit"}
    found += [
        Variant(name, name, options=dict(short) if name in trained else {})
        for name in _registered()
        if name != "lineas"
    ]
    if "lin-act" in _registered():
        found.append(Variant("lin-act, observed range", "lin-act", options={"support": "observed"}))
    if "lofit" in _registered():
        found.append(Variant("lofit, reward", "lofit", reward=True, options=dict(short)))
    return found


def ablations(quick: bool = False, model: Any = None) -> list[Variant]:
    """Table C: LinEAS with preserve texts; samples, sparsity, steps and sites, one changed at a time.

    N = 1 is refused, and its row says why. With a model also the paper's own steps, at its scale of γ.
    """
    counts, steps = ((1, 2, 4), (1, 2)) if quick else ((1, 2, 4, 8, 16, 32), (10, 40, 100, 300, 1000, 10000))
    gammas = (0.0, 0.1) if quick else (0.0, 0.01, 0.03, 0.1, 0.3, 1.0)
    few: dict[str, Any] = {"steps": 2 if quick else STEPS}
    return [
        *(_lineas(f"N = {n}", few, count=n) for n in counts),
        *(_lineas(f"γ = {gamma:g}", few, sparsity=gamma) for gamma in gammas),
        *(_lineas(f"{n} steps", {}, steps=n) for n in steps),
        *(
            _lineas(f"sites {name}", few, sites=name)
            for name in ("post_attention", "norms", "mlp", "attention")
        ),
        *(_published(f"γ = {gamma:g} on the paper's scale", model, gamma, quick) for gamma in PUBLISHED_GAMMAS
          if model is not None),
    ]  # fmt: skip


def by_intent(label: str, quick: bool = False) -> Variant:
    """What `lineas.remove` gives by default."""
    sites, options, _ = settings_for(REMOVE, is_text=True, in_pairs=False)
    return Variant(label, "lineas", True, sites, options=options | ({"steps": 2} if quick else {}))


def published(model: Any, sites: str, gamma: float = 0.0) -> dict[str, Any]:
    """Options that take the steps of the paper's SGD at 0.1: its loss is the mean over all sites and units.

    Ours is their sum, so that the same steps have a rate as many times smaller, and the same share of a step
    is shrunk away with a γ as many times larger.
    """
    table = named_modules({"": model})
    units = sum(width(table[site.name]) or 0 for site in language_sites({"": model}, sites))
    rates: dict[str, Any] = {"preset": "paper", "learning_rate": PUBLISHED_RATE / units}
    return rates | ({"sparsity": gamma * units} if gamma else {})


def _published(label: str, model: Any, gamma: float, quick: bool) -> Variant:
    short = {"steps": 1} if quick else {}
    return Variant(label, "lineas", options={**published(model, DEFAULT_SITES, gamma), **short})


def _lineas(
    label: str, options: dict[str, Any], count: int | None = None, sites: str | None = None, **changes: Any
) -> Variant:
    """LinEAS with something changed; what equals the default is left out, so that it is measured once."""
    kept = {name: value for name, value in changes.items() if value != getattr(DEFAULT, name)}
    sites = None if sites == DEFAULT_SITES else sites
    count = None if count == COUNT else count
    return Variant(label, "lineas", True, sites, count, options={**options, **kept})


def _registered() -> list[str]:
    if importlib.util.find_spec("lineas.methods.registry") is None:
        return ["lineas"]
    from lineas.methods.registry import METHODS

    return list(METHODS)
