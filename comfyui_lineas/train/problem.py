"""A MODEL and its CLIP as a problem to fit a steering to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn

from lineas.errors import MismatchError, SiteError
from lineas.fitting.problem import Group, Problem, Rows
from lineas.fitting.recomputing import recomputed
from lineas.maths.pooling import Pooling
from lineas.modules.recorder import Transform
from lineas.prompts.files import hash_prompts
from lineas.steering.provenance import Provenance
from lineas.steering.site import Site, match_names

from ..models.base_models import base_model_of
from ..models.names import UNET, serves_comfyui_alone
from ..models.tree import Tree
from .chosen_sites import chosen_sites
from .conditioning import Encoded, TextEncoders, encode, kinds_of
from .denoising import Denoiser
from .inputs_kept import inputs_kept, inputs_of_norms_kept
from .trainable_weights import training_clip


class Target:
    """What of a MODEL and its CLIP is steered, and the prompts as the image model takes them.

    Made before models are loaded for training, as encoding loads the CLIP by itself. prompts: source, target
    and preserve. patterns: of canonical module names. Prompts are encoded once, and anew in every run where
    a text encoder holds sites. Prompts of one kind lie at neighbouring places: `kinds` by place, and
    `numbers`, which prompt of the given list lies there. Raises `SiteError` for patterns that find nothing.
    """

    def __init__(
        self, model: Any, clip: Any, prompts: Mapping[Group, list[str]], patterns: Sequence[str]
    ) -> None:
        self.prompts, tree = dict(prompts), Tree(model, clip)
        self.sites = chosen_sites(tree.components, patterns)
        self.text_sites = {site for site in self.sites if tree.places[site.name].is_text}
        if self.text_sites:
            clip = training_clip(clip)
            tree = Tree(model, clip)
        self.components, self.clip = tree.components, clip
        # ComfyUI's UNet gives new tensors; its text encoders and transformers add to the old ones.
        self.adding_in_place = [] if UNET in self.components else [model.model.diffusion_model]
        self.adding_in_place += [clip.cond_stage_model] if self.text_sites else []
        given = {group: texts for group, texts in self.prompts.items() if texts}
        encoded = {group: encode(clip, texts) for group, texts in given.items()}
        repeats = UNET in self.components and not self.text_sites
        kinds = {group: kinds_of(each, repeats) for group, each in encoded.items()}
        self._held: dict[Group, Any] = encoded
        if self.text_sites:
            self._held = {group: TextEncoders(clip, texts) for group, texts in given.items()}
        self.numbers = _orders(kinds)
        self.kinds = {group: [kinds[group][number] for number in self.numbers[group]] for group in kinds}

    def conditions(self, group: Group, indices: Sequence[int]) -> list[Encoded]:
        """The conditions of the prompts at these places."""
        held, numbers = self._held[group], [self.numbers[group][index] for index in indices]
        return held(numbers) if self.text_sites else [held[number] for number in numbers]

    def real(self, site: Site, group: Group, indices: Sequence[int]) -> Tensor | None:
        """[b, s] True at the prompts' tokens with start and end, for sites in text encoders; else None."""
        if site not in self.text_sites:
            return None
        numbers = [self.numbers[group][index] for index in indices]
        return self._held[group].real(site.component, numbers)


def _orders(kinds: Mapping[Group, list[int]]) -> dict[Group, list[int]]:
    """Which prompt lies at each place of its group: those of one kind beside each other.

    Where there are as many source as target prompts they may be pairs, which stay pairs.
    """
    orders: dict[Group, list[int]] = {
        group: sorted(range(len(each)), key=each.__getitem__) for group, each in kinds.items()
    }
    source, target = kinds.get("source", []), kinds.get("target", [])
    if len(source) == len(target):
        both = sorted(range(len(source)), key=lambda number: (source[number], target[number]))
        orders |= {"source": both, "target": both}
    return orders


class ComfyProblem(Problem):
    """One denoising step of a MODEL on prompts to steer from and to.

    denoiser: of a loaded MODEL. target: what of it is steered, on which prompts. seed: prompt i of every
    group starts from the noise of seed + i. settings: for the provenance.
    """

    default_sites = "unet.*norm*"

    def __init__(
        self,
        denoiser: Denoiser,
        target: Target,
        *,
        seed: int = 0,
        settings: Mapping[str, str | int | float | bool] | None = None,
    ) -> None:
        self.denoiser, self.target, self.seed = denoiser, target, seed
        self._settings = dict(settings or {})
        super().__init__(
            target.components,
            target.sites,
            {group: len(texts) for group, texts in target.prompts.items()},
            base_model=base_model_of(denoiser.patcher),
            prompts_hash=hash_prompts(*target.prompts.values()),
        )

    def run(self, group: Group, indices: Sequence[int]) -> None:
        """Denoise these prompts, each from its own noise."""
        self.draw(group, indices)

    def draw(self, group: Group, indices: Sequence[int]) -> Tensor:
        """[b, c, h, w] the latents of these prompts."""
        seeds = [self.seed + self.target.numbers[group][index] for index in indices]
        return self.denoiser(self.target.conditions(group, indices), seeds)

    def batch_kinds(self, group: Group) -> list[int]:
        """Which prompts the model takes in one batch."""
        return self.target.kinds.get(group, [])

    def mask(self, site: Site, group: Group, indices: Sequence[int]) -> Tensor | None:
        """[b, s] True at the prompts' tokens with start and end, for sites in text encoders; else None."""
        return self.target.real(site, group, indices)

    def may_rest(self, site: Site) -> bool:
        """A text encoder may have nothing to read, as HunyuanImage's second in prompts without quotes."""
        return site in self.target.text_sites

    def paired_sites(self) -> list[Site]:
        """Those of the image model: a word more moves all tokens behind it."""
        if not (sites := [site for site in self.sites if site not in self.target.text_sites]):
            raise SiteError("Pairs are compared in the image model, and every site is in a text encoder.")
        return sites

    @contextmanager
    def checkpointing(self) -> Iterator[None]:
        """Recompute the blocks of the image model in the backward pass."""
        with ExitStack() as stack:
            for block in image_blocks(self.denoiser.model.diffusion_model):
                if self.target.adding_in_place:
                    stack.enter_context(inputs_kept(block))
                stack.enter_context(recomputed(block))
            yield

    @contextmanager
    def recording(
        self,
        group: Group,
        indices: Sequence[int],
        transform: Transform | None = None,
        pooling: Pooling | None = None,
    ) -> Iterator[Rows]:
        """Rows as ever, with what norms read kept for the backward pass; it may run blocks again."""
        with (
            inputs_of_norms_kept(self.target.adding_in_place),
            super().recording(group, indices, transform, pooling) as rows,
        ):
            yield rows

    def provenance(self, method: str, **settings: str | int | float | bool) -> Provenance:
        """Where a steering comes from, with how the model was run."""
        made = super().provenance(method, **settings, **self._settings)
        steered = match_names(str(settings.get("steer", "*")), [site.name for site in self.sites])
        alone = any(map(serves_comfyui_alone, steered))
        return made.noted("for ComfyUI alone: its modules have no names elsewhere") if alone else made


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
