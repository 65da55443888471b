"""Where a one-step model takes its single step, and how the noise is scaled there."""

from __future__ import annotations

from dataclasses import dataclass

AUTOMATIC = "automatic"


@dataclass(frozen=True)
class Setting:
    """timestep: of the step, None is the one that the user gives. x0: the model predicts the image itself.
    unit_noise: the model sees noise of standard deviation 1. size: pixels. help: a sentence for people."""

    timestep: int | None
    help: str
    x0: bool = False
    unit_noise: bool = False
    size: int = 0


SETTINGS = {
    "turbo": Setting(999, "SDXL-Turbo, SD-Turbo and the scenes model, from full noise", size=512),
    "dmd2": Setting(399, "DMD2 one-step SDXL, from timestep 399 with unit noise", unit_noise=True, size=1024),
    "lightning x0": Setting(999, "SDXL-Lightning one-step, which predicts the image", x0=True, size=1024),
    "hyper-sdxl": Setting(800, "Hyper-SDXL one-step UNet, from timestep 800", unit_noise=True, size=1024),
    "own timestep": Setting(None, "the timestep given below, with the model's own noise"),
}
