"""Problem: what a method needs to know of a model and its prompts, and nothing more."""

from __future__ import annotations

import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from torch import Tensor, nn

from lineas.apply.fingerprint import fingerprint, has_weights
from lineas.errors import PromptError, SiteError
from lineas.fitting.recomputing import checkpoints_itself, in_its_own_way, recomputed
from lineas.fitting.returning_weights import weights_return
from lineas.maps.base import Map
from lineas.maths.pooling import MeanPooling, Pooling
from lineas.modules.names import block_of, named_modules
from lineas.modules.recorder import AllRecorded, Recorder, Transform
from lineas.steering.provenance import Provenance, public_name
from lineas.steering.site import Site
from lineas.version import __version__

if TYPE_CHECKING:
    from lineas.fitting.captures import Captures

Group = Literal["source", "target", "preserve"]
Rows = dict[Site, list[Tensor]]
"""Per site one [rows, d] tensor for each time that the site fires in a run, in the order of the prompts."""


class Problem(ABC):
    """A frozen model, the sites to steer and up to three groups of prompts.

    components: the model's modules by component name. sites: in execution order once `order_sites` ran.
    sizes: how many prompts each group holds; "source" and "target" hold at least two.
    base_model, prompts_hash: for the provenance. captures: shared with other fits of the model, or None.
    """

    default_sites: ClassVar[str | Sequence[str]]
    is_text: ClassVar[bool] = False
    """True where prompts are texts that the model itself goes on with."""

    def __init__(
        self,
        components: Mapping[str, nn.Module],
        sites: Sequence[Site],
        sizes: Mapping[Group, int],
        base_model: str = "",
        prompts_hash: str = "",
    ) -> None:
        for group in ("source", "target"):
            if sizes.get(group, 0) < 2:
                raise PromptError(
                    f"There are {sizes.get(group, 0)} {group} prompts, expected at least 2 (32 work well): "
                    "a distribution cannot be read off fewer. Sets of different sizes are fine."
                )
        if not sites:
            raise SiteError(
                "There are no sites to steer. Give at least one, such as a pattern that matches norms."
            )
        self.components, self.sites, self.sizes = dict(components), list(sites), dict(sizes)
        self.base_model, self.prompts_hash = base_model, prompts_hash
        self._firings: dict[Site, int] = {}
        self.captures: Captures | None = None

    @abstractmethod
    def run(self, group: Group, indices: Sequence[int]) -> None:
        """Forward these prompts of a group through the model, the same way each time (noise by index)."""

    def lengths(self, group: Group) -> list[int]:
        """Positions that each prompt of a group takes in a run, padding apart; 1 where all take the same."""
        return [1] * self.sizes.get(group, 0)

    def run_hash(self, group: Group) -> str:
        """A hash of what runs of a group depend on beside the weights: its prompts, and how they are run."""
        return f"{group} {self.prompts_hash}"

    def batch_kinds(self, group: Group) -> list[int]:
        """A number for each prompt; neighbours with unlike ones never run in one batch. 0 where all may."""
        return [0] * self.sizes.get(group, 0)

    def mask(self, site: Site, group: Group, indices: Sequence[int]) -> Tensor | None:
        """[b, s] True at real tokens where a site's positions are the prompt's tokens; None elsewhere."""
        return None

    def tokens(self, site: Site, z: Tensor, group: Group, indices: Sequence[int]) -> Tensor:
        """[b, s] True at the real tokens of an activation of this run; `SiteError` where it has no tokens."""
        mask = self.mask(site, group, indices)
        if mask is None or z.shape[:2] != mask.shape:
            raise SiteError(
                f"{site}: {list(z.shape)} is not the tokens of a prompt, which this kind of map needs. "
                'Steer a text encoder: steer="text_encoder*".'
            )
        return mask

    def steered(self, map: Map, site: Site, z: Tensor, group: Group, indices: Sequence[int]) -> Tensor:
        """An activation of this run under a map at strength 1."""
        map = map.placed(self.tokens(site, z, group, indices)) if map.needs_tokens else map
        return map(z, 1.0, site.axis)

    def may_rest(self, site: Site) -> bool:
        """Whether a site that never runs is left out, instead of being an error."""
        return False

    def paired_sites(self) -> list[Site]:
        """The sites where row i of source and of target prompts are the same place of the same prompt."""
        return self.sites

    @contextmanager
    def checkpointing(self) -> Iterator[None]:
        """Recompute activations in the backward pass: in the model's own way, else block by block."""
        with ExitStack() as stack:
            for name, component in self.components.items():
                if checkpoints_itself(component):
                    stack.enter_context(in_its_own_way(component))
                else:
                    for block in self._blocks(name):
                        stack.enter_context(recomputed(block))
            yield

    def _blocks(self, component: str) -> list[nn.Module]:
        """The outermost numbered modules that hold sites."""
        table, start = named_modules(self.components), f"{component}." if component else ""
        blocks = [block_of(site.name) for site in self.sites if site.name.startswith(start)]
        return [table[name] for name in dict.fromkeys(blocks) if name]

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """No weight asks for a gradient and modules are in evaluation mode; as before when the block ends.

        Weights that lie elsewhere between forwards are there for the backward pass too.
        """
        modules = [module for root in self.components.values() for module in root.modules()]
        # By name: those of offloaded modules are others in every run. Tensors of inference mode ask for no
        # gradient, and refuse to be asked.
        weights = [
            (module, name)
            for module in modules
            for name, held in module._parameters.items()
            if held is not None and not held.is_inference()
        ]
        training = [module.training for module in modules]
        wanted = [_weight(*each).requires_grad for each in weights]
        try:
            for module in modules:
                module.training = False
            for each in weights:
                _weight(*each).requires_grad_(False)
            with weights_return(self.components):
                yield
        finally:
            for module, flag in zip(modules, training, strict=True):
                module.training = flag
            for each, flag in zip(weights, wanted, strict=True):
                _weight(*each).requires_grad_(flag)

    def rows(
        self,
        group: Group,
        indices: Sequence[int],
        transform: Transform | None = None,
        pooling: Pooling | None = None,
    ) -> Rows:
        """Run some prompts and pool what every site gave, after its transform; without a backward pass."""
        with self.recording(group, indices, transform, pooling) as rows:
            return rows

    @contextmanager
    def recording(
        self,
        group: Group,
        indices: Sequence[int],
        transform: Transform | None = None,
        pooling: Pooling | None = None,
    ) -> Iterator[Rows]:
        """The same, with the transforms on the model until the block ends: recomputation needs them again.

        Gradients flow if enabled; the backward pass belongs inside the block.
        """

        def pooled(site: Site, z: Tensor) -> Tensor:
            return self.pooled(site, z, group, indices, pooling)

        known = all(site in self._firings for site in self.sites)
        firings = sum(self._firings[site] for site in self.sites) if known else None
        with Recorder(self.components, self.sites, transform, pooled, firings) as recorder:
            with suppress(AllRecorded):
                self.run(group, indices)
            self._check_firing(recorder.silent)
            yield recorder.rows

    def pooled(
        self, site: Site, z: Tensor, group: Group, indices: Sequence[int], pooling: Pooling | None = None
    ) -> Tensor:
        """An activation of a site -> [rows, d] what the prompts of this run contribute to it."""
        mask = self.mask(site, group, indices)
        if mask is not None and z.ndim == 2 and len(z) == mask.numel():
            z = z.unflatten(0, mask.shape)  # some models lay the tokens of all prompts end to end
        return (pooling or MeanPooling())(z, site.axis, mask)

    @contextmanager
    def transforming(self, transform: Transform) -> Iterator[None]:
        """A transform of every site's output on the model until the block ends; gradients flow if enabled."""
        with Recorder(self.components, self.sites, transform) as recorder:
            recorder.recording = False
            yield

    @torch.no_grad()
    def order_sites(self) -> None:
        """Put the sites into execution order by running one prompt; sites that never fire are an error.

        Later recordings end with the last site: nothing behind it is computed.
        """
        with self.frozen(), Recorder(self.components, self.sites) as recorder:
            self.run("source", [0])
        ran = recorder.order
        self._check_firing([site for site in recorder.silent if not ran or not self.may_rest(site)])
        if rest := sorted({site.component for site in recorder.silent} - {site.component for site in ran}):
            warnings.warn(
                f"{' and '.join(rest)} never ran for these prompts and stays as it is.", stacklevel=2
            )
        self.sites = ran
        self._firings = {site: len(rows) for site, rows in recorder.rows.items()}

    @cached_property
    def fingerprint(self) -> str:
        """What recognises the model's weights, read once."""
        return fingerprint(self.components, self.sites)

    def has_weights(self, made_on: str) -> bool | None:
        """Are the model's weights those of a fingerprint, of this version or an older one? None: unknown."""
        return has_weights(self.components, self.sites, made_on)

    def provenance(self, method: str, **settings: str | int | float | bool) -> Provenance:
        """Where a steering fitted on this problem comes from."""
        return Provenance(
            method=method,
            base_model=public_name(self.base_model),
            fingerprint=self.fingerprint,
            prompts_hash=self.prompts_hash,
            settings={name: public_name(v) if isinstance(v, str) else v for name, v in settings.items()},
            library_version=__version__,
            created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        )

    def _check_firing(self, silent: Sequence[Site]) -> None:
        if silent:
            raise SiteError(
                f"{len(silent)} of {len(self.sites)} sites never ran, the first is {silent[0]}. Their "
                "outputs are not used by this model with these settings; choose a pattern without them."
            )


def _weight(module: nn.Module, name: str) -> nn.Parameter:
    held = module._parameters[name]
    assert held is not None
    return held
