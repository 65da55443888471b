"""The rows of the language tables: methods with their defaults, and LinEAS with one option changed at a time."""

from __future__ import annotations

import importlib.util
from typing import Any

from language_cells import Variant

STRENGTHS = (0.25, 0.5, 0.75, 1.0)
SHIFTING = {"mean-act", "iti-c", "caa"}


def methods(names: list[str] | None = None, quick: bool = False) -> list[Variant]:
    """Table A: LinEAS with and without preserve texts, and every other method that is installed."""
    short: dict[str, Any] = {"steps": 2} if quick else {}
    found = [
        Variant("LinEAS", "lineas", preserve=True, options=dict(short)),
        Variant("LinEAS, no preserve texts", "lineas", options=dict(short)),
    ]
    trained = {"reft", "lofit"}
    found += [
        Variant(name, name, options=dict(short) if name in trained else {})
        for name in _registered()
        if name != "lineas"
    ]
    if "lofit" in _registered():
        found.append(Variant("lofit, reward", "lofit", reward=True, options=dict(short)))
    return [each for each in found if names is None or each.label in names or each.method in names]


def ablations(quick: bool = False) -> list[Variant]:
    """Table C: LinEAS with preserve texts; samples, sparsity, steps and sites, one changed at a time."""
    base: dict[str, Any] = {"steps": 2} if quick else {}
    counts, steps = ((2, 4), (1, 2)) if quick else ((2, 4, 8, 16, 32), (10, 30, 100, 300, 1000, 10000))
    gammas = (0.0, 0.1) if quick else (0.0, 0.01, 0.03, 0.1, 0.3, 1.0)
    sites = ("post_attention", "norms", "mlp", "attention")
    rows = [Variant(f"N = {n}", "lineas", preserve=True, count=n, options=dict(base)) for n in counts]
    rows += [Variant(f"γ = {g:g}", "lineas", preserve=True, options={**base, "sparsity": g}) for g in gammas]
    rows += [Variant(f"{n} steps", "lineas", preserve=True, options={"steps": n}) for n in steps]
    return rows + [
        Variant(f"sites {name}", "lineas", preserve=True, sites=name, options=dict(base)) for name in sites
    ]


def _registered() -> list[str]:
    if importlib.util.find_spec("lineas.methods.registry") is None:
        return ["lineas"]
    from lineas.methods.registry import METHODS

    return list(METHODS)
