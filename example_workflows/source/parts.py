"""Pieces that several workflows share."""

from __future__ import annotations

from dataclasses import dataclass, replace

from canvas import Node, Output, Workflow

from lineas.scenes import BUNDLED


@dataclass(frozen=True)
class Scene:
    """What the bundled model draws: prompt, no negative prompt and latent, alike for every picture."""

    flow: Workflow
    vae: Output
    positive: Node
    negative: Node
    latent: Node
    seed: int
    text: Node | None = None
    steps: int = 1

    @property
    def nodes(self) -> list[Node]:
        text = [] if self.text is None else [self.text]
        return [*text, self.positive, self.negative, self.latent]

    def read_by(self, clip: Output, heading: str) -> Scene:
        """The same scene, its prompt encoded with another CLIP."""
        assert self.text is not None
        return replace(
            self, positive=self.flow.add("CLIPTextEncode", heading, clip=clip, text=self.text["STRING"])
        )

    def sampled(self, model: Output) -> list[Node]:
        """Sampler and decoder."""
        sampler = self.flow.add(
            "KSampler",
            model=model,
            seed=self.seed,
            steps=self.steps,
            cfg=1.0,
            sampler_name="euler",
            scheduler="simple",
            positive=self.positive["CONDITIONING"],
            negative=self.negative["CONDITIONING"],
            latent_image=self.latent["LATENT"],
        )
        return [sampler, self.flow.add("VAEDecode", samples=sampler["LATENT"], vae=self.vae)]

    def picture(self, model: Output, heading: str) -> list[Node]:
        """Sampler, decoder and preview: one column."""
        column = self.sampled(model)
        return [*column, preview(self.flow, column[-1]["IMAGE"], heading)]


def bundled(
    flow: Workflow, prompt: str, batch: int = 1, seed: int = 7, shared: bool = False, name: str = BUNDLED[0]
) -> tuple[Node, Scene]:
    """A bundled model, and a scene of 128 × 128 pixels. shared: several CLIPs read the prompt."""
    model = flow.add("LineasLoadScenesModel", "The bundled model", (280, 0), model=name)
    latent, steps = ("EmptyLatentImage", 1) if name == BUNDLED[0] else ("EmptySD3LatentImage", 2)
    text = flow.add("PrimitiveString", "Prompt", value=prompt) if shared else None
    given = {"clip": model["clip"], "text": prompt if text is None else text["STRING"]}
    return model, Scene(
        flow,
        model["vae"],
        flow.add("CLIPTextEncode", "Prompt" if text is None else "As it was", **given),
        flow.add("CLIPTextEncode", "No negative prompt", clip=model["clip"], text=""),
        flow.add(latent, "Size", width=128, height=128, batch_size=batch),
        seed,
        text,
        steps,
    )


def preview(flow: Workflow, images: Output, heading: str, size: tuple[int, int] = (300, 390)) -> Node:
    return flow.add("PreviewImage", heading, size, images=images)


def trained(
    flow: Workflow, model: Output, clip: Output, vae: Output, concept: Node, file_name: str, **options: object
) -> Node:
    """Train Steering on the prompt sets of a concept, with a live preview."""
    sets = {name: concept[name] for name in ("source", "target", "preserve")}
    wires = {"model": model, "clip": clip, "vae": vae, "file_name": file_name}
    return flow.add("LineasTrainSteering", size=(400, 860), **wires, **sets, **options)
