"""Write the workflows beside this folder, and the blueprints in subgraphs/, from their description.

    python example_workflows/source/build.py                            # asks a ComfyUI that it starts
    python example_workflows/source/build.py --object-info nodes.json   # a saved answer of /object_info

Run it after a change to a node's inputs, with the newest ComfyUI: what it lacks nodes for is left as it is.
The pictures are made by docs/make_comfyui_pictures.py.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(Path(__file__).resolve().parent), str(FOLDER.parent / "tests"), str(FOLDER.parent)]

import blueprints  # noqa: E402
import bundled  # noqa: E402
import checkpoints  # noqa: E402
import klein  # noqa: E402
import one_node  # noqa: E402
from canvas import UnknownNodeError, Workflow  # noqa: E402
from subgraph import Blueprint  # noqa: E402

WORKFLOWS = {**bundled.WORKFLOWS, **one_node.WORKFLOWS, **checkpoints.WORKFLOWS, **klein.WORKFLOWS}


def built(info: dict[str, Any]) -> dict[str, str]:
    """File name → text of every workflow that these nodes make; the template browser shows the names."""
    texts = {}
    for title, describe in WORKFLOWS.items():
        flow = Workflow(info)
        with suppress(UnknownNodeError):
            describe(flow)
            texts[f"{title}.json"] = _text(flow.json())
    return texts


def blueprints_built(info: dict[str, Any]) -> dict[str, str]:
    """File name → text of every blueprint; the node library shows the names."""
    texts = {}
    for title, (describe, description) in blueprints.BLUEPRINTS.items():
        flow = Blueprint(info)
        describe(flow)
        texts[f"{title}.json"] = _text(flow.blueprint(title, description))
    return texts


def _text(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def asked() -> dict[str, Any]:
    """/object_info of a ComfyUI with this pack."""
    from comfyui_server.client import ComfyClient
    from comfyui_server.server import installations, running

    found = installations()
    if not found:
        sys.exit("No ComfyUI found. Set COMFYUI_PATH to its folder, or pass --object-info.")
    with tempfile.TemporaryDirectory() as base, running(found[0], Path(base)) as server:
        info: dict[str, Any] = ComfyClient(server.url).get("/object_info")
        return info


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the workflows from their description.")
    parser.add_argument("--object-info", type=Path, help="a saved answer of /object_info")
    options = parser.parse_args()
    info = json.loads(options.object_info.read_text()) if options.object_info else asked()
    for folder, texts in ((FOLDER, built(info)), (FOLDER.parent / "subgraphs", blueprints_built(info))):
        folder.mkdir(exist_ok=True)
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8")
            print(folder / name)


if __name__ == "__main__":
    main()
