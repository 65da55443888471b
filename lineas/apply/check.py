"""Does a steering belong to a model: are its sites there, of the right width, with the same weights?"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping, Sequence

from torch import nn

from lineas.apply.fingerprint import fingerprint, has_weights
from lineas.errors import MismatchError, plain
from lineas.maps.base import Map
from lineas.modules.kinds import width
from lineas.modules.names import named_modules, near_names
from lineas.steering.site import Site
from lineas.steering.steering import Steering


def check_fit(components: Mapping[str, nn.Module], steering: Steering) -> dict[Site, nn.Module]:
    """The module of every site. `MismatchError` that lists every missing site and every other width.

    Warns when the model has the same shape but other weights than the steering was fitted on.
    """
    table = named_modules(components)
    problems = [site for site, map in steering.maps.items() if not _fits(table.get(site.name), site, map)]
    if problems:
        raise MismatchError(_refusal(steering, problems, table))
    _warn_of_other_weights(components, steering)
    return {site: table[site.name] for site in steering.maps}


def _fits(module: nn.Module | None, site: Site, map: Map) -> bool:
    # Other outputs than the first may have another width, which shows when the model runs.
    return module is not None and (site.output != 0 or width(module) in (None, map.width))


def _problem(site: Site, map: Map, table: Mapping[str, nn.Module]) -> str:
    if site.name not in table:
        return f"{site} is missing. {near_names(site.name, table)}"
    return f"{site} has {width(table[site.name])} units in the model and {map.width} in the steering."


def _refusal(
    steering: Steering, problems: Sequence[Site], table: Mapping[str, nn.Module], shown: int = 5
) -> str:
    made_for = plain(steering.provenance.base_model, 200) or "another model (the file does not say which)"
    lines = [f"  {_problem(site, steering.maps[site], table)}" for site in problems[:shown]]
    lines += [f"  … and {len(problems) - shown} more"] if len(problems) > shown else []
    head = f"The steering does not fit the model at {len(problems)} of {len(steering.maps)} sites:"
    tail = f"It was made for {made_for}. Load that model, or keep the sites that fit: steering.restrict(…)."
    return "\n".join([head, *lines, tail])


def _warn_of_other_weights(components: Mapping[str, nn.Module], steering: Steering) -> None:
    made_on = steering.provenance.fingerprint
    if made_on and has_weights(components, steering.maps, made_on) is False:
        made_for = plain(steering.provenance.base_model, 200) or "unnamed"
        # The model's own mark makes the text another one for each model: Python shows the same text once.
        mark = hashlib.sha256(fingerprint(components, steering.maps).encode()).hexdigest()[:8]
        warnings.warn(
            f"The steering was fitted on other weights ({made_for}; a fine-tune or another precision?) than "
            f"this model's ({mark}). It fits in shape and is applied; check its effect.",
            stacklevel=4,
        )
