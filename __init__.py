"""What ComfyUI imports when this repository lies in its custom_nodes folder."""

from __future__ import annotations

import importlib.util
import logging
import sys
from pathlib import Path
from typing import Any

WEB_DIRECTORY = "./comfyui_lineas/web"

__all__ = ["WEB_DIRECTORY", "comfy_entrypoint"]

_HERE = Path(__file__).resolve().parent
_NAME = "lineas"


def _version(folder: Path) -> str:
    """The version that a copy of the library says it has, without importing it."""
    names: dict[str, Any] = {}
    for line in (folder / "version.py").read_text(encoding="utf-8").splitlines():
        name, equals, value = line.partition("=")
        if equals:
            names[name.strip()] = value.strip().strip("\"'")
    return str(names.get("__version__", ""))


def _installed() -> Path | None:
    """The folder of a `lineas` that Python finds by itself; other things of that name do not count."""
    loaded = getattr(sys.modules.get(_NAME), "__file__", None)
    spec = None if loaded else importlib.util.find_spec(_NAME)
    origin = loaded or (spec.origin if spec is not None else None)
    folder = Path(origin).parent if origin else None
    return folder if folder is not None and (folder / "version.py").is_file() else None


def _serves(found: str, own: str) -> bool:
    """Whether library `found` has what pack `own` needs: the same series, and not older."""
    one, other = (([*version.split("."), "", ""])[:3] for version in (found, own))
    patches = [int(part) if part.isdecimal() else -1 for part in (one[2], other[2])]
    return one[:2] == other[:2] and patches[0] >= patches[1]


def _load_bundled() -> None:
    """Import the copy beside this file under its plain name."""
    folder = _HERE / _NAME
    spec = importlib.util.spec_from_file_location(
        _NAME, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[_NAME] = module
    spec.loader.exec_module(module)


def _find_library() -> None:
    """Make `import lineas` work: an installed copy that is new enough, else the bundled one."""
    installed, own = _installed(), _version(_HERE / _NAME)
    if installed is None:
        _load_bundled()
        return
    found = _version(installed)
    if _serves(found, own):
        return
    if _NAME in sys.modules:
        raise ImportError(
            f"lineas {found} from {installed} is already in use, this node pack needs {own}. "
            f"Make them agree: pip install --upgrade lineas=={own}, or uninstall it and restart."
        )
    logging.warning("LinEAS: lineas %s is installed, the node pack uses its own copy %s.", found, own)
    _load_bundled()


_find_library()


async def comfy_entrypoint() -> Any:
    """The nodes, when ComfyUI asks for them."""
    from .comfyui_lineas.extension import LineasExtension

    return LineasExtension()
