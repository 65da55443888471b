"""The methods by name, with their options and what they work on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from lineas.errors import ConfigError
from lineas.fitting.options import Options
from lineas.methods.closed_form import aura, caa, casteer, iti_c, lin_act, mean_act, midsteer
from lineas.methods.lineas import trainer as lineas
from lineas.methods.lineas.config import TrainConfig
from lineas.methods.trained import lofit, reft
from lineas.steering.steering import Steering


@dataclass(frozen=True)
class Method:
    """One way to fit a steering.

    name: as people write it. fit: (problem, config, progress, seconds) -> steering. config: the class of its
    options. summary: one sentence for help texts. needs_texts: it works on language models alone. preserves:
    it uses preserve prompts. resumes: its fit also takes the state of an earlier one to go on from.
    """

    name: str
    fit: Callable[..., Steering]
    config: type[Options]
    summary: str
    needs_texts: bool = False
    preserves: bool = False
    resumes: bool = False


METHODS = {
    method.name: method
    for method in (
        Method(
            "lineas",
            lineas.fit,
            TrainConfig,
            "scale and shift at all sites, trained end to end on a distributional cost",
            preserves=True,
            resumes=True,
        ),
        Method(
            "lin-act", lin_act.fit, lin_act.LinActConfig, "scale and shift by least squares, site by site"
        ),
        Method(
            "mean-act", mean_act.fit, mean_act.MeanActConfig, "a shift by the mean difference, site by site"
        ),
        Method("iti-c", iti_c.fit, iti_c.ITIConfig, "a shift along the direction of a linear classifier"),
        Method("caa", caa.fit, caa.CAAConfig, "a shift by the mean difference of last tokens"),
        Method(
            "casteer", casteer.fit, casteer.CASteerConfig, "turns away from the mean difference, or toward it"
        ),
        Method(
            "midsteer",
            midsteer.fit,
            midsteer.MidSteerConfig,
            "carries the mean of source rows to that of target rows and disturbs the rest least",
            preserves=True,
        ),
        Method("aura", aura.fit, aura.AurAConfig, "damps units by how well they tell source from target"),
        Method(
            "reft",
            reft.fit,
            reft.ReFTConfig,
            "low-rank edits trained on the likelihood of the target texts",
            needs_texts=True,
        ),
        Method(
            "lofit",
            lofit.fit,
            lofit.LoFiTConfig,
            "offsets at chosen units, from target texts or a reward",
            needs_texts=True,
        ),
    )
}


def method_named(name: str) -> Method:
    """The method of a name, in which - and _ are alike. `ConfigError` with the known ones."""
    found: Any = METHODS.get(str(name).lower().replace("_", "-"))
    if found is None:
        near = get_close_matches(str(name), METHODS, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ConfigError(f"Unknown method {name!r}, expected one of {', '.join(METHODS)}.{hint}")
    return found
