"""The workflow on FLUX.2 klein, which newer releases of ComfyUI know."""

from __future__ import annotations

import notes
from canvas import Group, Node, Output, Workflow
from checkpoints import HUB, file_note
from parts import preview

_K = f"{HUB}/Comfy-Org/flux2-klein/resolve/main/split_files"
KLEIN = {
    "name": "flux-2-klein-4b.safetensors",
    "url": f"{_K}/diffusion_models/flux-2-klein-4b.safetensors",
    "directory": "diffusion_models",
}
QWEN = {
    "name": "qwen_3_4b.safetensors",
    "url": f"{_K}/text_encoders/qwen_3_4b.safetensors",
    "directory": "text_encoders",
}
VAE = {
    "name": "flux2-vae.safetensors",
    "url": f"{HUB}/Comfy-Org/flux2-dev/resolve/main/split_files/vae/flux2-vae.safetensors",
    "directory": "vae",
}
SIDE = 1024


def flux2_klein(flow: Workflow) -> None:
    """A style in four steps, with the nodes that come with ComfyUI."""
    unet = flow.add("UNETLoader", "Model", (340, 0), unet_name=KLEIN["name"], weight_dtype="default")
    clip = flow.add("CLIPLoader", "Text encoder", (340, 0), clip_name=QWEN["name"], type="flux2")
    vae = flow.add("VAELoader", "VAE", (340, 0), vae_name=VAE["name"])
    unet.models, clip.models, vae.models = (KLEIN,), (QWEN,), (VAE,)
    wires = {"model": unet["MODEL"], "clip": clip["CLIP"], "vae": vae["VAE"]}
    steer = flow.add("LineasSteerConcept", size=(400, 760), what="ukiyo-e", intent="add", **wires)
    text = "a fishing boat at the coast, morning"
    positive = flow.add("CLIPTextEncode", "Prompt", clip=steer["clip"], text=text)
    drawing = _Drawing(flow, positive, vae["VAE"])
    note = file_note(flow, notes.KLEIN, KLEIN, QWEN, VAE)
    flow.lay_out(
        Group("1  Model", "model", [[note, unet, clip, vae]]),
        Group("2  What to change", "train", [[steer]]),
        Group(
            "3  Compare",
            "look",
            [
                [positive, *drawing.nodes],
                drawing.picture(steer["model"], "With it"),
                drawing.picture(unet["MODEL"], "As it was"),
            ],
        ),
    )


class _Drawing:
    """Pictures of one prompt in four steps without guidance."""

    def __init__(self, flow: Workflow, positive: Node, vae: Output):
        self.flow, self.positive, self.vae = flow, positive["CONDITIONING"], vae
        self.negative = flow.add("ConditioningZeroOut", conditioning=self.positive)
        size = {"width": SIDE, "height": SIDE}
        self.latent = flow.add("EmptyFlux2LatentImage", "Size", batch_size=1, **size)
        self.sigmas = flow.add("Flux2Scheduler", steps=4, **size)
        self.sampler = flow.add("KSamplerSelect", sampler_name="euler")
        self.noise = flow.add("RandomNoise", noise_seed=7)
        self.nodes = [self.negative, self.latent, self.sigmas, self.sampler, self.noise]

    def picture(self, model: Output, heading: str) -> list[Node]:
        guider = self.flow.add(
            "CFGGuider",
            model=model,
            positive=self.positive,
            negative=self.negative["CONDITIONING"],
            cfg=1.0,
        )
        sampled = self.flow.add(
            "SamplerCustomAdvanced",
            noise=self.noise["NOISE"],
            guider=guider["GUIDER"],
            sampler=self.sampler["SAMPLER"],
            sigmas=self.sigmas["SIGMAS"],
            latent_image=self.latent["LATENT"],
        )
        decode = self.flow.add("VAEDecode", samples=sampled["output"], vae=self.vae)
        return [guider, sampled, decode, preview(self.flow, decode["IMAGE"], heading, (340, 380))]


WORKFLOWS = {"FLUX.2 klein, add a style": flux2_klein}
