"""The rows of the language tables: methods with their defaults, LinEAS with one option changed at a time."""

from __future__ import annotations

import importlib.util
from typing import Any

from benchmarks.language.cells import Variant
from lineas.methods.lineas.config import TrainConfig

DEFAULT, DEFAULT_SITES = TrainConfig.preset("fast"), "post_attention"
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


def ablations(quick: bool = False) -> list[Variant]:
    """Table C: LinEAS with preserve texts; samples, sparsity, steps and sites, one changed at a time."""
    counts, steps = ((2, 4), (1, 2)) if quick else ((2, 4, 8, 16, 32), (10, 40, 100, 300, 1000, 10000))
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
    ]


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
