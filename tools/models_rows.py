"""The image models of docs/models.md: what people call them, and by which names the tests know them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """model: for people. pipelines: classes of diffusers. comfyui: names in tests/comfyui_pack/tiny. recipes:
    by name. None where there is no class."""

    model: str
    pipelines: tuple[str, ...] | None
    comfyui: tuple[str, ...] | None = ()
    recipes: tuple[str, ...] = ()


_SD = ("StableDiffusionPipeline", "StableDiffusionXLPipeline")
ROWS: tuple[Row, ...] = (
    Row("Stable Diffusion 1 and 2", _SD[:1], ("sd15",)),
    Row("Stable Diffusion XL", _SD[1:], ("sdxl",)),
    Row(
        "SD-Turbo, SDXL-Turbo, and DMD2, Lightning, Hyper-SD of one step",
        _SD,
        ("sd15", "sdxl"),
        ("sd-turbo", "sdxl-turbo", "dmd2", "sdxl-lightning", "hyper-sdxl"),
    ),
    Row(
        "DMD2 of four steps, Lightning, Hyper-SD, LCM, and merges of them",
        (*_SD, "LatentConsistencyModelPipeline"),
        ("sd15", "sdxl"),
        ("dmd2:4", "lightning:2", "lightning:4", "lightning:8", "hyper:2", "hyper:4", "hyper:8", "lcm:N"),
    ),
    Row("Stable Diffusion 3.5 Large Turbo", ("StableDiffusion3Pipeline",), ("sd3",), ("sd35-turbo",)),
    Row("FLUX.1 schnell", ("FluxPipeline",), ("flux",), ("flux-schnell",)),
    Row("FLUX.1 dev, Kontext", ("FluxPipeline", "FluxKontextPipeline"), ("flux",)),
    Row("FLUX.2 klein", ("Flux2KleinPipeline",), ("flux2",), ("flux2-klein",)),
    Row("FLUX.2 dev, Turbo", ("Flux2Pipeline",), ("flux2",), ("flux2-turbo",)),
    Row("Z-Image, Z-Image-Turbo", ("ZImagePipeline",), ("z_image",), ("z-image-turbo",)),
    Row(
        "Qwen-Image, Lightning, TwinFlow",
        ("QwenImagePipeline",),
        ("qwen_image",),
        ("qwen-lightning:4", "qwen-lightning:8"),
    ),
    Row("Qwen-Image 2.1", ("QwenImage21Pipeline",), None),
    Row("SANA", ("SanaPipeline",), None),
    Row("SANA-Sprint", ("SanaSprintPipeline",), None, ("sana-sprint:1", "sana-sprint:2")),
    Row("Krea 2, Turbo", ("Krea2Pipeline",), ("krea2",), ("krea2-turbo",)),
    Row("Wan 2.1, 2.2", ("WanPipeline",), ("wan",)),
    Row("Chroma", ("ChromaPipeline",), ("chroma",)),
    Row("HunyuanImage 2.1", ("HunyuanImagePipeline",), ("hunyuan_image",)),
    Row("CogView 4", ("CogView4Pipeline",), None),
    Row("GLM-Image", ("GlmImagePipeline",), None),
    Row("DreamLite", ("DreamLitePipeline", "DreamLiteMobilePipeline"), None),
    Row("PixArt α, Σ", ("PixArtAlphaPipeline", "PixArtSigmaPipeline"), ("pixart",)),
    Row("Lumina 2", ("Lumina2Pipeline",), ("lumina2",)),
    Row("ERNIE-Image", ("ErnieImagePipeline",), ("ernie_image",)),
    Row("Ideogram 4", ("Ideogram4Pipeline",), ("ideogram4",)),
    Row("PRX", ("PRXPipeline", "PRXPixelPipeline"), None),
    Row("HiDream-I1", ("HiDreamImagePipeline",), ("hidream",)),
    Row("Hunyuan-DiT", ("HunyuanDiTPipeline",), ("hunyuan_dit",)),
    Row("AuraFlow", ("AuraFlowPipeline",), ("aura_flow",)),
    Row("Lumina-Next", ("LuminaPipeline",), None),
    Row("CogView 3 Plus", ("CogView3PlusPipeline",), None),
    Row("Kandinsky 3", ("Kandinsky3Pipeline",), None),
    Row("Kandinsky 5", ("Kandinsky5T2IPipeline",), ("kandinsky5",)),
    Row("Kolors", ("KolorsPipeline",), None),
    Row("DeepFloyd IF", ("IFPipeline",), None),
    Row("OmniGen", ("OmniGenPipeline",), None),
    Row("OmniGen 2", None, ("omnigen2",)),
    Row("NucleusMoE-Image", ("NucleusMoEImagePipeline",), None),
    Row("Ovis-Image", ("OvisImagePipeline",), ("ovis_image",)),
    Row("LongCat-Image", ("LongCatImagePipeline",), ("longcat_image",)),
    Row("Bria 3.2, Fibo, Fibo 2", ("BriaPipeline", "BriaFiboPipeline", "BriaFibo2Pipeline"), None),
    Row("Cosmos Predict 2", ("Cosmos2TextToImagePipeline",), ("cosmos_predict2",)),
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
