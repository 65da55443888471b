"""The image models of docs/models.md: what people call them, and by which names the tests know them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """model: for people. pipelines: classes of diffusers. comfyui: names in tests/comfyui_pack/tiny.py.
    recipes: by name."""

    model: str
    pipelines: tuple[str, ...]
    comfyui: tuple[str, ...] = ()
    recipes: tuple[str, ...] = ()


_SD = ("StableDiffusionPipeline", "StableDiffusionXLPipeline")
ROWS: tuple[Row, ...] = (
    Row("Stable Diffusion 1 and 2", _SD[:1]),
    Row("Stable Diffusion XL", _SD[1:], ("sdxl",)),
    Row(
        "SD-Turbo, SDXL-Turbo, and DMD2, Lightning, Hyper-SD of one step",
        _SD,
        ("sdxl",),
        ("sd-turbo", "sdxl-turbo", "dmd2", "sdxl-lightning", "hyper-sdxl"),
    ),
    Row(
        "DMD2 of four steps, Lightning, Hyper-SD, LCM, and merges of them",
        (*_SD, "LatentConsistencyModelPipeline"),
        ("sdxl",),
        ("dmd2:4", "lightning:2", "lightning:4", "lightning:8", "hyper:2", "hyper:4", "hyper:8", "lcm:N"),
    ),
    Row("Stable Diffusion 3.5 Large Turbo", ("StableDiffusion3Pipeline",), ("sd3",), ("sd35-turbo",)),
    Row("FLUX.1 schnell", ("FluxPipeline",), ("flux",), ("flux-schnell",)),
    Row("FLUX.1 dev, Kontext", ("FluxPipeline", "FluxKontextPipeline"), ("flux",)),
    Row("FLUX.2 klein", ("Flux2KleinPipeline",), ("flux2",), ("flux2-klein",)),
    Row("FLUX.2 dev", ("Flux2Pipeline",), ("flux2",)),
    Row("Z-Image, Z-Image-Turbo", ("ZImagePipeline",), ("z_image",), ("z-image-turbo",)),
    Row(
        "Qwen-Image, Lightning, TwinFlow",
        ("QwenImagePipeline",),
        ("qwen_image",),
        ("qwen-lightning:4", "qwen-lightning:8"),
    ),
    Row("Qwen-Image 2.1", ("QwenImage21Pipeline",)),
    Row("SANA", ("SanaPipeline",)),
    Row("SANA-Sprint", ("SanaSprintPipeline",), (), ("sana-sprint:1", "sana-sprint:2")),
    Row("Krea 2, Turbo", ("Krea2Pipeline",), ("krea2",), ("krea2-turbo",)),
    Row("Wan 2.1, 2.2", ("WanPipeline",), ("wan",)),
    Row("Chroma", ("ChromaPipeline",), ("chroma",)),
    Row("HunyuanImage 2.1", ("HunyuanImagePipeline",)),
    Row("CogView 4", ("CogView4Pipeline",)),
    Row("GLM-Image", ("GlmImagePipeline",)),
    Row("PixArt α, Σ", ("PixArtAlphaPipeline", "PixArtSigmaPipeline"), ("pixart",)),
    Row("Lumina 2", ("Lumina2Pipeline",), ("lumina2",)),
    Row("ERNIE-Image", ("ErnieImagePipeline",), ("ernie_image",)),
    Row("Ideogram 4", ("Ideogram4Pipeline",), ("ideogram4",)),
    Row("PRX", ("PRXPipeline", "PRXPixelPipeline")),
    Row("HiDream-I1", ("HiDreamImagePipeline",)),
    Row("Hunyuan-DiT", ("HunyuanDiTPipeline",), ("hunyuan_dit",)),
    Row("AuraFlow", ("AuraFlowPipeline",)),
    Row("Lumina-Next", ("LuminaPipeline",)),
    Row("CogView 3 Plus", ("CogView3PlusPipeline",)),
    Row("Kandinsky 3", ("Kandinsky3Pipeline",)),
    Row("Kandinsky 5", ("Kandinsky5T2IPipeline",)),
    Row("Kolors", ("KolorsPipeline",)),
    Row("DeepFloyd IF", ("IFPipeline",)),
    Row("OmniGen", ("OmniGenPipeline",)),
    Row("NucleusMoE-Image", ("NucleusMoEImagePipeline",)),
    Row("Ovis-Image", ("OvisImagePipeline",)),
    Row("LongCat-Image", ("LongCatImagePipeline",)),
    Row("Bria 3.2, Fibo, Fibo 2", ("BriaPipeline", "BriaFiboPipeline", "BriaFibo2Pipeline")),
    Row("Cosmos Predict 2", ("Cosmos2TextToImagePipeline",)),
    Row(
        "perturbed attention guidance",
        (
            "StableDiffusionPAGPipeline",
            "StableDiffusionXLPAGPipeline",
            "StableDiffusion3PAGPipeline",
            "PixArtSigmaPAGPipeline",
            "SanaPAGPipeline",
            "HunyuanDiTPAGPipeline",
            "KolorsPAGPipeline",
        ),
    ),
)
