"""Does a steering belong to a model: are its sites there, of the right width, with the same weights?"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from lineas.apply.folded_weights import pristine
from lineas.errors import MismatchError, plain
from lineas.maps.base import Map
from lineas.modules.kinds import is_norm, width
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
    if made_on and same_weights(made_on, fingerprint(components, steering.maps)) is False:
        warnings.warn(
            f"The steering was fitted on other weights ({steering.provenance.base_model or 'unnamed'}; a "
            "fine-tune or another precision?). It fits in shape and is applied; check its effect.",
            stacklevel=4,
        )


VERSION = "1"
_ENDS = 8  # values taken from the start and the end of every parameter


def fingerprint(components: Mapping[str, nn.Module], sites: Iterable[Site]) -> str:
    """One hash per component that holds a site: "1:unet=0123456789abcdef,text_encoder=…".

    Hashes shape and first and last values, as float16, of every norm's weight and bias (of every module's
    where there is no norm), so a cast between float32 and float16 does not change it; a lossy cast to
    bfloat16 may. What is fused by this library at the moment is looked through. "" when nothing can be read,
    as on "meta".
    """
    touched = {site.name.partition(".")[0] for site in sites} | {""}
    parts = [(name, _digest(module)) for name, module in components.items() if name in touched]
    known = [f"{name}={digest}" for name, digest in parts if digest]
    return f"{VERSION}:{','.join(known)}" if known else ""


def same_weights(one: str, two: str) -> bool | None:
    """Do two fingerprints agree on every component they share? None when they cannot be compared."""
    a, b = _parse(one), _parse(two)
    shared = a.keys() & b.keys()
    return all(a[name] == b[name] for name in shared) if shared else None


def _parse(text: str) -> dict[str, str]:
    version, _, parts = text.partition(":")
    if version != VERSION or not parts:
        return {}
    return dict(part.rsplit("=", 1) for part in parts.split(",") if "=" in part)


def _digest(component: nn.Module) -> str:
    modules = [m for m in component.modules() if is_norm(m) and m._parameters.get("weight") is not None]
    digests = sorted(digest for m in modules or component.modules() if (digest := _module_digest(m)))
    return hashlib.sha256(b"".join(digests)).hexdigest()[:16] if digests else ""


def _module_digest(module: nn.Module) -> bytes:
    readable = [t for t in pristine(module) if t is not None and t.is_floating_point() and not t.is_meta]
    return hashlib.sha256(b"".join(_ends(t) for t in readable)).digest() if readable else b""


def _ends(tensor: Tensor) -> bytes:
    flat = tensor.detach().reshape(-1)
    values = torch.cat([flat[:_ENDS], flat[-_ENDS:]]).to("cpu", torch.float16)
    return str(list(tensor.shape)).encode() + bytes(values.view(torch.uint8).tolist())
