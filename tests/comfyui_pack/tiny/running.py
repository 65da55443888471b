"""What stands in for a CLIP, and how the tests train and draw."""

from __future__ import annotations

from typing import Any

import torch


class StandInClip:
    """Conditions of random numbers, the same for the same prompt; its prompts may be of several lengths."""

    layer_idx = None

    def __init__(self, width: int = 12, pooled: int = 8, **extras: torch.Tensor) -> None:
        import comfy.model_patcher

        self.sizes, self.extras = (width, pooled), extras
        self.cond_stage_model = torch.nn.Module()
        cpu = torch.device("cpu")
        self.patcher = comfy.model_patcher.ModelPatcher(self.cond_stage_model, cpu, cpu)

    def tokenize(self, text: str) -> str:
        return text

    def encode_from_tokens_scheduled(self, text: str, show_pbar: bool = True) -> list[Any]:
        random = torch.Generator().manual_seed(len(text))
        length = 77 if len(text) < 8 else 154
        cross = torch.randn(1, length, self.sizes[0], generator=random)
        pooled = torch.randn(1, self.sizes[1], generator=random)
        return [[cross, {"pooled_output": pooled, **self.extras}]]


class ProseClip(StandInClip):
    """Prompts of many lengths, as text encoders that are language models give them."""

    def encode_from_tokens_scheduled(self, text: str, show_pbar: bool = True) -> list[Any]:
        length = 15 + len(text)
        cross = torch.randn(1, length, self.sizes[0], generator=torch.Generator().manual_seed(length))
        return [[cross, {"attention_mask": torch.ones(1, length, dtype=torch.long)}]]


def t5_clip() -> Any:
    """A T5 with random weights as the CLIP of PixArt, which gives prompts of many lengths."""
    import comfy.sd
    from comfy.text_encoders.pixart_t5 import PixArtTokenizer, pixart_te

    from comfyui_lineas.scenes.clip import _Target

    sizes = {"num_layers": 2, "d_model": 12, "d_ff": 24, "d_kv": 6, "num_heads": 2}
    options = {"dtype": torch.float32, "t5xxl_model_config": sizes}
    with torch.inference_mode():
        clip = comfy.sd.CLIP(_Target(pixart_te(), PixArtTokenizer), model_options=options)
        random = torch.Generator().manual_seed(0)
        for parameter in clip.cond_stage_model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=random))
    return clip


def hunyuan_clip() -> StandInClip:
    """What HunyuanDiT is told beside the prompt: another encoding of it, and which tokens are real."""
    masks = {"attention_mask": torch.ones(1, 77), "attention_mask_mt5xl": torch.ones(1, 256)}
    return StandInClip(conditioning_mt5xl=torch.zeros(1, 256, 16), **masks)


def hidream_clip() -> StandInClip:
    """What HiDream is told beside T5's encoding: that of a language model, by layer."""
    return StandInClip(conditioning_llama3=torch.zeros(1, 2, 20, 12))


CLIPS = {
    "sdxl": lambda: StandInClip(12, 1280),
    "hunyuan_dit": hunyuan_clip,
    "hidream": hidream_clip,
    **dict.fromkeys(("lumina2", "z_image", "omnigen2", "flux2"), ProseClip),
}


def clip_of(name: str) -> StandInClip:
    """The stand-in for the CLIP of a model of these tests."""
    return CLIPS.get(name, StandInClip)()


def trained(model: Any, clip: Any, **changes: Any) -> Any:
    from comfyui_lineas.train.request import TrainRequest
    from comfyui_lineas.train.training import train

    options = {"source": "a\nb b b b b\nccc", "target": "x x\nyyyyyyyyy", "steps": 3, "preview_every": 0}
    options |= {"width": 64, "height": 64, **changes}
    with torch.inference_mode():
        return train(model, clip, None, TrainRequest(**options))


def output(model: Any, clip: Any, side: int = 8) -> torch.Tensor:
    """The latents of one step through the stock sampler."""
    import comfy.sample

    conditions = clip.encode_from_tokens_scheduled("abc")
    kind = model.model.latent_format
    frames = [1] * (kind.latent_dimensions - 2)
    latents = torch.zeros(2, kind.latent_channels, *frames, side, side)
    with torch.inference_mode():
        noise = comfy.sample.prepare_noise(latents, 0)
        return comfy.sample.sample(
            *(model, noise, 1, 1.0, "euler", "simple"), conditions, conditions, latents, seed=0
        )


def falls(steering: Any) -> bool:
    settings = steering.provenance.settings
    return settings["cost"] < settings["cost_at_start"]
