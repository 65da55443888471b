"""What is published, as `comfy node pack` makes it: complete, and a server runs from it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from comfyui_server.client import ComfyClient
from comfyui_server.conftest import FOUND, needs_of_a_server
from comfyui_server.server import PACK, REPOSITORY, running


def git(*arguments: str, given: str = "") -> list[str]:
    done = subprocess.run(["git", *arguments], cwd=REPOSITORY, input=given, capture_output=True, text=True)
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def published() -> list[str]:
    """The files that git knows, without those that .comfyignore leaves out."""
    if not (REPOSITORY / ".git").exists():
        pytest.skip("not a checkout: git tells what .comfyignore leaves out")
    files = [name for name in git("ls-files") if (REPOSITORY / name).is_file()]
    ignoring = ["-c", f"core.excludesFile={REPOSITORY / '.comfyignore'}", "check-ignore", "--no-index"]
    out = set(git(*ignoring, "--stdin", given="\n".join(files)))
    return [name for name in files if name not in out]


def test_it_holds_what_the_nodes_need_and_no_tests(published):
    wanted = ("comfyui_lineas/web/docs/LineasApplySteering.md", "example_workflows/Try it now.json")
    assert {*wanted, "lineas/version.py", "__init__.py", "LICENSE", "README.md"} <= set(published)
    outer = {name.partition("/")[0] for name in published}
    assert not outer & {"docs", "tests", "benchmarks", "tools", "Makefile", ".ci"}


def test_a_server_runs_from_it_and_shows_the_help_pages(published, tmp_path):
    if not FOUND:
        pytest.skip("no ComfyUI: set COMFYUI_PATH to a folder with its main.py (~/ComfyUI is looked at too)")
    needs_of_a_server()
    pack = tmp_path / "pack"
    for name in published:
        copy = pack / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes((REPOSITORY / name).read_bytes())
    with running(FOUND[0], tmp_path / "base", pack=pack) as server:
        client = ComfyClient(server.url)
        nodes = {name: info for name, info in client.get("/object_info").items() if name.startswith("Lineas")}
        pages = {page.stem for page in Path(pack / "comfyui_lineas" / "web" / "docs").glob("*.md")}
        assert pages and set(nodes) == pages
        for name, info in nodes.items():
            page = client.read(f"/extensions/{PACK}/docs/{name}.md").decode()
            assert page.startswith(f"# {info['display_name']}\n")
        assert "Try it now" in client.get("/workflow_templates")[PACK]
