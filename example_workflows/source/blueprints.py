"""Blueprints: a concept between the loader and the sampler, with the prompts encoded as they have to be."""

from __future__ import annotations

from canvas import Group
from subgraph import Blueprint


def remove(flow: Blueprint) -> None:
    _steered(flow, "remove", "at night")


def add(flow: Blueprint) -> None:
    _steered(flow, "add", "pixel art")


def _steered(flow: Blueprint, intent: str, what: str) -> None:
    model, clip, vae = (flow.input(name, name.upper()) for name in ("model", "clip", "vae"))
    asked = {"what": flow.input("what", "STRING", what), "strength": flow.input("strength", "FLOAT", 1.0)}
    prompt, negative = (flow.input(name, "STRING", "") for name in ("prompt", "negative_prompt"))
    wires = {"model": model, "clip": clip, "vae": vae}
    steer = flow.add("LineasSteerConcept", size=(400, 760), intent=intent, **wires, **asked)
    positive = flow.add("CLIPTextEncode", "Prompt, as it is steered", clip=steer["clip"], text=prompt)
    plain = flow.add("CLIPTextEncode", "Negative prompt", clip=clip, text=negative)
    flow.made |= {
        "model": steer["model"],
        "positive": positive["CONDITIONING"],
        "negative": plain["CONDITIONING"],
    }
    flow.lay_out(Group("", "use", [[steer], [positive, plain]]))


BLUEPRINTS = {
    "Remove a concept": (
        remove,
        "Learns a concept on first use and takes it out of the picture. Goes between loader and sampler.",
    ),
    "Add a style": (
        add,
        "Learns a style on first use and draws in it without its name. Goes between loader and sampler.",
    ),
}
