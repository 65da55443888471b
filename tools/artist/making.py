"""Cases of making: training, files, what is refused, and what is not run again."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from tools.artist.desk import CLOSE, SOURCE, TARGET, Case, Desk, expect, same
from tools.artist.graph import Graph, Node

ODD_LISTS = {
    "empty lines": ("a house at night\n\n\n\na boat at night\n", "\n\na house\n\na boat"),
    "CRLF": ("a house at night\r\na boat at night\r\n", "a house\r\na boat"),
    "unicode": ("ein Häuschen 🌙 夜\nबोट at night", "ein Häuschen ☀\nबोट"),
    "1000 characters": ("night " * 200 + "\n" + "at night " * 120, "day " * 250 + "\nhouse"),
    "100 prompts": (SOURCE + "\na cat at night" * 97, TARGET + "\na cat" * 97),
}
BAD: dict[str, tuple[dict[str, Any], str]] = {
    "start behind end": ({"start_percent": 0.8, "end_percent": 0.2}, "never act"),
    "weights with a window": ({"start_percent": 0.2, "method": "weights"}, "Set method to automatic"),
    "a group that is none": ({"block_strengths": "dwn 0.5"}, "no site in"),
    "a strength that is none": ({"block_strengths": "down x"}, "no strength"),
}


def cases(desk: Desk) -> Iterator[Case]:
    """What is done to get a steering, to keep it and to share it, and what is refused."""
    for name, lists in ODD_LISTS.items():
        yield "Odd prompt lists", name, partial(_odd, lists=lists)
    yield from _training()
    yield from _files()
    for name, (options, says) in BAD.items():
        yield "Refusals", name, partial(_refused, options=options, says=says)
    yield "Refusals", "identical lists", _identical
    yield "Refusals", "a steering of text without a CLIP", _without_clip
    yield "Cache", "a new strength trains nothing", _strength_alone
    yield "Cache", "the same graph runs nothing", _nothing_new


def _odd(desk: Desk, lists: tuple[str, str]) -> None:
    graph, base = desk.graph()
    source, target = lists
    train = desk.trained(graph, base, source=source, target=target, steps=1, file_name="artist-odd")
    desk.run(graph)
    expect(bool(train.id), "nothing was trained")


def _training() -> Iterator[Case]:
    group = "Training"
    for sites in ("attention norms", "resnet norms", "text encoder norms"):
        yield group, sites, partial(_trains, sites=sites)
    yield group, "an own pattern", partial(_trains, sites="own pattern", pattern="unet.mid_block*norm*")
    yield group, "low memory", partial(_trains, low_memory=True)
    yield group, "a name of 300 characters", partial(_trains, file_name="n" * 300)
    yield group, "on a model that is steered already", _on_steered
    yield group, "Concept Prompts of everyday captions", _everyday


def _trains(desk: Desk, **options: Any) -> None:
    graph, base = desk.graph()
    train = desk.trained(graph, base, **{"steps": 2, "file_name": "artist-more", **options})
    text = "".join(desk.run(graph).shown(train.id).get("text", ()))
    expect("2 steps" in text and "saved: " in text, f"it says {text[:200]!r}")


def _on_steered(desk: Desk) -> None:
    graph, base = desk.graph()
    steered = desk.applied(graph, base, strength=0.5)
    desk.trained(graph, base, model=steered[0], clip=steered[1], steps=2, file_name="artist-on-top")
    desk.run(graph)


def _everyday(desk: Desk) -> None:
    graph, base = desk.graph()
    sets = graph.add("LineasConceptPrompts", concept="ukiyo-e", kind="style", count=3)
    texts = {"source": sets[0], "target": sets[1], "preserve": sets[2], "file_name": sets[3]}
    desk.trained(graph, base, **texts, steps=1)
    desk.run(graph)


def _files() -> Iterator[Case]:
    group = "Files"
    for strength in (-1.0, 0.5, 1.0):
        yield (
            group,
            f"exported LoRA in the stock loader, strength {strength:g}",
            partial(_lora, strength=strength),
        )
    yield group, "Load & Apply is Load and Apply", _load_and_apply
    yield group, "saved in half precision and loaded again", _saved
    yield group, "a merge takes a steering by weights along", _merged


def _lora(desk: Desk, strength: float) -> None:
    def loaded(graph: Graph, base: Node) -> Any:
        name = graph.add("LineasExportLoRA", model=base, steering=desk.steering(graph), file_name="artist")
        return graph.add("LoraLoaderModelOnly", model=base, lora_name=name, strength_model=strength)

    applied = desk.drawn(lambda g, b: desk.applied(g, b, strength=strength)[0])
    same(desk.drawn(loaded), applied, within=CLOSE)


def _load_and_apply(desk: Desk) -> None:
    def one(graph: Graph, base: Node) -> Any:
        name = desk.files["affine"]
        return graph.add("LineasLoadAndApplySteering", model=base, steering_name=name, strength=0.7)

    same(desk.drawn(one), desk.drawn(lambda g, b: desk.applied(g, b, strength=0.7)[0]))


def _saved(desk: Desk) -> None:
    graph, _ = desk.graph()
    save = graph.add(
        "LineasSaveSteering", steering=desk.steering(graph), file_name="half", precision="float16"
    )
    text = "".join(desk.run(graph).shown(save.id)["text"])
    name = text.replace("\\", "/").rpartition("/")[2].strip()

    def again(graph: Graph, base: Node) -> Any:
        return graph.add("LineasLoadAndApplySteering", model=base, steering_name=name)

    same(desk.drawn(again), desk.drawn(lambda g, b: desk.applied(g, b)[0]), within=CLOSE)


def _merged(desk: Desk) -> None:
    def merged(graph: Graph, base: Node) -> Any:
        steered = desk.applied(graph, base, method="weights")
        return graph.add("ModelMergeSimple", model1=steered, model2=base, ratio=1.0)

    same(desk.drawn(merged), desk.drawn(lambda g, b: desk.applied(g, b)[0]), within=CLOSE)


def _refused(desk: Desk, options: dict[str, Any], says: str) -> None:
    graph, base = desk.graph()
    desk.picture(graph, base, desk.applied(graph, base, **options)[0])
    text = desk.refused(graph)
    expect(says in text, f"it says {text[:200]!r}, expected {says!r}")


def _identical(desk: Desk) -> None:
    graph, base = desk.graph()
    desk.trained(graph, base, target=SOURCE)
    expect("the same" in desk.refused(graph), "the sentence does not say that the lists are the same")


def _without_clip(desk: Desk) -> None:
    graph, base = desk.graph()
    apply = graph.add("LineasApplySteering", model=base, steering=desk.steering(graph, "gated"))
    desk.picture(graph, base, apply[0])
    expect("no CLIP is connected" in desk.refused(graph), "the sentence does not ask for the CLIP")


def _strength_alone(desk: Desk) -> None:
    graph, base = desk.graph()
    train = desk.trained(graph, base, steps=2, file_name="artist-cached")
    apply = graph.add("LineasApplySteering", model=base, steering=train[0], strength=0.4)
    desk.picture(graph, base, apply[0])
    desk.run(graph)
    graph.nodes[apply.id]["inputs"]["strength"] = 0.6
    ran = desk.run(graph).executed()
    expect(train.id not in ran and apply.id in ran, f"these ran: {sorted(ran)}")


def _nothing_new(desk: Desk) -> None:
    graph, base = desk.graph()
    desk.picture(graph, base, desk.applied(graph, base)[0])
    desk.run(graph)
    expect(not desk.run(graph).executed(), "something ran again")
