"""A MODEL and its CLIP as a problem to fit a steering to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn

from lineas.errors import MismatchError, SiteError
from lineas.kinds import is_norm
from lineas.problem import Group, Problem, recomputed
from lineas.prompts.files import hash_prompts
from lineas.sites import find_sites, named_modules
from lineas.steering import Provenance, Site

from .base_models import base_model_of
from .conditioning import TextEncoders, batched, encode
from .denoising import Denoiser
from .names import OTHER, UNET
from .tree import Tree


class ComfyProblem(Problem):
    """One denoising step of a MODEL on prompts to steer from and to.

    denoiser: of a loaded MODEL. clip: its CLIP. prompts: source, target and preserve. patterns: of canonical
    module names. seed: prompt i of every group starts from the noise of seed + i. settings: for the
    provenance.

    Prompts are encoded once, unless a text encoder holds sites. Raises `PromptError` and `SiteError` for what
    cannot be used.
    """

    default_sites = "unet.*norm*"

    def __init__(
        self,
        denoiser: Denoiser,
        clip: Any,
        prompts: Mapping[Group, list[str]],
        patterns: Sequence[str],
        *,
        seed: int = 0,
        settings: Mapping[str, str | int | float | bool] | None = None,
    ) -> None:
        self.denoiser, self.seed, self._settings = denoiser, seed, dict(settings or {})
        self.tree = Tree(denoiser.patcher, clip)
        components = self.tree.components
        super().__init__(
            components,
            chosen_sites(components, patterns),
            {group: len(texts) for group, texts in prompts.items()},
            base_model=base_model_of(denoiser.patcher),
            prompts_hash=hash_prompts(*prompts.values()),
        )
        self.steers_text = any(self.tree.places[site.name].is_text for site in self.sites)
        make = TextEncoders if self.steers_text else encode
        self._prompts: dict[Group, Any] = {
            group: make(clip, texts) for group, texts in prompts.items() if texts
        }

    def run(self, group: Group, indices: Sequence[int]) -> None:
        """Denoise these prompts, each from its own noise."""
        self.draw(group, indices)

    def draw(self, group: Group, indices: Sequence[int]) -> Tensor:
        """[b, c, h, w] the latents of these prompts."""
        held = self._prompts[group]
        conditions = held(indices) if self.steers_text else batched([held[index] for index in indices])
        return self.denoiser(conditions, [self.seed + index for index in indices])

    def mask(self, site: Site, group: Group, indices: Sequence[int]) -> Tensor | None:
        """[b, s] True at the prompts' tokens with start and end, for sites in text encoders; else None."""
        if not self.tree.places[site.name].is_text:
            return None
        return self._prompts[group].real(site.name.partition(".")[0], indices)

    @contextmanager
    def checkpointing(self) -> Iterator[None]:
        """Recompute the blocks of the image model in the backward pass."""
        with ExitStack() as stack:
            for block in image_blocks(self.denoiser.model.diffusion_model):
                stack.enter_context(recomputed(block))
            yield

    def provenance(self, method: str, **settings: str | int | float | bool) -> Provenance:
        """Where a steering comes from, with how the model was run."""
        made = super().provenance(method, **settings, **self._settings)
        alone = any(site.name.partition(".")[0] == OTHER for site in self.sites)
        return made.noted("for ComfyUI alone: its modules have no names elsewhere") if alone else made


def chosen_sites(components: Mapping[str, nn.Module], patterns: Sequence[str]) -> list[Site]:
    """Sites that match patterns of canonical names; under patterns for all norms only norms with weights.

    Patterns for the UNet also stand for an image model of another family. Raises `SiteError` when nothing is
    found.
    """
    if UNET not in components:
        patterns = [f"{OTHER}.{p.partition('.')[2]}" if p.startswith(f"{UNET}.") else p for p in patterns]
    table = named_modules(components)
    found = find_sites(components, list(patterns))
    if any(pattern.endswith("norm*") for pattern in patterns):
        found = [
            s for s in found if is_norm(table[s.name]) and table[s.name]._parameters.get("weight") is not None
        ]
    if not found:
        raise SiteError(
            f"No norm with weights matches {', '.join(patterns)}. Choose own pattern and name layers, "
            f"such as {next((n for n, m in table.items() if isinstance(m, nn.Linear)), '*')}."
        )
    return found


def image_blocks(model: nn.Module) -> list[nn.Module]:
    """The blocks of an image model that run one after the other: those of a UNet, else numbered modules."""
    if hasattr(model, "input_blocks"):
        groups = [*model.input_blocks, model.middle_block, *model.output_blocks]
        return [layer for group in groups if group is not None for layer in group]
    lists = [child for child in model.children() if isinstance(child, nn.ModuleList)]
    return [block for blocks in lists for block in blocks]


def check_clip(clip: Any) -> None:
    """`MismatchError` when there is no CLIP."""
    if clip is None:
        raise MismatchError(
            "There is no CLIP, as with checkpoints that hold an image model alone. Load one with Load CLIP "
            "or DualCLIPLoader and connect it."
        )
