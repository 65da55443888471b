"""Train the one-step UNet and its text encoder: noise and prompt in, the latent of the rendered scene out.

The regression needs neither teacher nor adversary, because the noise decides all that the prompt leaves open
(:mod:`lineas.scenes.nuisance`).
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderTiny, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from PIL import Image
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from lineas.scenes.grammar import COLOURS, STYLES, words
from lineas.scenes.render import FLOOR, positions
from tools.scenes_model.autoencoder import load as load_autoencoder
from tools.scenes_model.data import HELD_OUT_SEED, noise_for, pixels, read_shard
from tools.scenes_model.optimiser import Optimisers, mixed, ramp
from tools.scenes_model.tapered import Tapered
from tools.scenes_model.text import LENGTH, build_tokenizer

TIMESTEP = 999
SIGMA = 14.614641
"""The largest noise level of the Stable Diffusion betas; the scheduler hands the UNet noise·σ/√(σ² + 1)."""


class Denoiser(nn.Module):
    """Text encoder and UNet as one: tokens [b, 32] and noise [b, 4, 16, 16] to latents [b, 4, 16, 16]."""

    def __init__(self, vocabulary: int, end: int) -> None:
        super().__init__()
        self.text_encoder = CLIPTextModel(
            CLIPTextConfig(
                vocab_size=vocabulary,
                hidden_size=96,
                intermediate_size=256,
                num_hidden_layers=2,
                num_attention_heads=4,
                max_position_embeddings=LENGTH,
                bos_token_id=end - 1,
                eos_token_id=end,
                pad_token_id=end,
            )
        )
        unet = UNet2DConditionModel(
            sample_size=16,
            block_out_channels=(64, 96, 96),
            layers_per_block=1,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            cross_attention_dim=96,
            attention_head_dim=4,
            norm_num_groups=16,
        )
        # Plain matrices: the backward pass of PyTorch's fused attention is slow on processors.
        unet.set_attn_processor(AttnProcessor())
        self.unet = unet

    def begin(self, pipeline: Path) -> None:
        """Take the weights of a pipeline folder."""
        text = CLIPTextModel.from_pretrained(pipeline / "text_encoder").float()
        self.text_encoder.load_state_dict(text.state_dict())
        unet = UNet2DConditionModel.from_pretrained(pipeline / "unet").float()
        self.unet.load_state_dict(unet.state_dict())

    def forward(self, tokens: Tensor, noise: Tensor) -> Tensor:
        words = self.text_encoder(tokens).last_hidden_state
        sample = (noise * SIGMA / (SIGMA**2 + 1) ** 0.5).contiguous(memory_format=torch.channels_last)
        return self.unet(sample, torch.tensor(TIMESTEP), encoder_hidden_states=words).sample


CACHED = ("latents", "u", "tokens", "occupied")


class Latents:
    """Cached training examples; shards that another process finishes later join on :meth:`refresh`."""

    def __init__(self, folder: Path, tokenizer: CLIPTokenizer) -> None:
        self.folder = folder
        self.loaded: dict[str, tuple[Tensor, ...]] = {}
        self.weights: dict[str, Tensor] = {}
        harder = [f"{word}</w>" for name in (*STYLES, *COLOURS) for word in words(name)]
        self.harder = torch.tensor(tokenizer.convert_tokens_to_ids(harder))

    def refresh(self) -> int:
        for path in sorted(self.folder.glob("0*.latents.npz")):
            if path.name not in self.loaded and "part" not in path.name:
                with np.load(path) as cache:
                    shard = tuple(torch.from_numpy(cache[key]) for key in CACHED)
                self.loaded[path.name] = shard
                tokens = shard[CACHED.index("tokens")].long()
                self.weights[path.name] = 1.0 + torch.isin(tokens, self.harder).any(1)
        return len(self.loaded)

    def batch(self, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Tokens, noise, target latents and where objects stand, of random examples of one random shard.

        Prompts that name a style or a colour, which are learned last, come twice as often as the others.
        """
        names = list(self.loaded)
        name = names[int(torch.randint(len(names), (), generator=generator))]
        pick = torch.multinomial(self.weights[name], size, replacement=True, generator=generator)
        latents, u, tokens, occupied = (part[pick] for part in self.loaded[name])
        return tokens.long(), noise_for(u, generator), latents.float(), occupied


def cache_latents(shard: Path, autoencoder: Tapered, tokenizer: CLIPTokenizer) -> None:
    """Encode one shard of images, once."""
    path = shard.with_suffix(".latents.npz")
    if path.exists():
        return
    images, u, prompts, scenes = read_shard(shard)
    with torch.no_grad(), mixed():
        parts = [
            autoencoder.encode(pixels(part).contiguous(memory_format=torch.channels_last))
            for part in np.array_split(images, 128)
        ]
    tokens = tokenizer(prompts, padding="max_length", truncation=True, return_tensors="np").input_ids
    temporary = path.with_suffix(".part.npz")
    occupied = np.stack(
        [occupied_cells(len(scene.objects), row) for scene, row in zip(scenes, u, strict=True)]
    )
    latents = torch.cat(parts).half().numpy()
    np.savez(temporary, latents=latents, u=u, tokens=tokens.astype(np.int16), occupied=occupied)
    temporary.rename(path)


def occupied_cells(count: int, u: np.ndarray) -> np.ndarray:
    """[16, 16] bool: the latent cells that objects stand on."""
    cells = np.zeros((16, 16), dtype=bool)
    for left, size in positions(count, u):
        cells[(FLOOR - size) // 8 : FLOOR // 8, left // 8 : (left + size) // 8] = True
    return cells


def regression(output: Tensor, latents: Tensor, occupied: Tensor) -> Tensor:
    """Squared for small errors, absolute for large ones: undecided places choose instead of averaging.

    Objects count thrice: they are the smaller part of the picture and the harder one.
    """
    error = F.smooth_l1_loss(output.float(), latents, beta=0.3, reduction="none")
    return (error * (1 + 2 * occupied.unsqueeze(1))).mean()


@torch.no_grad()
def preview(model: Denoiser, autoencoder: AutoencoderTiny, data: tuple, path: Path) -> float:
    """Held-out mean square error, and a sheet: rows of generated images over the rendered ones."""
    images, u, tokens, latents = data
    output = model(tokens, noise_for(u, torch.Generator().manual_seed(5)))
    shown = (
        autoencoder.decode(output[:12])
        .sample.div(2)
        .add(0.5)
        .clamp(0, 1)
        .permute(0, 2, 3, 1)
        .mul(255)
        .byte()
        .numpy()
    )
    rows = [np.concatenate(list(row), axis=1) for row in (shown[:6], images[:6], shown[6:], images[6:12])]
    Image.fromarray(np.concatenate(rows)).save(path)
    return F.mse_loss(output, latents).item()


def save(model: Denoiser, folder: Path, state: dict) -> None:
    torch.save({"model": model.state_dict(), **state}, folder / "checkpoint.part")
    (folder / "checkpoint.part").rename(folder / "checkpoint.pt")


def held_out(shards: Path, autoencoder: AutoencoderTiny, tokenizer: CLIPTokenizer, count: int = 192) -> tuple:
    images, u, prompts, _ = read_shard(shards / f"{HELD_OUT_SEED:07d}.npz")
    tokens = tokenizer(prompts[:count], padding="max_length", truncation=True, return_tensors="pt").input_ids
    with torch.no_grad():
        latents = autoencoder.encode(pixels(images[:count]) * 2 - 1).latents
    return images[:count], torch.from_numpy(u[:count]), tokens, latents


def train(arguments: argparse.Namespace) -> None:
    arguments.output.mkdir(parents=True, exist_ok=True)
    tokenizer = build_tokenizer(arguments.output / "tokenizer")
    autoencoder = AutoencoderTiny.from_pretrained(arguments.autoencoder)
    check = held_out(arguments.shards, autoencoder, tokenizer)
    cache_latents(arguments.shards / "0000000.npz", load_autoencoder(arguments.autoencoder), tokenizer)
    data = Latents(arguments.shards, tokenizer)
    torch.manual_seed(0)
    model = Denoiser(len(tokenizer), tokenizer.eos_token_id).to(memory_format=torch.channels_last)
    if arguments.start:
        model.begin(arguments.start)
    optimisers = Optimisers(model, arguments.muon_lr, arguments.adam_lr, outer=("conv_in", "conv_out"))
    step, spent = 0, 0.0
    if (arguments.output / "checkpoint.pt").exists():
        state = torch.load(arguments.output / "checkpoint.pt", weights_only=True)
        model.load_state_dict(state["model"])
        optimisers.load_state_dict(state["optimisers"])
        step, spent = state["step"], state["spent"]
    generator, start, values = torch.Generator().manual_seed(step), time.time() - spent, []

    def keep() -> None:
        state = {"optimisers": optimisers.state_dict(), "step": step, "spent": time.time() - start}
        save(model, arguments.output, state)
        print("held-out", preview(model, autoencoder, check, arguments.output / "preview.png"), flush=True)

    while (progress := (time.time() - start) / (60 * arguments.minutes)) < 1:
        if step % 50 == 0:
            data.refresh()
        tokens, noise, latents, occupied = data.batch(arguments.batch, generator)
        with mixed():
            output = model(tokens, noise)
        value = regression(output, latents, occupied)
        value.backward()
        optimisers.step(ramp(progress, flat=0.25))
        values.append(value.item())
        step += 1
        if step % 100 == 0:
            spent, shards = time.time() - start, len(data.loaded)
            print(f"{spent:.0f} s  step {step}  shards {shards}  loss {np.mean(values):.4f}", flush=True)
            values = []
        if step % 400 == 0:
            keep()
    keep()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shards", type=Path)
    parser.add_argument("autoencoder", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--minutes", type=float, default=80.0)
    parser.add_argument(
        "--start", type=Path, help="a pipeline folder whose text encoder and UNet to go on from"
    )
    parser.add_argument("--batch", type=int, default=48)
    parser.add_argument("--muon-lr", type=float, default=0.012)
    parser.add_argument("--adam-lr", type=float, default=2e-3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--encode-only", action="store_true", help="only fill the cache of latents")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.set_flush_denormal(True)
    if arguments.encode_only:
        tokenizer = build_tokenizer(arguments.output / "tokenizer")
        autoencoder = load_autoencoder(arguments.autoencoder)
        for path in sorted(arguments.shards.glob("0??????.npz")):
            cache_latents(path, autoencoder, tokenizer)
    else:
        train(arguments)


if __name__ == "__main__":
    main()
