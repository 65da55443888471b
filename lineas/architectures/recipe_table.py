"""The recipes by name, and the authors' repositories that they are for. Data alone."""

from __future__ import annotations

import math

from lineas.architectures.recipe import Recipe

_SDXL = "stabilityai/stable-diffusion-xl-base-1.0"
_TRAILING = {"timestep_spacing": "trailing"}
_QWEN_LIGHTNING = {"base_shift": math.log(3), "max_shift": math.log(3), "shift_terminal": None}
_FLUX2_TURBO = (1.0, 0.6509, 0.4374, 0.2932, 0.1893, 0.1108, 0.0495, 0.00031)
"""As fal/FLUX.2-dev-Turbo says to call the pipeline."""
_ADVERSARIAL = "One step from timestep 999, 512 pixels."
_RECIPES = (
    Recipe("sd-turbo", model="stabilityai/sd-turbo", note=_ADVERSARIAL),
    Recipe("sdxl-turbo", model="stabilityai/sdxl-turbo", note=_ADVERSARIAL),
    Recipe(
        "dmd2",
        timesteps=(399,),
        scheduler="LCMScheduler",
        model=_SDXL,
        unet=("tianweiy/DMD2", "dmd2_sdxl_1step_unet_fp16.bin"),
        note="The model of LinEAS: one step from timestep 399, 1024 pixels.",
    ),
    Recipe(
        "dmd2:4",
        steps=4,
        timesteps=(999, 749, 499, 249),
        scheduler="LCMScheduler",
        model=_SDXL,
        unet=("tianweiy/DMD2", "dmd2_sdxl_4step_unet_fp16.bin"),
        note="Four steps, 1024 pixels.",
    ),
    Recipe(
        "sdxl-lightning",
        scheduler="EulerDiscreteScheduler",
        scheduler_options={**_TRAILING, "prediction_type": "sample"},
        model=_SDXL,
        unet=("ByteDance/SDXL-Lightning", "sdxl_lightning_1step_unet_x0.safetensors"),
        note="One step to the image itself, 1024 pixels; its authors call it experimental.",
    ),
    *(
        Recipe(
            f"lightning:{steps}",
            steps=steps,
            scheduler="EulerDiscreteScheduler",
            scheduler_options=_TRAILING,
            model=_SDXL,
            unet=("ByteDance/SDXL-Lightning", f"sdxl_lightning_{steps}step_unet.safetensors"),
            note=f"{steps} steps, 1024 pixels.",
        )
        for steps in (2, 4, 8)
    ),
    Recipe(
        "hyper-sdxl",
        timesteps=(800,),
        scheduler="LCMScheduler",
        model=_SDXL,
        unet=("ByteDance/Hyper-SD", "Hyper-SDXL-1step-Unet.safetensors"),
        note="One step from timestep 800, 1024 pixels.",
    ),
    *(
        Recipe(
            f"hyper:{steps}",
            steps=steps,
            scheduler="DDIMScheduler",
            scheduler_options=_TRAILING,
            note=f"{steps} steps with the Hyper-SD LoRA of as many steps, which you load.",
        )
        for steps in (2, 4, 8)
    ),
    Recipe("sd35-turbo", steps=4, model="stabilityai/stable-diffusion-3.5-large-turbo", note="Four steps."),
    Recipe(
        "flux-schnell",
        steps=4,
        arguments={"max_sequence_length": 256},
        model="black-forest-labs/FLUX.1-schnell",
        note="Four steps; texts up to 256 tokens.",
    ),
    Recipe(
        "flux2-klein", steps=4, guidance=1.0, model="black-forest-labs/FLUX.2-klein-4B", note="Four steps."
    ),
    Recipe(
        "flux2-turbo",
        steps=8,
        guidance=2.5,
        arguments={"sigmas": _FLUX2_TURBO},
        model="black-forest-labs/FLUX.2-dev",
        note="8 steps of FLUX.2 dev at their own noise levels with the Turbo LoRA, which you load.",
    ),
    Recipe("z-image-turbo", steps=8, model="Tongyi-MAI/Z-Image-Turbo", note="Eight steps."),
    Recipe("krea2-turbo", steps=8, note="Eight steps."),
    Recipe(
        "sana-sprint:1",
        guidance=4.5,
        arguments={"intermediate_timesteps": None},
        model="Efficient-Large-Model/Sana_Sprint_1.6B_1024px_diffusers",
        note="One step; the guidance is an input of the model.",
    ),
    Recipe(
        "sana-sprint:2",
        steps=2,
        guidance=4.5,
        arguments={"intermediate_timesteps": 1.3},
        model="Efficient-Large-Model/Sana_Sprint_1.6B_1024px_diffusers",
        note="Two steps; the guidance is an input of the model.",
    ),
    *(
        Recipe(
            f"qwen-lightning:{steps}",
            steps=steps,
            scheduler="FlowMatchEulerDiscreteScheduler",
            scheduler_options=_QWEN_LIGHTNING,
            arguments={"true_cfg_scale": 1.0},
            note=f"{steps} steps with the Lightning LoRA of as many steps, which you load.",
        )
        for steps in (4, 8)
    ),
    Recipe("scenes", note="One step of the pipeline's own scheduler, as the bundled model takes it."),
    Recipe(
        "scenes-transformer",
        steps=2,
        height=128,
        width=128,
        capture=(0,),  # from pure noise: it decides what the image shows
        arguments={"max_sequence_length": 32},
        note="Two steps of the bundled transformer, of which a fit sees the first.",
    ),
)
RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in _RECIPES}
ALIASES = {
    "dmd2:1": "dmd2",
    "lightning:1": "sdxl-lightning",
    "hyper:1": "hyper-sdxl",
    "sana-sprint": "sana-sprint:2",
    "qwen-lightning": "qwen-lightning:4",
}
REPOSITORIES = {
    "lineas/scenes": "scenes",
    "lineas/scenes-transformer": "scenes-transformer",
    "stabilityai/sd-turbo": "sd-turbo",
    "stabilityai/sdxl-turbo": "sdxl-turbo",
    "stabilityai/stable-diffusion-3.5-large-turbo": "sd35-turbo",
    "black-forest-labs/FLUX.1-schnell": "flux-schnell",
    "black-forest-labs/FLUX.2-klein-4B": "flux2-klein",
    "black-forest-labs/FLUX.2-klein-9B": "flux2-klein",
    "Tongyi-MAI/Z-Image-Turbo": "z-image-turbo",
    "Efficient-Large-Model/Sana_Sprint_1.6B_1024px_diffusers": "sana-sprint:2",
    "Efficient-Large-Model/Sana_Sprint_0.6B_1024px_diffusers": "sana-sprint:2",
}
"""Whose pipelines are called how. A LoRA or a UNet leaves no name in a pipeline, so it has to be named."""
HINTS = {
    "lightning": "lightning:4",
    "hyper": "hyper:4",
    "dmd2": "dmd2:4",
    "lcm": "lcm:4",
    "turbo": "multistep:1",
    "schnell": "flux-schnell",
    "klein": "flux2-klein",
    "sprint": "sana-sprint:2",
}
"""What a word in a name may mean; named in a warning, never acted upon."""
