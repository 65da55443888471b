"""An artist at a server: draws the bundled model's pictures, steered in some way, and looks at them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from comfyui_server.client import ComfyClient, RejectedError, Run

from tools.artist.graph import Graph, Info, Node

PROMPT = "a turtle on the beach at night"
CLOSE = 2
"""Levels of 255 within which two ways to the same picture may differ."""
SOURCE = "a house in the meadow at night\na boat on the beach at night\na car in the city at night"
TARGET = "a house in the meadow\na boat on the beach\na car in the city"


Case = tuple[str, str, Callable[["Desk"], None]]
"""Group, name and what is done."""


class Fault(AssertionError):
    """Something was not as it should be; the message says what."""


@dataclass
class Desk:
    """A server and what was made on it. files: steerings by name, which `prepare` trains."""

    client: ComfyClient
    info: Info
    files: dict[str, str] = field(default_factory=dict)

    def graph(self) -> tuple[Graph, Node]:
        """A graph with the bundled model in it."""
        graph = Graph(self.info)
        return graph, graph.add("LineasLoadScenesModel")

    def run(self, graph: Graph, patience: float = 600) -> Run:
        run = self.client.run(graph.nodes, patience=patience)
        expect(run.end == "success", run.error() or run.end)
        return run

    def refused(self, graph: Graph) -> str:
        """The sentence with which a graph is refused, by the server or by a node."""
        try:
            run = self.client.run(graph.nodes)
        except RejectedError as error:
            return str(error)
        expect(run.end == "error", f"it ended with {run.end}, expected an error")
        return run.error()

    def picture(self, graph: Graph, base: Node, model: Any = None, clip: Any = None, **how: Any) -> Node:
        """Prompt, sampler, decoder and preview behind a model.

        how: of `KSampler`, and text, batch, positive or latent.
        """
        text, batch = how.pop("text", PROMPT), how.pop("batch", 1)
        positive = how.pop("positive", None) or graph.add("CLIPTextEncode", clip=clip or base[1], text=text)
        negative = graph.add("CLIPTextEncode", clip=base[1], text="")
        latent = how.pop("latent", None) or graph.add(
            "EmptyLatentImage", width=128, height=128, batch_size=batch
        )
        defaults = {"seed": 7, "steps": 1, "cfg": 1.0, "sampler_name": "euler", "scheduler": "simple"}
        sampler = graph.add(
            "KSampler",
            **{**defaults, **how},
            model=model or base[0],
            positive=positive,
            negative=negative,
            latent_image=latent,
        )
        decoded = graph.add("VAEDecode", samples=sampler, vae=base[2])
        return graph.add("PreviewImage", images=decoded)

    def drawn(self, patch: Callable[[Graph, Node], Any] | None = None, **how: Any) -> np.ndarray:
        """[b, h, w, 3] what is drawn where `patch` gives the model, or model and clip."""
        graph, base = self.graph()
        made = patch(graph, base) if patch else base[0]
        model, clip = made if isinstance(made, tuple) else (made, base[1])
        shown = self.picture(graph, base, model, clip, **how)
        return self.images(self.run(graph), shown)

    def images(self, run: Run, node: Node) -> np.ndarray:
        return np.stack(self.client.images(run, node.id)).astype(int)

    def steering(self, graph: Graph, name: str = "affine") -> Node:
        return graph.add("LineasLoadSteering", steering_name=self.files[name])

    def applied(self, graph: Graph, base: Node, name: str = "affine", **how: Any) -> Node:
        """Apply Steering on a base, or on what `model` and `clip` say."""
        given = {"model": base[0], "clip": base[1], **how}
        return graph.add("LineasApplySteering", steering=self.steering(graph, name), **given)

    def trained(self, graph: Graph, base: Node, **options: Any) -> Node:
        quick = {"steps": 3, "learning_rate": 0.2, "preview_every": 0, "micro_batch": 3}
        texts = {"source": SOURCE, "target": TARGET}
        return graph.add(
            "LineasTrainSteering", **{"model": base[0], "clip": base[1], **quick, **texts, **options}
        )

    def prepare(self) -> None:
        """Train the two steerings that the others use: one that weights hold, and one that needs hooks."""
        gated = {"sites": "text encoder, end to end", "map": "gated"}
        for name, options in {"affine": {}, "gated": gated}.items():
            graph, base = self.graph()
            train = self.trained(graph, base, file_name=f"artist-{name}", **options)
            run = self.run(graph)
            text = "\n".join(run.shown(train.id).get("text", ()))
            path = next(line for line in text.splitlines() if line.startswith("saved: "))
            self.files[name] = path.replace("\\", "/").rpartition("/")[2]


def expect(holds: bool, fault: str) -> None:
    if not holds:
        raise Fault(fault)


def same(one: np.ndarray, other: np.ndarray, within: int = 0) -> None:
    """Expect two pictures to be alike, to the bit unless levels are given."""
    expect(one.shape == other.shape, f"pictures of {one.shape} and {other.shape}")
    most = int(np.abs(one - other).max())
    expect(most <= within, f"the pictures differ by {most} levels, expected at most {within}")


def differ(one: np.ndarray, other: np.ndarray) -> None:
    """Expect two pictures to be visibly unlike."""
    most = int(np.abs(one - other).max())
    expect(most > CLOSE, f"the pictures differ by {most} levels alone: no effect")
