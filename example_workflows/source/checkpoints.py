"""Workflows on real checkpoints; each names its files and where to get them."""

from __future__ import annotations

import notes
from canvas import Group, Node, Output, Workflow
from parts import preview, trained

HUB = "https://huggingface.co"
TURBO = {
    "name": "sd_xl_turbo_1.0_fp16.safetensors",
    "url": f"{HUB}/stabilityai/sdxl-turbo/resolve/main/sd_xl_turbo_1.0_fp16.safetensors",
    "directory": "checkpoints",
}
SDXL = {
    "name": "sd_xl_base_1.0.safetensors",
    "url": f"{HUB}/stabilityai/stable-diffusion-xl-base-1.0/resolve/main/sd_xl_base_1.0.safetensors",
    "directory": "checkpoints",
}
DMD2 = {
    "name": "dmd2_sdxl_1step_unet_fp16.bin",
    "url": f"{HUB}/tianweiy/DMD2/resolve/main/dmd2_sdxl_1step_unet_fp16.bin",
    "directory": "diffusion_models",
}

_Z = f"{HUB}/Comfy-Org/z_image_turbo/resolve/main/split_files"
Z_IMAGE = {
    "name": "z_image_turbo_bf16.safetensors",
    "url": f"{_Z}/diffusion_models/z_image_turbo_bf16.safetensors",
    "directory": "diffusion_models",
}
QWEN = {
    "name": "qwen_3_4b.safetensors",
    "url": f"{_Z}/text_encoders/qwen_3_4b.safetensors",
    "directory": "text_encoders",
}
AE = {"name": "ae.safetensors", "url": f"{_Z}/vae/ae.safetensors", "directory": "vae"}


def sdxl_turbo_erase_and_inject(flow: Workflow) -> None:
    """One training; the steering erases the concept, its inverse injects it."""
    load = _checkpoint(flow, TURBO)
    step = flow.add("LineasOneStep", model=load["MODEL"], setting="turbo")
    concept = flow.add("LineasConceptPrompts", concept="ukiyo-e", kind="style")
    train = trained(
        flow, step["model"], load["CLIP"], load["VAE"], concept, "remove-ukiyo-e", width=512, height=512
    )
    erase = flow.add("LineasApplySteering", "Erase", model=step["model"], steering=train["steering"])
    inverse = flow.add("LineasInvertSteering", steering=train["steering"])
    inject = flow.add("LineasApplySteering", "Inject", model=step["model"], steering=inverse["steering"])
    with_it = _Drawing(flow, load, step, "a fishing boat in ukiyo-e style", 512)
    without = _Drawing(flow, load, step, "a fishing boat", 512)
    note = file_note(flow, notes.TURBO, TURBO)
    flow.lay_out(
        Group("1  Model and concept", "model", [[note, load, step, concept]]),
        Group("2  Train", "train", [[train], [preview(flow, train["report"], "Report", (360, 460))]]),
        Group(
            "3  Erase",
            "use",
            [
                [*with_it.nodes, erase],
                with_it.picture(erase["model"], "Erased"),
                with_it.picture(step["model"], "As it was"),
            ],
        ),
        Group(
            "4  Inject",
            "use",
            [
                [*without.nodes, inverse, inject],
                without.picture(inject["model"], "Injected"),
                without.picture(step["model"], "As it was"),
            ],
        ),
    )


def dmd2_one_step(flow: Workflow) -> None:
    """The model of the LinEAS paper: one step from timestep 399, 1024 pixels."""
    load = _checkpoint(flow, SDXL)
    unet = flow.add(
        "UNETLoader", "UNet: diffusion_models", (340, 0), unet_name=DMD2["name"], weight_dtype="default"
    )
    unet.models = (DMD2,)
    step = flow.add("LineasOneStep", model=unet["MODEL"], setting="dmd2")
    concept = flow.add("LineasConceptPrompts", concept="low-poly", kind="style")
    train = trained(
        flow, step["model"], load["CLIP"], load["VAE"], concept, "remove-low-poly", width=1024, height=1024
    )
    apply = flow.add("LineasApplySteering", model=step["model"], steering=train["steering"])
    drawing = _Drawing(flow, load, step, "a fox in a forest, in low-poly style", 1024)
    note = file_note(flow, notes.DMD2, DMD2, SDXL)
    flow.lay_out(
        Group("1  Model and concept", "model", [[note, load, unet, step, concept]]),
        Group("2  Train", "train", [[train], [preview(flow, train["report"], "Report", (360, 460))]]),
        Group(
            "3  Apply",
            "use",
            [
                [*drawing.nodes, apply],
                drawing.picture(apply["model"], "With the steering"),
                drawing.picture(step["model"], "As it was"),
            ],
        ),
    )


def z_image_turbo(flow: Workflow) -> None:
    """A transformer of today, with the nodes that come with ComfyUI."""
    unet = flow.add("UNETLoader", "Model", (340, 0), unet_name=Z_IMAGE["name"], weight_dtype="default")
    clip = flow.add("CLIPLoader", "Text encoder", (340, 0), clip_name=QWEN["name"], type="lumina2")
    vae = flow.add("VAELoader", "VAE", (340, 0), vae_name=AE["name"])
    unet.models, clip.models, vae.models = (Z_IMAGE,), (QWEN,), (AE,)
    shift = flow.add("ModelSamplingAuraFlow", model=unet["MODEL"], shift=3.0)
    wires = {"clip": clip["CLIP"], "vae": vae["VAE"]}
    steer = flow.add(
        "LineasSteerConcept",
        size=(400, 760),
        model=shift["MODEL"],
        what="in the rain",
        intent="remove",
        **wires,
    )
    text = "a street in the rain, neon signs"
    positive = flow.add("CLIPTextEncode", "Prompt", clip=steer["clip"], text=text)
    negative = flow.add("CLIPTextEncode", "No negative prompt", clip=clip["CLIP"], text="")
    latent = flow.add("EmptySD3LatentImage", "Size", width=1024, height=1024, batch_size=1)

    def picture(model: Output, heading: str) -> list[Node]:
        sampler = flow.add(
            "KSampler",
            model=model,
            seed=7,
            steps=8,
            cfg=1.0,
            sampler_name="euler",
            scheduler="simple",
            positive=positive["CONDITIONING"],
            negative=negative["CONDITIONING"],
            latent_image=latent["LATENT"],
        )
        decode = flow.add("VAEDecode", samples=sampler["LATENT"], vae=vae["VAE"])
        return [sampler, decode, preview(flow, decode["IMAGE"], heading, (340, 380))]

    note = file_note(flow, notes.Z_IMAGE, Z_IMAGE, QWEN, AE)
    flow.lay_out(
        Group("1  Model", "model", [[note, unet, clip, vae, shift]]),
        Group("2  What to change", "train", [[steer]]),
        Group(
            "3  Compare",
            "look",
            [
                [positive, negative, latent],
                picture(steer["model"], "With it"),
                picture(shift["MODEL"], "As it was"),
            ],
        ),
    )


class _Drawing:
    """Pictures of one prompt through SamplerCustom with the sigmas of One Step."""

    def __init__(self, flow: Workflow, load: Node, step: Node, prompt: str, pixels: int):
        self.flow, self.vae, self.sigmas = flow, load["VAE"], step["sigmas"]
        self.positive = flow.add("CLIPTextEncode", "Prompt", clip=load["CLIP"], text=prompt)
        self.negative = flow.add("CLIPTextEncode", "No negative prompt", clip=load["CLIP"], text="")
        self.latent = flow.add("EmptyLatentImage", "Size", width=pixels, height=pixels, batch_size=1)
        self.sampler = flow.add("KSamplerSelect", sampler_name="euler")
        self.nodes = [self.positive, self.negative, self.latent, self.sampler]

    def picture(self, model: Output, heading: str) -> list[Node]:
        sampled = self.flow.add(
            "SamplerCustom",
            model=model,
            noise_seed=7,
            cfg=1.0,
            positive=self.positive["CONDITIONING"],
            negative=self.negative["CONDITIONING"],
            sampler=self.sampler["SAMPLER"],
            sigmas=self.sigmas,
            latent_image=self.latent["LATENT"],
        )
        decode = self.flow.add("VAEDecode", samples=sampled["output"], vae=self.vae)
        return [sampled, decode, preview(self.flow, decode["IMAGE"], heading, (340, 380))]


def _checkpoint(flow: Workflow, model: dict[str, str]) -> Node:
    load = flow.add("CheckpointLoaderSimple", "Checkpoint", (340, 0), ckpt_name=model["name"])
    load.models = (model,)
    return load


def file_note(flow: Workflow, text: str, *files: dict[str, str]) -> Node:
    lines = [f"- [{f['name']}]({f['url']}) → `models/{f['directory']}`" for f in files]
    return flow.note("\n".join([text, "", "Files:", "", *lines]), (340, 240 + 50 * len(files)))


WORKFLOWS = {
    "SDXL-Turbo, erase and inject": sdxl_turbo_erase_and_inject,
    "DMD2 in one step": dmd2_one_step,
    "Z-Image-Turbo, remove a concept": z_image_turbo,
}
