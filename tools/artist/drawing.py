"""Cases of drawing: steerings on models, in the graphs that artists build around them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from tools.artist.desk import CLOSE, Case, Desk, differ, expect, same
from tools.artist.graph import Graph, Node

SAMPLERS = ("euler", "euler_ancestral", "heun", "dpmpp_2m", "ddim", "lcm", "uni_pc")
PATCHES: dict[str, dict[str, Any]] = {
    "FreeU": {},
    "FreeU_V2": {},
    "HyperTile": {"tile_size": 64},
    "PatchModelAddDownscale": {"block_number": 1},
    "RescaleCFG": {},
    "PerturbedAttentionGuidance": {},
    "SelfAttentionGuidance": {},
    "TomePatchModel": {},
    "ModelSamplingDiscrete": {"sampling": "eps"},
    "ModelSamplingContinuousEDM": {"sampling": "eps"},
    "DifferentialDiffusion": {},
    "CFGZeroStar": {},
    "TCFG": {},
    "UNetSelfAttentionMultiply": {"q": 1.1},
    "Mahiro": {},
}
"""Stock nodes that patch a model, and what of their inputs is not the default."""


def cases(desk: Desk) -> Iterator[Case]:
    """What is done with a steering on a model; nodes that this release lacks are left out."""
    yield from _placed()
    yield from _algebra()
    yield "Drawing", "image to image", _image_to_image
    yield "Drawing", "areas, and a mask on the other side", _areas
    yield "Drawing", "tiled decoding of a batch", _tiled
    for sampler in SAMPLERS:
        yield "Samplers", sampler, partial(_sampler, sampler=sampler)
    for kind in (kind for kind in PATCHES if kind in desk.info):
        yield "Stock patches, before and behind", kind, partial(_patched, kind=kind)


def _placed() -> Iterator[Case]:
    group = "Apply"
    for strength in (-1.0, 0.5, 2.0):
        yield group, f"strength {strength:g}", partial(_changes, strength=strength)
    yield group, "strength 0 is the untouched picture", _off
    yield group, "weights and hooks alike", _alike
    yield group, "a gated steering through the CLIP", _gated
    yield group, "the first half holds the only step", partial(_window, acts=True, end_percent=0.5)
    yield group, "the second half holds no step", partial(_window, acts=False, start_percent=0.5)
    yield group, "positive prompt alone", partial(_changes, apply_to="cond", draw={"steps": 4, "cfg": 4.0})
    yield group, "negative prompt alone", partial(_changes, apply_to="uncond", draw={"steps": 4, "cfg": 4.0})
    yield group, "mask, percent and cond at cfg 7, 20 steps, batch 4", _all_at_once
    yield group, "stacked", _stacked
    yield group, "blocks switched off", _blocks_off
    yield group, "a sweep, its sheet and strength 0 in it", _sweep


def _changes(desk: Desk, strength: float = 1.0, draw: dict[str, Any] | None = None, **how: Any) -> None:
    differ(
        desk.drawn(lambda g, b: desk.applied(g, b, strength=strength, **how)[0], **(draw or {})),
        desk.drawn(**(draw or {})),
    )


def _off(desk: Desk) -> None:
    same(desk.drawn(lambda g, b: desk.applied(g, b, strength=0.0)[0]), desk.drawn())


def _alike(desk: Desk) -> None:
    by = [desk.drawn(lambda g, b, m=m: desk.applied(g, b, method=m)[0]) for m in ("weights", "hooks")]
    same(*by, within=CLOSE)


def _gated(desk: Desk) -> None:
    def both(graph: Graph, base: Node) -> Any:
        apply = desk.applied(graph, base, "gated")
        return apply[0], apply[1]

    differ(desk.drawn(both), desk.drawn())


def _window(desk: Desk, acts: bool, **window: float) -> None:
    # Not with more steps: a one-step model forgets in its last ones what was done in the first.
    part = desk.drawn(lambda g, b: desk.applied(g, b, **window)[0])
    whole = desk.drawn(lambda g, b: desk.applied(g, b)[0]) if acts else desk.drawn()
    same(part, whole, within=CLOSE if acts else 0)


def _all_at_once(desk: Desk) -> None:
    def patch(graph: Graph, base: Node) -> Any:
        mask = _left(graph)
        return desk.applied(graph, base, mask=mask, apply_to="cond", start_percent=0.1, end_percent=0.9)[0]

    how = {"steps": 20, "cfg": 7.0, "batch": 4}
    steered, before = desk.drawn(patch, **how), desk.drawn(**how)
    expect(len(steered) == 4, f"{len(steered)} pictures of a batch of 4")
    differ(steered, before)


def _left(graph: Graph) -> Node:
    """A mask that is white on the left."""
    black = graph.add("SolidMask", value=0.0, width=128, height=128)
    white = graph.add("SolidMask", value=1.0, width=64, height=128)
    return graph.add("MaskComposite", destination=black, source=white, x=0, y=0, operation="add")


def _stacked(desk: Desk) -> None:
    def twice(graph: Graph, base: Node) -> Any:
        one = desk.applied(graph, base, strength=0.5)
        return desk.applied(graph, base, model=one[0], strength=0.5)[0]

    differ(desk.drawn(twice), desk.drawn())
    differ(desk.drawn(twice), desk.drawn(lambda g, b: desk.applied(g, b, strength=0.5)[0]))


def _blocks_off(desk: Desk) -> None:
    off = desk.drawn(lambda g, b: desk.applied(g, b, block_strengths="down 0, mid 0, up 0, others 0")[0])
    same(off, desk.drawn())
    differ(desk.drawn(lambda g, b: desk.applied(g, b, block_strengths="up 0")[0]), off)


def _sweep(desk: Desk) -> None:
    graph, base = desk.graph()
    sweep = graph.add("LineasStrengthSweep", model=base, steering=desk.steering(graph), strengths="0, 1")
    shown = desk.picture(graph, base, sweep[0])
    decoded = graph.nodes[shown.id]["inputs"]["images"]
    sheet = graph.add("LineasSweepGrid", images=decoded, strength=sweep[2])
    run = desk.run(graph)
    none, full = desk.images(run, shown)
    same(none, desk.drawn()[0])
    differ(full, none)
    expect(desk.images(run, sheet).shape[2] > 256, "the sheet is too small for two pictures")


def _algebra() -> Iterator[Case]:
    group = "Compose, invert, restrict"
    yield group, "a steering and its inverse", _inverse
    yield group, "composed in sequence and stacked alike", _composed
    yield group, "composed as a sum", partial(_steers, kind="LineasComposeSteerings", mode="sum")
    yield group, "restricted to the up blocks", partial(_steers, kind="LineasRestrictSteering", down=False)
    yield group, "picture and text of a steering", _info


def _inverse(desk: Desk) -> None:
    def undone(graph: Graph, base: Node) -> Any:
        inverse = graph.add("LineasInvertSteering", steering=desk.steering(graph))
        once = desk.applied(graph, base)
        return graph.add("LineasApplySteering", model=once, steering=inverse)

    same(desk.drawn(undone), desk.drawn(), within=CLOSE)


def _composed(desk: Desk) -> None:
    def composed(graph: Graph, base: Node) -> Any:
        one = desk.steering(graph)
        both = graph.add("LineasComposeSteerings", steering_1=one, steering_2=one, weight_2=0.5)
        return graph.add("LineasApplySteering", model=base, steering=both)

    def stacked(graph: Graph, base: Node) -> Any:
        once = desk.applied(graph, base)
        return desk.applied(graph, base, model=once[0], strength=0.5)[0]

    same(desk.drawn(composed), desk.drawn(stacked), within=CLOSE)


def _steers(desk: Desk, kind: str, **options: Any) -> None:
    names = ("steering_1", "steering_2") if "Compose" in kind else ("steering",)

    def patch(graph: Graph, base: Node) -> Any:
        given = {name: desk.steering(graph) for name in names}
        changed = graph.add(kind, **given, **options)
        return graph.add("LineasApplySteering", model=base, steering=changed)

    differ(desk.drawn(patch), desk.drawn())


def _info(desk: Desk) -> None:
    graph, _ = desk.graph()
    info = graph.add("LineasSteeringInfo", steering=desk.steering(graph, "gated"))
    shown = desk.run(graph).shown(info.id)
    expect(bool(shown.get("images")) and "sites" in "".join(shown.get("text", ())), f"it shows {shown}")


def _image_to_image(desk: Desk) -> None:
    def through(graph: Graph, base: Node, steered: bool) -> Node:
        first = desk.picture(graph, base, text="a house in the meadow")
        pixels = graph.nodes[first.id]["inputs"]["images"]
        latent = graph.add("VAEEncode", pixels=pixels, vae=base[2])
        model = desk.applied(graph, base)[0] if steered else base[0]
        return desk.picture(graph, base, model, latent=latent, steps=4, denoise=0.6)

    graph, base = desk.graph()
    shown = [through(graph, base, steered) for steered in (True, False)]
    run = desk.run(graph)
    differ(*(desk.images(run, node) for node in shown))


def _areas(desk: Desk) -> None:
    def drawn(mask: bool) -> Any:
        graph, base = desk.graph()
        whole = graph.add("CLIPTextEncode", clip=base[1], text="a house in the meadow")
        part = graph.add("CLIPTextEncode", clip=base[1], text="a boat at night")
        area = graph.add("ConditioningSetArea", conditioning=part, width=64, height=128, x=64, y=0)
        both = graph.add("ConditioningCombine", conditioning_1=whole, conditioning_2=area)
        model = desk.applied(graph, base, mask=_left(graph))[0] if mask else base[0]
        shown = desk.picture(graph, base, model, positive=both)
        return desk.images(desk.run(graph), shown)

    steered, before = drawn(True), drawn(False)
    differ(steered[:, :, :48], before[:, :, :48])


def _tiled(desk: Desk) -> None:
    graph, base = desk.graph()
    shown = desk.picture(graph, base, desk.applied(graph, base)[0], batch=3)
    samples = graph.nodes[graph.nodes[shown.id]["inputs"]["images"][0]]["inputs"]["samples"]
    tiled = graph.add("VAEDecodeTiled", samples=samples, vae=base[2], tile_size=64, overlap=32)
    preview = graph.add("PreviewImage", images=tiled)
    expect(len(desk.images(desk.run(graph), preview)) == 3, "a batch of 3 gave another number of pictures")


def _sampler(desk: Desk, sampler: str) -> None:
    how = {"sampler_name": sampler, "steps": 4, "cfg": 2.0}
    differ(desk.drawn(lambda g, b: desk.applied(g, b)[0], **how), desk.drawn(**how))


def _patched(desk: Desk, kind: str) -> None:
    options, how = PATCHES[kind], {"steps": 3, "cfg": 3.0}

    def before(graph: Graph, base: Node) -> Any:
        return desk.applied(graph, base, model=graph.add(kind, model=base, **options)[0])[0]

    def behind(graph: Graph, base: Node) -> Any:
        return graph.add(kind, model=desk.applied(graph, base), **options)[0]

    alone = desk.drawn(lambda g, b: g.add(kind, model=b, **options), **how)
    steered = [desk.drawn(patch, **how) for patch in (before, behind)]
    for one in steered:
        differ(one, alone)
    same(*steered, within=CLOSE)
