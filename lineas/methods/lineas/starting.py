"""Where training starts: what makes the parameters of every site free of the model's scale."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import Tensor

from lineas.errors import ConfigError
from lineas.fitting.micro_batches import MicroBatches
from lineas.fitting.problem import Rows
from lineas.maps.base import family
from lineas.maps.parameters import Parameters, Start
from lineas.maps.virtual_tokens import LAST
from lineas.maths.pooling import BehindPooling, TokenPooling
from lineas.methods.lineas.config import TrainConfig
from lineas.methods.lineas.objective import Objective
from lineas.modules.kinds import is_norm
from lineas.modules.names import resolve
from lineas.steering.site import Site


def starting_parameters(
    steered: Sequence[Site], batches: MicroBatches, config: TrainConfig, objective: Objective
) -> dict[Site, Parameters]:
    """Parameters of the maps at these sites, from the rows of the untouched model."""
    kind = family(config.map).parameters
    assert kind is not None  # the options take no other family
    if kind.reads_texts and not batches.problem.is_text:
        raise ConfigError(f"map is {config.map!r}, which is for language models. Choose another map.")
    pooling = TokenPooling(kind.positions, config.seed) if kind.positions else None
    source = batches.rows("source", pooling) if pooling else {}
    target = batches.rows("target", pooling) if pooling else {}
    behind: Rows = {}
    seen = True
    if kind.slots:
        if batches.problem.is_text:
            raise ConfigError(
                f"map is {config.map!r}, which lies behind the prompts of an image model. Choose another map."
            )
        seen = padding_is_seen(batches, steered)
        steered = reaching(batches, steered, seen)
        behind = batches.rows("source", BehindPooling(kind.slots, back=0 if seen else kind.slots - 1))
    return {
        site: kind(
            Start(
                *_scale(site, config, objective),
                _positions(source.get(site), kind.positions),
                _positions(target.get(site), kind.positions),
                _positions(behind.get(site), kind.slots),
                seen,
            )
        )
        for site in steered
    }


def padding_is_seen(batches: MicroBatches, steered: Sequence[Site]) -> bool:
    """Whether the model sees what a text encoder gives behind a prompt's end token: found by changing it."""
    return _image_changes(batches, steered, steered, behind=True)


def reaching(batches: MicroBatches, steered: Sequence[Site], behind: bool) -> list[Site]:
    """Of these sites, in execution order, the norms, and what else the image model itself sees last.

    Many image models see what a block of the text encoder gives, before any norm: only the output of that
    block's feed-forward can put any vector there. Found by changing one site after the other from the end, as
    far as it can be told apart from a pooled end token: behind that, or, where `behind` is False, before it.
    Sites that are all no norms stay as they are.
    """
    norms = [site for site in steered if is_norm(resolve(batches.problem.components, site))]
    if not norms:
        return list(steered)
    kept = set(norms)
    for encoder in dict.fromkeys(site.component for site in steered):
        own = [site for site in steered if site.component == encoder]
        if kept.issuperset(own) or not _image_changes(batches, steered, own, behind):
            continue
        kept |= {next((s for s in reversed(own) if _image_changes(batches, steered, [s], behind)), own[-1])}
    return [site for site in steered if site in kept]


def _image_changes(
    batches: MicroBatches, steered: Sequence[Site], changed: Collection[Site], behind: bool
) -> bool:
    """Whether another output of these sites, behind the end token or just before it, reaches the image."""
    problem, part = batches.problem, batches.of("source")[0][:1]

    def moved(site: Site, z: Tensor) -> Tensor:
        if site not in changed:
            return z
        real = problem.tokens(site, z, "source", part)
        order = torch.arange(real.shape[1], device=real.device)
        end = (real * order).amax(1, keepdim=True)
        places = order > end if behind else (order < end) & (order > end - LAST)
        return z + z.std() * places[..., None].to(z)

    with torch.no_grad():
        plain, other = problem.rows("source", part), problem.rows("source", part, moved)
    encoders = {site.component for site in steered}
    image = [site for site in plain if site.component not in encoders]
    pairs = ((a, b) for site in image for a, b in zip(plain[site], other[site], strict=True))
    return not image or any(not torch.allclose(a, b, rtol=1e-4, atol=1e-6) for a, b in pairs)


def _scale(site: Site, config: TrainConfig, objective: Objective) -> tuple[Tensor, Tensor]:
    """[d] spread and [d] center of a site's source rows."""
    if not config.standardise:
        ones = torch.ones_like(objective.spreads[site][0])
        return ones, torch.zeros_like(ones)
    return torch.stack(objective.spreads[site]).mean(0), torch.cat(objective.source[site]).mean(0)


def _positions(firings: list[Tensor] | None, count: int) -> Tensor | None:
    """[n · count, d] rows of each firing -> [firings · n, count, d]."""
    return None if firings is None else torch.cat(firings).unflatten(0, (-1, count))
