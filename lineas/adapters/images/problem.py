"""Diffusion: any text-to-image pipeline of diffusers as a problem to fit a steering to."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from lineas.adapters.images.calling import call_arguments, stop_after_capture, undecorated_call
from lineas.adapters.images.layout import Layout, Run, anything_moves, find_layouts, prompts_to_change
from lineas.adapters.images.perturbed import SCALE, attention_kept, is_perturbed, plain_layouts
from lineas.adapters.images.prompts import checked_prompts, in_parts, remembered
from lineas.adapters.images.recipes import Recipe, base_model, recipe_for
from lineas.adapters.images.resting import Resting
from lineas.adapters.images.sites import denoisers, diffusion_sites, is_preset, sequence_first
from lineas.adapters.images.trainable import check_trainable, failures_told
from lineas.apply.prompt_tokens import TokenWatch
from lineas.errors import MismatchError, PromptError, SiteError
from lineas.fitting.problem import Group, Problem, Rows
from lineas.maths.pooling import MeanPooling, Pooling
from lineas.modules.names import module_tree
from lineas.modules.recorder import Recorder, Transform
from lineas.prompts.files import hash_prompts
from lineas.steering.provenance import Provenance
from lineas.steering.site import Site

TEXT_ENCODER = "text_encoder"
COPY_SEED = 1 << 20
"""Between the seeds of two images of one prompt."""


class DiffusionProblem(Problem):
    """A text-to-image pipeline of diffusers, and prompts to steer it from and to.

    pipe: with a `unet` or a `transformer`; any dtype and device. source, target: two or more prompts each,
    unpaired. preserve: prompts whose activations stay what they are.
    sites: presets joined by a plus ("norms", "attention", "resnets", "text") or patterns of module names.
    recipe: how the pipeline is called, None finds out; see `recipes.recipe_for`.
    seed: prompt i of every group starts from the noise of seed + i, on every device.

    The pipeline itself denoises, so that what is trained is what will be drawn; it never decodes, and neither
    it nor its scheduler is changed. Gradients flow through all steps up to the last one that is captured.
    Prompts are encoded once, unless a text encoder holds sites. Raises `PromptError`, `SiteError` and
    `ConfigError` for what cannot be used, and `MismatchError` for other models.
    """

    default_sites = "norms"

    def __init__(
        self,
        pipe: Any,
        source: Sequence[str],
        target: Sequence[str],
        preserve: Sequence[str] | None = None,
        *,
        sites: str | Sequence[str] | None = None,
        recipe: str | Recipe | None = None,
        seed: int = 0,
    ) -> None:
        self.prompts: dict[Group, list[str]] = {
            "source": checked_prompts("source", source),
            "target": checked_prompts("target", target),
            "preserve": checked_prompts("preserve", preserve or []),
        }
        self.recipe, self.seed = recipe_for(pipe, recipe), seed
        self._call = undecorated_call(pipe, self.recipe)
        self._scheduler = self.recipe.scheduler_for(pipe)
        # A shallow copy shares the models, and takes the scheduler and the progress bar for itself.
        self._pipe = copy.copy(pipe)
        self._pipe.set_progress_bar_config(disable=True)
        self._watches: dict[tuple[str, Group, tuple[int, ...]], TokenWatch] = {}
        components = module_tree(pipe)
        super().__init__(
            components,
            diffusion_sites(components, sites or self.default_sites),
            {group: len(prompts) for group, prompts in self.prompts.items()},
            base_model=base_model(pipe, self.recipe),
            prompts_hash=hash_prompts(*self.prompts.values()),
        )
        self._by_preset = is_preset(sites or self.default_sites)
        self._sequence_first = sequence_first(components, self.sites)
        self._steered_encoders = sorted({site.component for site in self.sites if _is_text(site)})
        encodes_first = not self._steered_encoders and hasattr(pipe, "encode_prompt")
        self._resting = Resting(self._pipe, TEXT_ENCODER if encodes_first else None)
        if encodes_first:
            encode = remembered(pipe.encode_prompt, self._resting.at_hand, self._expected)
            self._pipe.encode_prompt = encode

    def run(self, group: Group, indices: Sequence[int]) -> None:
        """Denoise these prompts, each from its own noise, up to the last step that is captured."""
        with ExitStack() as stack:
            for name in self._steered_encoders:
                tokenizer = getattr(self._pipe, name.replace(TEXT_ENCODER, "tokenizer"), None)
                watch = self._watches.setdefault((name, group, tuple(indices)), TokenWatch(tokenizer))
                watch.start()
                encoder = self.components[name]
                stack.callback(encoder.register_forward_pre_hook(watch, with_kwargs=True).remove)
            self._denoise([self.prompts[group][index] for index in indices], indices)

    def run_hash(self, group: Group) -> str:
        return hash_prompts(self.prompts[group], [repr(self.recipe), f"seed {self.seed}"])

    def _expected(self, prompts: Sequence[str]) -> list[Sequence[str]]:
        """The other micro-batches, where encoders rest between runs and these prompts are one."""
        first = list(prompts) == self.prompts["source"][:1]  # this one finds the order of the sites
        parts = in_parts(self.prompts.values(), len(prompts)) if self._resting.is_away and not first else []
        return parts if list(prompts) in parts else []

    def mask(self, site: Site, group: Group, indices: Sequence[int]) -> Tensor | None:
        """[b, s] True at the prompts' tokens with start and end, for sites in text encoders; else None."""
        watch = self._watches.get((site.component, group, tuple(indices)))
        return watch.real if watch is not None else None

    def tokens(self, site: Site, z: Tensor, group: Group, indices: Sequence[int]) -> Tensor:
        watch = self._watches.get((site.component, group, tuple(indices)))
        return super().tokens(site, z, group, indices) if watch is None else watch.now(site, z)

    def paired_sites(self) -> list[Site]:
        """Those of the image: a word more moves all tokens behind it."""
        if not (sites := [site for site in self.sites if not _is_text(site)]):
            raise SiteError("Pairs are compared in the image model, and every site is in a text encoder.")
        return sites

    def pooled(
        self, site: Site, z: Tensor, group: Group, indices: Sequence[int], pooling: Pooling | None = None
    ) -> Tensor:
        """An activation of a site -> [rows, d] of the whole batch; `recording` keeps those of the prompts."""
        z = self._batch_first(site, z)
        watch = self._watches.get((site.component, group, tuple(indices)))
        if watch is None:
            return super().pooled(site, z, group, indices, pooling)
        mask = watch.real_for(z)
        flat = mask is not None and z.ndim == 2
        z = z.unflatten(0, mask.shape) if flat and mask is not None else z
        return (pooling or MeanPooling())(z, site.axis, mask)

    def _batch_first(self, site: Site, z: Tensor) -> Tensor:
        return z.transpose(0, 1) if site in self._sequence_first and z.ndim == 3 else z

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """The same; what the runs do not need rests on the CPU meanwhile.

        Where gradients are on, weights that none goes through are a `MismatchError`.
        """
        if torch.is_grad_enabled():
            check_trainable(self.components)
        with super().frozen(), self._resting.away():
            yield

    @contextmanager
    def recording(
        self,
        group: Group,
        indices: Sequence[int],
        transform: Transform | None = None,
        pooling: Pooling | None = None,
    ) -> Iterator[Rows]:
        """Rows that the prompts contribute to the captured steps: neither those of the empty prompt of
        guidance nor those of other steps. Frames and views of one image are averaged, where rows are means.
        """
        layouts = self.layouts
        with super().recording(group, indices, transform, pooling) as rows:
            yield {
                site: self._own(site, firings, layouts[site], len(indices), pooling)
                for site, firings in rows.items()
            }

    def may_rest(self, site: Site) -> bool:
        return self._by_preset and _is_text(site)

    @cached_property
    def layouts(self) -> dict[Site, list[Layout | None]]:
        """Which rows of every firing belong to the prompts, found by changing one prompt; see `layout`.

        Raises `PromptError` when all prompts are one and the same, `MismatchError` where rows cannot be told
        apart by prompt, and `SiteError` for sites that run in none of the captured steps.
        """
        chosen = prompts_to_change(prompt for prompts in self.prompts.values() for prompt in prompts)
        if not chosen:
            raise PromptError(
                "All prompts are the same text, expected source prompts that differ from target."
            )
        with torch.inference_mode(False), torch.no_grad(), self.frozen():
            for first, second, longest in chosen:
                base = self._observed([first, second, longest])
                changed = [self._observed([text, text, longest], base) for text in (second, first)]
                if anything_moves(base, changed):  # else a tokenizer may have cut both to the same text
                    break
            layouts = find_layouts(base, changed)
            if is_perturbed(self._pipe, self.recipe):
                plain = self._observed([first, second, longest], base, {SCALE: 0.0})
                layouts = plain_layouts(layouts, base, plain)
        if self.recipe.steps > 1 and not base.steps:
            raise MismatchError(
                f"{type(self._pipe).__name__} does not go on by its scheduler's step, so that steps cannot "
                "be told apart. Give a recipe of one step."
            )
        for site, each in layouts.items():
            if not any(layout and self._is_captured(site, layout) for layout in each):
                raise SiteError(
                    f"{site} runs on no prompt in the captured steps of the recipe {self.recipe.name}. "
                    "Capture other steps, or leave such sites out."
                )
        return layouts

    def provenance(self, method: str, **settings: str | int | float | bool) -> Provenance:
        """Where a steering comes from, with how the pipeline was called."""
        recipe = self.recipe
        called: dict[str, Any] = {"recipe": recipe.name, "denoising_steps": recipe.steps}
        called |= {"guidance": recipe.guidance, "noise_seed": self.seed}
        called |= {"timesteps": " ".join(map(str, recipe.timesteps))} if recipe.timesteps else {}
        called |= {"captured_steps": " ".join(map(str, recipe.capture))} if recipe.capture else {}
        return super().provenance(method, **settings, **called)

    def _denoise(self, prompts: list[str], indices: Sequence[int], run: Run | None = None,
                 held: Run | None = None, more: Mapping[str, Any] | None = None) -> None:  # fmt: skip
        """Call the pipeline; `run` counts the steps of the scheduler, which go on from those of `held`."""
        self._pipe.scheduler = scheduler = copy.deepcopy(self._scheduler)
        if run is not None:
            run.watch_steps(scheduler, held)
        arguments = {
            "prompt": prompts,
            "generator": [
                torch.Generator().manual_seed(self.seed + index + COPY_SEED * copy_of)
                for index in indices
                for copy_of in range(self._copies)
            ],
            "output_type": "latent",
            **call_arguments(self._pipe, self.recipe, len(prompts)),
            **stop_after_capture(self._pipe, self.recipe),
            **(more or {}),
        }
        told = (
            nullcontext() if torch.is_grad_enabled() else failures_told(self._pipe, self.recipe, len(prompts))
        )
        with attention_kept(denoisers(self.components)), told:
            self._call(self._pipe, **arguments)

    @property
    def _copies(self) -> int:
        """Images of each prompt."""
        return int(self.recipe.arguments.get("num_images_per_prompt", 1))

    def _observed(
        self, prompts: list[str], held: Run | None = None, more: Mapping[str, Any] | None = None
    ) -> Run:
        """A run in which every firing is noted."""
        run = Run()

        def note(site: Site, z: Tensor) -> Tensor:
            rows = MeanPooling()(self._batch_first(site, z), site.axis)
            run.note(site.component, site, rows)
            return rows

        with ExitStack() as stack:
            for name, component in self.components.items():
                for hook in run.watch(name, component):
                    stack.callback(hook.remove)
            stack.enter_context(Recorder(self.components, self.sites, pool=note))
            self._denoise(prompts, range(len(prompts)), run, held, more)
        return run

    def _is_captured(self, site: Site, layout: Layout) -> bool:
        return self.recipe.capture is None or _is_text(site) or layout.step in self.recipe.capture

    def _own(
        self,
        site: Site,
        firings: list[Tensor],
        layouts: list[Layout | None],
        count: int,
        pooling: Pooling | None,
    ) -> list[Tensor]:
        """[rows, d] of these prompts, for each captured firing that sees them."""
        if len(firings) != len(layouts):
            raise MismatchError(
                f"{site} ran {len(firings)} times in a run, and {len(layouts)} times in the trial before it. "
                "Choose other sites."
            )
        kept = []
        for rows, layout in zip(firings, layouts, strict=True):
            if layout is None or not self._is_captured(site, layout):
                continue
            own = layout.pick(rows, count)
            copies = self._copies if own.shape[1] % self._copies == 0 else 1
            if isinstance(pooling or MeanPooling(), MeanPooling):
                own = own.unflatten(1, (copies, -1)).mean(2)
            kept.append(own.flatten(0, -2))
        return kept


def _is_text(site: Site) -> bool:
    return site.component.startswith(TEXT_ENCODER)
