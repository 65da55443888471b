"""Workflows on the bundled model: they run as they are, without a download."""

from __future__ import annotations

import notes
from canvas import Group, Node, Output, Workflow
from parts import bundled, preview, trained

from comfyui_lineas.train.request import BUNDLED

SHIPPED = "remove-night-scenes.safetensors"
"""The steering that comes with the pack."""
STEPS = 40


def try_it_now(flow: Workflow) -> None:
    """Train, apply with one slider, and see what each strength does."""
    model, scene = bundled(flow, "a turtle on the beach at night", shared=True)
    concept = _concept(flow, "at night", "attribute")
    train = _trained(flow, model, concept, "remove-night", **BUNDLED)
    steered = {"model": model["model"], "clip": model["clip"], "steering": train["steering"]}
    apply = flow.add("LineasApplySteering", **steered)
    read = scene.read_by(apply["clip"], "As it is steered")
    after = read.picture(apply["model"], "With the steering")
    before = scene.picture(model["model"], "Without it")
    sweep = flow.add("LineasStrengthSweep", **steered)
    each = scene.read_by(sweep["clip"], "At each strength")
    rows = flow.add("EmptyLatentImage", "Three of each", width=128, height=128, batch_size=3)
    drawn = each.sampled(sweep["model"])
    drawn[0].given["latent_image"] = rows["LATENT"]
    sheet = flow.add(
        "LineasSweepGrid", size=(620, 560), images=drawn[-1]["IMAGE"], strength=sweep["strength"]
    )
    flow.lay_out(
        Group("1  A model and a concept", "model", [[flow.note(notes.TRY, (300, 250)), model, concept]]),
        Group("2  Train", "train", [[train], _looked_at(flow, train, concept)]),
        [
            Group(
                "3  Apply: move the strength", "use", [[*scene.nodes, apply], [read.positive, *after], before]
            ),
            Group("4  What each strength does", "look", [[sweep, each.positive, rows], drawn, [sheet]]),
        ],
    )


def compose_two(flow: Workflow) -> None:
    """Two steerings in one, beside each alone."""
    model, scene = bundled(flow, "a turtle on the beach at night in the fog")
    concepts = [_concept(flow, "at night", "attribute"), _concept(flow, "in the fog", "attribute")]
    names = ("remove-night", "remove-fog")
    trains = [_trained(flow, model, concept, name) for concept, name in zip(concepts, names, strict=True)]
    both = flow.add(
        "LineasComposeSteerings", steering_1=trains[0]["steering"], steering_2=trains[1]["steering"]
    )
    kept = flow.add("LineasSaveSteering", steering=both["steering"], file_name="remove-night-and-fog")
    headings = ("Without night", "Without fog", "Without either")
    columns = [
        _applied(flow, scene.picture, model["model"], steering["steering"], heading)
        for steering, heading in zip((*trains, both), headings, strict=True)
    ]
    note = flow.note(notes.COMPOSE, (300, 230))
    flow.lay_out(
        Group("1  A model and two concepts", "model", [[note, model, *concepts]]),
        Group("2  Train both", "train", [[trains[0]], [trains[1]]]),
        Group("3  Compose", "use", [[both, kept, *scene.nodes]]),
        Group("4  Compare", "look", [scene.picture(model["model"], "As it was"), *columns]),
    )


def region_mask(flow: Workflow) -> None:
    """A steering that acts in a part of the image alone."""
    model, scene = bundled(flow, "a house in the meadow at night")
    concept = _concept(flow, "at night", "attribute")
    train = _trained(flow, model, concept, "remove-night")
    black = flow.add("SolidMask", "Black", value=0.0, width=128, height=128)
    white = flow.add("SolidMask", "White, half as wide", value=1.0, width=64, height=128)
    mask = flow.add(
        "MaskComposite", destination=black["MASK"], source=white["MASK"], x=0, y=0, operation="add"
    )
    shown = flow.add("MaskPreview", "It acts where it is white", (300, 330), mask=mask["MASK"])
    apply = flow.add(
        "LineasApplySteering", model=model["model"], steering=train["steering"], mask=mask["MASK"]
    )
    note = flow.note(notes.MASK, (300, 220))
    flow.lay_out(
        Group("1  A model and a concept", "model", [[note, model, concept]]),
        Group("2  Train", "train", [[train]]),
        Group("3  Where it acts", "look", [[black, white, mask, shown]]),
        Group(
            "4  Apply there",
            "use",
            [
                [*scene.nodes, apply],
                scene.picture(apply["model"], "Day on the left"),
                scene.picture(model["model"], "As it was"),
            ],
        ),
    )


def load_and_apply(flow: Workflow) -> None:
    """A steering from a file."""
    model, scene = bundled(flow, "a boat in the city at night", shared=True)
    load = flow.add("LineasLoadSteering", size=(300, 0), steering_name=SHIPPED)
    info = flow.add("LineasSteeringInfo", "What is in the file", (520, 640), steering=load["steering"])
    apply = flow.add(
        "LineasApplySteering", model=model["model"], clip=model["clip"], steering=load["steering"]
    )
    read = scene.read_by(apply["clip"], "As it is steered")
    note = flow.note(notes.LOAD, (300, 260))
    flow.lay_out(
        Group("1  A model and a file", "model", [[note, model, load]]),
        Group("2  What it is", "look", [[info]]),
        Group(
            "3  Apply",
            "use",
            [
                [*scene.nodes, apply],
                [read.positive, *read.picture(apply["model"], "With the steering")],
                scene.picture(model["model"], "Without it"),
            ],
        ),
    )


def lora_export(flow: Workflow) -> None:
    """A steering as a LoRA file, in the stock loader beside Apply Steering."""
    model, scene = bundled(flow, "a car in the mountains at night")
    concept = _concept(flow, "at night", "attribute")
    train = _trained(flow, model, concept, "remove-night")
    export = flow.add(
        "LineasExportLoRA", model=model["model"], steering=train["steering"], file_name="remove-night"
    )
    loader = flow.add(
        "LoraLoaderModelOnly", "The stock LoRA loader", model=model["model"], lora_name=export["lora_name"]
    )
    apply = flow.add("LineasApplySteering", model=model["model"], steering=train["steering"])
    note = flow.note(notes.EXPORT, (300, 280))
    flow.lay_out(
        Group("1  A model and a concept", "model", [[note, model, concept]]),
        Group("2  Train", "train", [[train]]),
        Group("3  Export, and load as a LoRA", "use", [[export, loader, apply, *scene.nodes]]),
        Group(
            "4  Compare",
            "look",
            [
                scene.picture(loader["MODEL"], "As a LoRA"),
                scene.picture(apply["model"], "Apply Steering"),
                scene.picture(model["model"], "Without either"),
            ],
        ),
    )


def _concept(flow: Workflow, concept: str, kind: str) -> Node:
    return flow.add("LineasConceptPrompts", concept=concept, kind=kind, bank="scenes model")


def _trained(flow: Workflow, model: Node, concept: Node, file_name: str, **options: object) -> Node:
    wires = (model["model"], model["clip"], model["vae"])
    return trained(flow, *wires, concept, file_name, steps=STEPS, **options)


def _applied(flow: Workflow, picture, model: Output, steering: Output, heading: str) -> list[Node]:
    apply = flow.add("LineasApplySteering", model=model, steering=steering)
    return [apply, *picture(apply["model"], heading)]


def _looked_at(flow: Workflow, train: Node, concept: Node) -> list[Node]:
    """The prompts that were learned from."""
    return [
        flow.add("PreviewAny", "Prompts to steer away from", (360, 200), source=concept["source"]),
        flow.add("PreviewAny", "Prompts to steer towards", (360, 200), source=concept["target"]),
        preview(flow, train["report"], "Report", (360, 420)),
    ]


WORKFLOWS = {
    "Try it now": try_it_now,
    "Compose two steerings": compose_two,
    "Steer a part of the image": region_mask,
    "Load a steering file": load_and_apply,
    "Export as LoRA": lora_export,
}
