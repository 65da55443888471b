"""Every text-to-image pipeline class that is built tiny, and what it is called with, being so small."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from toys import flux_likes, other_transformers, pipelines, transformers, unets
from toys.pipelines import LENGTH, diffusers
from toys.transformers import TRANSFORMERS


@dataclass(frozen=True)
class Entry:
    """make: builds the pipeline. arguments: of every call. guidance: the scale that asks for no guidance by a
    second half or pass. guided: what asks for it, as fields of a recipe; None where there is none. output:
    the type of output that has gradients and needs no decoder.
    """

    make: Callable[[], Any]
    arguments: dict[str, Any] = field(default_factory=dict)
    guidance: float = 0.0
    guided: dict[str, Any] | None = field(default_factory=lambda: {"guidance": 3.0})
    output: str = "latent"


def of_kind(kind: str, make: Callable[[], Any], **options: Any) -> Callable[[], Any]:
    """The models of another pipeline in one of this class."""

    def made() -> Any:
        pipeline_class = getattr(diffusers, kind)
        taken = inspect.signature(pipeline_class.__init__).parameters
        parts = {name: part for name, part in make().components.items() if name in taken}
        pipe = pipeline_class(**parts, **options)
        pipe.set_progress_bar_config(disable=True)
        return pipe

    return made


_PIXELS: dict[str, Any] = {"height": 16, "width": 16}
_SHORT: dict[str, Any] = {**_PIXELS, "max_sequence_length": LENGTH}
_PIXART: dict[str, Any] = {
    "max_sequence_length": LENGTH, "use_resolution_binning": False, "clean_caption": False
}  # fmt: skip
_QWEN: dict[str, Any] = {"arguments": {"true_cfg_scale": 3.0, "negative_prompt": "road"}}
_PRX: dict[str, Any] = {"use_resolution_binning": False}
_UNCHECKED: dict[str, Any] = {"requires_safety_checker": False}

COVERED: dict[str, Entry] = {
    # UNets
    "StableDiffusionPipeline": Entry(pipelines.sd1),
    "StableDiffusionXLPipeline": Entry(pipelines.sdxl),
    "LatentConsistencyModelPipeline": Entry(unets.lcm, guidance=4.0, guided=None),
    "KolorsPipeline": Entry(unets.kolors, _SHORT),
    "IFPipeline": Entry(
        unets.deepfloyd, {"height": 8, "width": 8, "clean_caption": False}, output="pt"
    ),
    "Kandinsky3Pipeline": Entry(unets.kandinsky3, _PIXELS),
    # FLUX and its kind
    "FluxPipeline": Entry(pipelines.flux, _SHORT, guided=_QWEN),
    "FluxKontextPipeline": Entry(
        of_kind("FluxKontextPipeline", pipelines.flux), {**_SHORT, "_auto_resize": False, "max_area": 256},
        guided=_QWEN,
    ),
    "Flux2Pipeline": Entry(flux_likes.flux2, {**_SHORT, "text_encoder_out_layers": (1, 2)}, guided=None),
    "Flux2KleinPipeline": Entry(*TRANSFORMERS["Flux2KleinPipeline"], guided=None),
    "ChromaPipeline": Entry(*TRANSFORMERS["ChromaPipeline"]),
    "BriaPipeline": Entry(flux_likes.bria, _SHORT),
    "BriaFiboPipeline": Entry(flux_likes.bria_fibo, _SHORT),
    "LongCatImagePipeline": Entry(flux_likes.longcat_image, {**_PIXELS, "enable_prompt_rewrite": False}),
    "OvisImagePipeline": Entry(flux_likes.ovis_image, {**_PIXELS, "max_sequence_length": 24}),
    "HunyuanImagePipeline": Entry(flux_likes.hunyuan_image, {"height": 32, "width": 32}, guided=None),
    "HiDreamImagePipeline": Entry(flux_likes.hidream, _SHORT),
    # other transformers
    "StableDiffusion3Pipeline": Entry(pipelines.sd3),
    "PixArtSigmaPipeline": Entry(pipelines.pixart, _PIXART),
    "PixArtAlphaPipeline": Entry(of_kind("PixArtAlphaPipeline", pipelines.pixart), _PIXART),
    "ZImagePipeline": Entry(*TRANSFORMERS["ZImagePipeline"]),
    "QwenImagePipeline": Entry(*TRANSFORMERS["QwenImagePipeline"], guided=_QWEN),
    "QwenImage21Pipeline": Entry(
        other_transformers.qwen_image21, {"height": 32, "width": 32}, guided=_QWEN
    ),
    "Krea2Pipeline": Entry(*TRANSFORMERS["Krea2Pipeline"]),
    "SanaPipeline": Entry(*TRANSFORMERS["SanaPipeline"]),
    "SanaSprintPipeline": Entry(*TRANSFORMERS["SanaSprintPipeline"], guidance=4.5, guided=None),
    "LuminaPipeline": Entry(other_transformers.lumina, {**_SHORT, "clean_caption": False}),
    "Lumina2Pipeline": Entry(*TRANSFORMERS["Lumina2Pipeline"]),
    "WanPipeline": Entry(*TRANSFORMERS["WanPipeline"]),
    "AuraFlowPipeline": Entry(other_transformers.aura_flow, _SHORT),
    "CogView3PlusPipeline": Entry(other_transformers.cogview3, _SHORT),
    "CogView4Pipeline": Entry(other_transformers.cogview4, _SHORT),
    "ErnieImagePipeline": Entry(other_transformers.ernie_image, _PIXELS),
    "HunyuanDiTPipeline": Entry(
        other_transformers.hunyuan_dit, {**_PIXELS, "use_resolution_binning": False}
    ),
    "Ideogram4Pipeline": Entry(other_transformers.ideogram4, _SHORT, guidance=1.0),
    "Kandinsky5T2IPipeline": Entry(other_transformers.kandinsky5, _SHORT),
    "NucleusMoEImagePipeline": Entry(
        other_transformers.nucleus, {**_PIXELS, "max_sequence_length": 64, "return_index": -1}
    ),
    "OmniGenPipeline": Entry(other_transformers.omnigen, {"height": 32, "width": 32}, guidance=1.0),
    # PRX with guidance takes one prompt at a time
    "PRXPipeline": Entry(other_transformers.prx, {**_PIXELS, **_PRX}, guided=None),
    "PRXPixelPipeline": Entry(
        other_transformers.prx_pixel, {"height": 8, "width": 8, **_PRX}, guided=None, output="pt"
    ),
    "BriaFibo2Pipeline": Entry(other_transformers.bria_fibo2, _PIXELS),
    "Cosmos2TextToImagePipeline": Entry(other_transformers.cosmos2, _SHORT),
    # perturbed attention guidance
    "StableDiffusionPAGPipeline": Entry(of_kind("StableDiffusionPAGPipeline", pipelines.sd1, **_UNCHECKED)),
    "StableDiffusionXLPAGPipeline": Entry(of_kind("StableDiffusionXLPAGPipeline", pipelines.sdxl)),
    "StableDiffusion3PAGPipeline": Entry(
        of_kind("StableDiffusion3PAGPipeline", pipelines.sd3, pag_applied_layers="blocks.1")
    ),
    "PixArtSigmaPAGPipeline": Entry(of_kind("PixArtSigmaPAGPipeline", pipelines.pixart), _PIXART),
    "SanaPAGPipeline": Entry(
        of_kind("SanaPAGPipeline", transformers.sana, pag_applied_layers="blocks.1"),
        TRANSFORMERS["SanaPipeline"][1],
    ),
    "HunyuanDiTPAGPipeline": Entry(
        of_kind("HunyuanDiTPAGPipeline", other_transformers.hunyuan_dit, **_UNCHECKED),
        {**_PIXELS, "use_resolution_binning": False},
        guidance=3.0,  # without guidance diffusers mixes up its batch
        guided=None,
    ),
    "KolorsPAGPipeline": Entry(of_kind("KolorsPAGPipeline", unets.kolors), _SHORT),
}  # fmt: skip


@cache
def pipeline(name: str) -> Any:
    """One for all tests, which leave it as it was."""
    return COVERED[name].make()


_STAGES = "its stages are pipelines with schedulers of their own; fit the one that draws"
NOT_COVERED = {
    "DiffusionGemmaPipeline": "writes texts",
    "LLaDA2Pipeline": "writes texts",
    "DreamLitePipeline": "takes one prompt at a time",
    "DreamLiteMobilePipeline": "takes one prompt at a time",
    "GlmImagePipeline": "a language model draws the first sketch, for all prompts of a batch in turn",
    "KandinskyCombinedPipeline": _STAGES,
    "KandinskyV22CombinedPipeline": _STAGES,
    "StableCascadeCombinedPipeline": _STAGES,
    "KandinskyPipeline": "draws from embeddings of another pipeline",
    "LDMTextToImagePipeline": "takes no generators for several prompts",
    "StableUnCLIPPipeline": "its prior has a scheduler of its own",
}
"""Text-to-image pipelines that are not, and why."""

_OTHER_KINDS = re.compile(
    "Img2Img|I2I|Inpaint|Edit|Control|Upscale|SuperResolution|Video|V2V|Audio|Adapter|Fill|Pix2Pix|Depth|Redux"
    "|Refiner|Layered|Decoder|ImageTo|Onnx|Prior|ShapE|Emb2Emb|ImageVariation"
)
_OTHER_INPUTS = re.compile("frames|video|audio|sound")


def text_to_image_classes() -> list[str]:
    """Of the installed diffusers, by what its files say: pipelines that take a prompt and need no picture."""
    found = []
    for file in (Path(diffusers.__file__).parent / "pipelines").rglob("pipeline_*.py"):
        for part in re.split(r"^class ", file.read_text(encoding="utf-8"), flags=re.M)[1:]:
            name = re.split(r"\W", part, maxsplit=1)[0]
            call = re.search(r"def __call__\((.*?)\n    \)", part, re.S)
            taken = re.findall(r"^        (\w+)\s*[:=,]", call.group(1), re.M) if call else []
            other = _OTHER_KINDS.search(name) or any(map(_OTHER_INPUTS.search, taken))
            if name.endswith("Pipeline") and "prompt" in taken and not other:
                found += [name] if "deprecated" not in file.parts else []
    return sorted(found)
