"""Run every workflow in the real frontend of a real ComfyUI and take its pictures.

    python docs/make_comfyui_pictures.py ["Try it now" …] [--quick]

For each workflow (all by default) it writes the thumbnail beside the workflow file, and for "Remove a concept
in one node" the picture of the whole graph, docs/images/comfyui_one_node.png. The steering that "Try it now"
learns becomes the one that comes with the pack. Workflows on checkpoints are not run: their thumbnail shows
the graph.

`--quick` trains for two steps and writes everything to out/: for looking at the layout alone.

Needs ComfyUI (COMFYUI_PATH, else ~/ComfyUI), Chromium, and `pip install playwright aiohttp`. Takes about five
minutes on two cores. Run it again when the bundled model's weights or the nodes change.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "tests")]

from comfyui_server.browser import Frontend, chromium, frontend  # noqa: E402
from comfyui_server.client import ComfyClient  # noqa: E402
from comfyui_server.graph import Workflow, widget_slots  # noqa: E402
from comfyui_server.server import ComfyServer, installations, running  # noqa: E402

from lineas.pictures.contact_sheet import contact_sheet  # noqa: E402

WORKFLOWS = REPOSITORY / "example_workflows"
FIRST, LAST = "Try it now", "Load a steering file"
SHOWN, SCREENSHOT = "Remove a concept in one node", "docs/images/comfyui_one_node.png"
SHIPPED = "comfyui_lineas/steering/remove-night-scenes.safetensors"
QUICK = {"steps": 2, "count": 2}
"""Widgets of a quick look."""
WINDOW = (1900, 1440)
THUMBNAIL, QUALITY = 640, 88
"""Pixels of the longer side of a thumbnail, and its JPEG quality."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Take the pictures of the workflows.")
    parser.add_argument("names", nargs="*", help="workflows, all by default")
    parser.add_argument("--quick", action="store_true", help="two steps, pictures to out/")
    options = parser.parse_args()
    into = REPOSITORY / "out" if options.quick else REPOSITORY
    for name, content in taken(chosen(options.names), options.quick):
        write(into / name, content)


def chosen(names: list[str]) -> list[str]:
    """The workflows of these names: first the one that makes the pack's steering, then others that train.

    What one training learns is still there for the next workflow that trains the same.
    """
    known = [path.stem for path in WORKFLOWS.glob("*.json")]
    unknown = set(names) - set(known)
    if unknown:
        sys.exit(f"No workflow {sorted(unknown)}, only {sorted(known)}.")
    return sorted(
        names or known, key=lambda name: (name != FIRST, name == LAST or needs_files(read(name)), name)
    )


def read(name: str) -> Workflow:
    flow: Workflow = json.loads((WORKFLOWS / f"{name}.json").read_text(encoding="utf-8"))
    return flow


def taken(names: list[str], quick: bool) -> Iterator[tuple[str, bytes]]:
    """Path in the repository → content of every file to write."""
    found = installations()
    if not found or chromium() is None:
        sys.exit("This needs ComfyUI (set COMFYUI_PATH to its folder) and Chromium (set CHROMIUM to it).")
    with (
        tempfile.TemporaryDirectory() as base,
        running(found[0], Path(base)) as server,
        frontend(server.url, *WINDOW) as editor,
    ):
        for name in names:
            flow = read(name)
            if quick:
                flow = shortened(flow, ComfyClient(server.url).get("/object_info"))
            editor.load(flow, name)
            shown = None if needs_files(flow) else results(editor, server, flow, name)
            place = editor.fit()
            screen = editor.screenshot()
            if name == FIRST:
                yield SHIPPED, learned(server)
            picture = Image.open(io.BytesIO(screen)).crop(place)
            if name == SHOWN:
                yield SCREENSHOT, as_png(picture)
            picture = shown or picture
            yield f"example_workflows/{name}.jpg", thumbnail(picture)
            if quick:
                yield f"example_workflows/{name}.png", screen


def shortened(flow: Workflow, info: dict[str, Any]) -> Workflow:
    """The workflow with little training."""
    for node in flow["nodes"]:
        if not node["type"].startswith("Lineas"):
            continue
        names = [name for name, _ in widget_slots(info.get(node["type"], {}))]
        for name in set(names) & set(QUICK):
            node["widgets_values"][names.index(name)] = QUICK[name]
    return flow


def needs_files(flow: Workflow) -> bool:
    return any(node["properties"].get("models") for node in flow["nodes"])


def results(editor: Frontend, server: ComfyServer, flow: Workflow, name: str) -> Image.Image:
    """Queue the graph, wait, and put what it drew side by side."""
    end = editor.queue()
    if end != "execution_success":
        sys.exit(f"{name} ended with {end}. The log ends:\n{server.logged()[-3000:]}")
    shown = latest(ComfyClient(server.url))
    sheet = [node for node in flow["nodes"] if node["type"] == "LineasSweepGrid"]
    if sheet:
        return pictures(server, shown, sheet[0])[0]
    drawn = sorted(
        (node for node in flow["nodes"] if node["type"] == "PreviewImage"), key=lambda node: node["pos"][0]
    )
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


def learned(server: ComfyServer) -> bytes:
    """What was learned first: the steering that comes with the pack."""
    files = (server.base / "output" / "steering").glob("remove-night_*.safetensors")
    return sorted(files)[-1].read_bytes()


def as_png(picture: Image.Image) -> bytes:
    stream = io.BytesIO()
    picture.convert("RGB").save(stream, "PNG", optimize=True)
    return stream.getvalue()


def thumbnail(picture: Image.Image) -> bytes:
    small = picture.convert("RGB")
    small.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    small.save(stream, "JPEG", quality=QUALITY)
    return stream.getvalue()


def write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    print(path, flush=True)


if __name__ == "__main__":
    main()
