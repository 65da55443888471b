"""Write the names and tooltips of all nodes in every language: locales/<language>/nodeDefs.json.

    python -m tools.locales

English is what the nodes say. The others are looked up by the English sentence in <language>.json here:
a sentence that has changed has no translation until somebody writes one: it stays English, and is printed.
Needs no ComfyUI.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
LANGUAGES = ("zh", "ja", "de")


def main() -> None:
    for language, text in written().items():
        path = REPOSITORY / "locales" / language / "nodeDefs.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        print(path)
    for language in LANGUAGES:
        for sentence in missing(language):
            print(f"{language} lacks: {sentence}")


def written() -> dict[str, str]:
    """Language → text of its file."""
    schemas = nodes()
    texts = {"en": described(schemas, lambda text: text, lambda name: name)}
    for language in LANGUAGES:
        words = table(language)
        texts[language] = described(
            schemas,
            lambda text, words=words: words["sentences"].get(text, text),
            lambda name, words=words: words["names"].get(name, name),
        )
    return {
        name: json.dumps(_literal(each), indent=1, ensure_ascii=False) + "\n" for name, each in texts.items()
    }


def _literal(told: Any) -> Any:
    """The same with signs quoted that mean something to the frontends' translator (vue-i18n)."""
    if isinstance(told, dict):
        return {name: _literal(value) for name, value in told.items()}
    return re.sub(r"[{}@|]+", lambda found: "{'" + found[0] + "'}", told)


def missing(language: str) -> list[str]:
    """Sentences and names that have no translation."""
    words, lacking = table(language), []

    def sentence(text: str) -> str:
        lacking.extend([text] if text not in words["sentences"] else [])
        return text

    def name(text: str) -> str:
        lacking.extend([text] if text not in words["names"] else [])
        return text

    described(nodes(), sentence, name)
    return list(dict.fromkeys(lacking))


def table(language: str) -> dict[str, dict[str, str]]:
    read: dict[str, dict[str, str]] = json.loads((HERE / f"{language}.json").read_text(encoding="utf-8"))
    return read


def nodes() -> list[Any]:
    """The schemas of all nodes, recorded by the stand-in of ComfyUI's node API that the tests have."""
    for path in (REPOSITORY, REPOSITORY / "tests" / "comfyui_pack" / "stand_ins"):
        if str(path) not in sys.path:
            sys.path.insert(0, str(path))
    from comfyui_lineas.extension import LineasExtension

    return [node.define_schema() for node in asyncio.run(LineasExtension().get_node_list())]


def described(
    schemas: list[Any], sentence: Callable[[str], str], name: Callable[[str], str]
) -> dict[str, Any]:
    """What frontends look up: names and tooltips by node, input and number of the output."""
    return {
        schema.node_id: {
            "display_name": sentence(schema.display_name),
            "description": sentence(schema.description),
            "inputs": {
                each.id: {"name": name(each.id), "tooltip": sentence(each.tooltip)} for each in schema.inputs
            },
            "outputs": {
                str(number): {"name": name(each.display_name)}
                | ({"tooltip": sentence(each.tooltip)} if each.tooltip else {})
                for number, each in enumerate(schema.outputs)
            },
        }
        for schema in schemas
    }


if __name__ == "__main__":
    main()
