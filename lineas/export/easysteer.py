"""EasySteer's linear form: what a block hands on becomes W h + b, by one file for each block.

The form is a pickle of two arrays, A_ [d, d] and B_ [d]; ours holds nothing else. An affine map is diagonal
in it. Its scale multiplies the whole result, not the change, and must stay 1: the strength is in the file.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from lineas.apply.check import check_fit
from lineas.errors import ExportError
from lineas.export.stream_shifts import block_of
from lineas.maps.affine import AffineMap
from lineas.modules.names import module_tree
from lineas.steering.files import write_atomically
from lineas.steering.site import Site
from lineas.steering.steering import Steering


def save_easysteer(
    steering: Steering, model: nn.Module, folder: str | Path, strength: float = 1.0
) -> dict[int, Path]:
    """Write folder/linear-N.pkl for each block N whose output is steered; returns them by block.

    strength: what the files hold, 0 is none. Load each with EasySteer's "linear", target_layers=[N], scale 1.
    Raises `ExportError` that lists every site that is not an affine map of a block's output.
    """
    check_fit(module_tree(model), steering)
    if reasons := {site: why for site in steering.maps if (why := _obstacle(steering, site))}:
        lines = [f"  {site}: {why}" for site, why in list(reasons.items())[:5]]
        raise ExportError(
            f"EasySteer's linear form cannot hold {len(reasons)} of {len(steering.maps)} sites, such as:\n"
            + "\n".join(lines)
            + '\nFit with sites="blocks".'
        )
    written = {}
    Path(folder).mkdir(parents=True, exist_ok=True)
    for site, affine in _affine(steering).items():
        path = Path(folder) / f"linear-{block_of(site)[1]}.pkl"
        scale = torch.diag(1 + strength * affine.deviation.detach().float().cpu()).numpy()
        shift = (strength * affine.shift.detach().float().cpu()).numpy()
        held = {"A_": scale, "B_": shift}
        write_atomically(path, pickle.dumps(held, protocol=4))
        written[block_of(site)[1]] = path
    if not written:
        raise ExportError("The steering changes nothing, so there is nothing to export.")
    return written


def _affine(steering: Steering) -> Mapping[Site, AffineMap]:
    """The maps that change something, as affine ones."""
    found = {site: map.affine() for site, map in steering.maps.items() if not map.is_identity}
    return {site: affine for site, affine in found.items() if affine is not None}


def _obstacle(steering: Steering, site: Site) -> str | None:
    map = steering.maps[site]
    if map.is_identity:
        return None
    if map.affine() is None:
        return f"a {map.kind} map is not linear in the activation"
    _, block, inside = block_of(site)
    return "it is not the output of a block" if block < 0 or inside or site.output != 0 else None
