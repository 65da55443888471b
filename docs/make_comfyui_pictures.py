"""Run every workflow in the real frontend of a real ComfyUI and take its pictures.

    python docs/make_comfyui_pictures.py [try_it_now …]

For each workflow (all by default) it writes the thumbnail beside the workflow file, and for try_it_now the
picture of the whole graph, docs/images/comfyui_try_it_now.png. The steering that try_it_now learns becomes
the one that comes with the pack. Workflows on checkpoints are not run: their thumbnail shows the graph.

Needs ComfyUI (COMFYUI_PATH, else ~/ComfyUI), Chromium, and `pip install playwright aiohttp`. Takes about five
minutes on two cores. Run it again when the bundled model's weights or the nodes change.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "tests")]

from comfyui_server.browser import Frontend, chromium, frontend  # noqa: E402
from comfyui_server.client import ComfyClient  # noqa: E402
from comfyui_server.graph import Workflow  # noqa: E402
from comfyui_server.server import ComfyServer, installations, running  # noqa: E402

from lineas.evaluation.grid import contact_sheet  # noqa: E402

WORKFLOWS = REPOSITORY / "workflows"
FIRST = "try_it_now"
SCREENSHOT = REPOSITORY / "docs" / "images" / "comfyui_try_it_now.png"
SHIPPED = REPOSITORY / "comfyui_lineas" / "steering" / "remove-night-scenes.safetensors"
THUMBNAIL, QUALITY = 640, 88
"""Pixels of the longer side of a thumbnail, and its JPEG quality."""


def main(names: list[str]) -> None:
    found = installations()
    if not found or chromium() is None:
        sys.exit("This needs ComfyUI (set COMFYUI_PATH to its folder) and Chromium (set CHROMIUM to it).")
    known = [path.stem for path in WORKFLOWS.glob("*.json")]
    unknown = set(names) - set(known)
    if unknown:
        sys.exit(f"No workflow {sorted(unknown)}, only {sorted(known)}.")
    order = sorted(names or known, key=lambda name: (name != FIRST, name))
    with (
        tempfile.TemporaryDirectory() as base,
        running(found[0], Path(base)) as server,
        frontend(server.url, 1900, 1440) as editor,
    ):
        for name in order:
            flow = json.loads((WORKFLOWS / f"{name}.json").read_text(encoding="utf-8"))
            editor.load(flow, name)
            picture = graph(editor, base) if needs_files(flow) else results(editor, server, flow, name)
            if name == FIRST:
                editor.screenshot(SCREENSHOT)
                ship(server)
            save(picture, WORKFLOWS / f"{name}.jpg")


def needs_files(flow: Workflow) -> bool:
    return any(node["properties"].get("models") for node in flow["nodes"])


def graph(editor: Frontend, folder: str) -> Image.Image:
    """The graph itself."""
    editor.fit()
    path = Path(folder) / "graph.png"
    editor.screenshot(path)
    return Image.open(path).convert("RGB")


def results(editor: Frontend, server: ComfyServer, flow: Workflow, name: str) -> Image.Image:
    """Queue the graph, wait, and put what it drew side by side."""
    end = editor.queue()
    if end != "execution_success":
        sys.exit(f"{name} ended with {end}. The log ends:\n{server.logged()[-3000:]}")
    editor.fit()
    shown = latest(ComfyClient(server.url))
    sheet = [node for node in flow["nodes"] if node["type"] == "LineasSweepGrid"]
    if sheet:
        return pictures(server, shown, sheet[0])[0]
    drawn = [node for node in flow["nodes"] if node["type"] == "PreviewImage"]
    images = [pictures(server, shown, node)[0] for node in drawn]
    return contact_sheet([images], column_labels=[node["title"] for node in drawn], cell=256, font_size=20)


def latest(client: ComfyClient) -> dict[str, Any]:
    """Id of a node → what it showed in the last run."""
    history = client.get("/history", max_items="1")
    outputs: dict[str, Any] = next(iter(history.values()))["outputs"]
    return outputs


def pictures(server: ComfyServer, shown: dict[str, Any], node: dict[str, Any]) -> list[Image.Image]:
    client = ComfyClient(server.url)
    return [Image.fromarray(client.image(found)) for found in shown[str(node["id"])]["images"]]


def ship(server: ComfyServer) -> None:
    """Keep what try_it_now learned as the steering that comes with the pack."""
    learned = sorted((server.base / "output" / "steering").glob("remove-night_*.safetensors"))[-1]
    SHIPPED.parent.mkdir(exist_ok=True)
    SHIPPED.write_bytes(learned.read_bytes())
    print(SHIPPED)


def save(picture: Image.Image, path: Path) -> None:
    picture.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
    picture.convert("RGB").save(path, quality=QUALITY)
    print(path)


if __name__ == "__main__":
    main(sys.argv[1:])
