"""Faults inside forwards of a real ComfyUI: the bundled model and a transformer, steered by the node pack."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import torch
from torch import Tensor, nn

from lineas.maps.affine import AffineMap
from lineas.modules.kinds import width
from lineas.modules.names import find_sites, named_modules
from lineas.steering.steering import Steering
from tools.trial.counts import Counts, peak
from tools.trial.running import Fault, failing, running_modules, same, state

FOLDER = Path(os.environ.get("COMFYUI_PATH", Path.home() / "ComfyUI"))
WAYS: tuple[dict[str, Any], ...] = (
    {"method": "automatic"},
    {"method": "hooks"},
    {"mask": torch.ones(1, 8, 8)},
    {"apply_to": "cond", "end_percent": 0.9},
)


@dataclass
class _Case:
    """A MODEL and its CLIP, a steering of them, a run that gives latents, and the modules that take part."""

    model: Any
    clip: Any
    steering: Steering
    run: Callable[[Any, Any], Tensor]
    running: list[nn.Module]

    @property
    def root(self) -> nn.Module:
        return nn.ModuleList([self.model.model, self.clip.cond_stage_model])

    def detached(self) -> None:
        """The weights of both are their own again, as before a run of the model without steerings."""
        self.model.detach(unpatch_all=True)
        self.clip.patcher.detach(unpatch_all=True)


def faults(counts: Counts, number: int, seed: int) -> None:
    """An exception inside a random module while a steered MODEL samples, each way in turn.

    Right after it the image model has no hook; the next run of the MODEL and CLIP that were given is what it
    was before, bit for bit, and so are weights and hooks. Without a ComfyUI in `FOLDER` nothing is tried, and
    the name of the part says so.
    """
    if not (FOLDER / "comfy" / "model_patcher.py").is_file():
        counts.name += f": not run, there is none in {FOLDER}"
        return
    random, cases = Random(seed), _cases(seed)
    before = [(state(case.root), case.run(case.model, case.clip)) for case in cases]
    held = peak()
    for i in range(number):
        case, (untouched, result) = cases[i % 2], before[i % 2]
        placement = WAYS[i // 2 % len(WAYS)]
        target = random.choice(case.running)
        what = f"seed {seed}, fault {i}: {placement} in {type(target).__name__}"
        end = _attempt(case, placement, target, result)
        case.detached()
        if not same(state(case.root), untouched) or any("forward" in vars(m) for m in case.running):
            end = "weights or hooks left"
        counts.add(end, None if end == "as before" else what)
    counts.bytes = max(peak() - held, 1)  # what ComfyUI's own import took is no matter of a fault


def _attempt(case: _Case, placement: dict[str, Any], target: nn.Module, result: Tensor) -> str:
    """How one fault ended. result: the latents before."""
    from comfyui_lineas.apply.placement import Placement
    from comfyui_lineas.apply.steering import apply_steering

    target.forward = failing  # type: ignore[method-assign]
    try:
        case.run(*apply_steering(case.model, case.clip, case.steering, 1.0, Placement(**placement)))
    except Fault:
        end = "as before"
    else:
        end = "no fault came"
    finally:
        del target.forward
    if any(module._forward_hooks for module in case.model.model.modules()):
        return "hooks left"
    return end if torch.equal(case.run(case.model, case.clip), result) else "another result"


def _cases(seed: int) -> list[_Case]:
    sys.path.append(str(FOLDER))
    from comfy.cli_args import args

    args.cpu = True
    logging.getLogger().setLevel(logging.ERROR)  # what masks do not reach is told each time
    from comfyui_lineas.scenes.loading import load_scenes

    with torch.inference_mode():
        model, clip, _ = load_scenes()
    patterns = ["unet.*norm*", "unet.*to_out.0", "text_encoder.*layer_norm*"]
    return [
        _case(model, clip, patterns, seed),
        _case(
            _transformer(model),
            clip,
            ["comfy.transformer_blocks.*.attn.to_out.0", "text_encoder.*layer_norm*"],
            seed,
        ),
    ]


def _transformer(scenes: Any) -> Any:
    """A Qwen-Image of two blocks with random weights, which reads the text encoder of the scenes."""
    import comfy.model_base
    import comfy.model_patcher
    import comfy.supported_models

    words = scenes.model.model_config.unet_config["context_dim"]
    sizes = {"num_layers": 2, "attention_head_dim": 24, "num_attention_heads": 2, "axes_dims_rope": (8, 8, 8)}
    read = {"in_channels": 64, "joint_attention_dim": words, "dtype": torch.float32}
    described = comfy.supported_models.QwenImage({"image_model": "qwen_image", **sizes, **read})
    with torch.inference_mode():
        model = comfy.model_base.QwenImage(described, device="cpu").eval()
        random = torch.Generator().manual_seed(0)
        for tensor in (*model.diffusion_model.parameters(), *model.diffusion_model.buffers()):
            tensor.requires_grad_(False).copy_(0.1 * torch.randn(tensor.shape, generator=random))
    cpu = torch.device("cpu")
    return comfy.model_patcher.ModelPatcher(model, cpu, cpu)


def _case(model: Any, clip: Any, patterns: list[str], seed: int) -> _Case:
    from comfyui_lineas.models.tree import Tree

    components, random = Tree(model, clip).components, torch.Generator().manual_seed(seed)
    table, maps = named_modules(components), {}
    for site in find_sites(components, patterns):
        numbers = 0.2 * torch.randn(2, width(table[site.name]) or 1, generator=random)
        maps[site] = AffineMap(*numbers)
    root = nn.ModuleList([model.model, clip.cond_stage_model])
    running = running_modules(root, lambda: _sampled(model, clip))
    return _Case(model, clip, Steering(maps), _sampled, running)


@torch.inference_mode()
def _sampled(model: Any, clip: Any) -> Tensor:
    """[1, c, (1,) 8, 8] latents of two steps with guidance by the stock sampler."""
    import comfy.sample

    positive, negative = (
        clip.encode_from_tokens_scheduled(clip.tokenize(text)) for text in ("a red clock at night", "")
    )
    kind = model.model.latent_format
    latents = torch.zeros(1, kind.latent_channels, *[1] * (kind.latent_dimensions - 2), 8, 8)
    noise = comfy.sample.prepare_noise(latents, 0)
    asked = (model, noise, 2, 2.0, "euler", "simple", positive, negative, latents)
    return comfy.sample.sample(*asked, seed=0, disable_pbar=True)
