"""The graph that made a file, kept in it as ComfyUI keeps it in pictures: the editor opens it from there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from comfy_api.v0_0_2 import io

HIDDEN = [io.Hidden.prompt, io.Hidden.extra_pnginfo]
"""What a node that writes files asks ComfyUI for."""
LONGEST = 10**6
"""Signs of a text that is kept; the editor looks for it in the first 4 MB of a file."""


def graph_of(hidden: Any) -> Mapping[str, str]:
    """The editor's `workflow` and the server's `prompt` as JSON, for a file's metadata.

    hidden: of the node that runs. Empty outside of a graph and with --disable-metadata; what is too long, or
    was not sent, is left out.
    """
    from comfy.cli_args import args

    if hidden is None or args.disable_metadata:
        return {}
    graphs = {"prompt": hidden.prompt, "workflow": (hidden.extra_pnginfo or {}).get("workflow")}
    texts = {name: json.dumps(graph) for name, graph in graphs.items() if graph}
    return {name: text for name, text in texts.items() if len(text) <= LONGEST}
