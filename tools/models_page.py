"""Write docs/models.md from the table of architectures, the recipes, and what the tests run through.

python -m tools.models_page        # writes docs/models.md

A Y stands where a test of `SHOWN` has the model among its parameters, which are read from the files of the
tests; no test is run.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from lineas.architectures.recipe_table import ALIASES, RECIPES
from lineas.architectures.table import ARCHITECTURES
from tools.models_rows import ROWS, Row

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "models.md"
_MATRIX = ("adapters/images/test_every_pipeline.py", "test_it_is_fitted_steered_fused_and_left_as_it_was", ())
_EVERY = ("comfyui_pack/test_every_architecture.py", "test_hooks_do_what_the_library_does", ())
_TRAINED = ("comfyui_pack/test_default_sites.py", "test_the_default_sites_are_trained_and_applied", ())
_EXPORTED = ("comfyui_pack/test_export_transformers.py", "test_the_stock_loader_draws_what_apply_draws", ())
SHOWN: dict[str, tuple[tuple[str, str, tuple[str, ...]], ...]] = {
    "fit": (_MATRIX,),
    "steer": (_MATRIX,),
    "fuse": (_MATRIX,),
    "ComfyUI train": (_TRAINED,),
    "ComfyUI apply": (_EVERY,),
    "ComfyUI LoRA": (_EXPORTED,),
}
"""By column: file, test, and the models it is of where it has no parameter that says so."""

HEAD = """# Image models

`python -m tools.models_page` writes this page. Y: shown by a test on a tiny model of the class with random
weights, in the pipeline's own code or in ComfyUI's; –: not tested; no class: there is
none there. No real checkpoint was run for it.

- **fit, steer, fuse**: the default fit lowers the cost; steering changes the image and leaves everything bit
  for bit as it was; what is folded into the weights draws what the hooks draw, also from a saved file
  (`tests/adapters/images/test_every_pipeline.py`).
- **ComfyUI train, apply, LoRA**: the nodes of the pack on that model: the cost falls with the sites that
  they take by default, what acts by hooks and what lies in the weights draw what the library draws, and an
  exported LoRA file in the stock loader draws what Apply draws. In ComfyUI 0.33; older releases lack some
  of the classes, and where they have them they pass the same tests.
- **recipe**: how the model is called, found by itself for the authors' repository, told where it is a guess.

"""
SITES = """
## Sites

`lineas models --sites` prints this. "norms" are the norms with weights in the blocks, or the outputs that
take their place; guidance is from where a model also runs without the prompt. A class that is not here gets
its sites by a general rule, with a warning, and a fit says when it finds sites in some blocks alone.

| model | guidance | sites of "norms" |
| --- | --- | --- |
"""
RECIPE_HEAD = """
## Recipes

A pipeline that was loaded from its authors' repository finds its own recipe; a guess warns.

| recipe | what it does |
| --- | --- |
"""


LANGUAGE_HEAD = """
## Language models

Fitted, steered and fused as tiny models of random weights in
`tests/adapters/language/test_every_architecture.py`; [language models](language.md) says how. Classes of
transformers, without `ForCausalLM`:

"""
_LANGUAGE = (
    ROOT / "tests" / "adapters" / "language" / "test_every_architecture.py",
    "test_it_is_fitted_steered_fused_and_left_as_it_was",
)


@cache
def _tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def shown(column: str) -> set[str]:
    """Parameters of the tests behind a column. `LookupError` where a test is not there any more."""
    found: set[str] = set()
    for file, test, names in SHOWN[column]:
        path = ROOT / "tests" / file
        functions = {each.name: each for each in ast.walk(_tree(path)) if isinstance(each, ast.FunctionDef)}
        if test not in functions:
            raise LookupError(f"{path} has no test {test}, behind the column {column!r} of {PAGE}.")
        found |= set(names) | _parameters(functions[test], path)
    return found


def _parameters(function: ast.FunctionDef, file: Path) -> set[str]:
    found: set[str] = set()
    for decorator in function.decorator_list:
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func).endswith("parametrize"):
            found |= _strings(decorator.args[1], file)
    return found


def _strings(node: ast.expr, file: Path) -> set[str]:
    """The texts of a list, or keys of a dictionary, also behind a name of the file or one that it imports."""
    if isinstance(node, ast.Name):
        return _named(node.id, file)
    if isinstance(node, ast.DictComp):
        return _strings(node.generators[0].iter, file)
    items = node.keys if isinstance(node, ast.Dict) else getattr(node, "elts", [])
    found = {item.value for item in items if isinstance(item, ast.Constant) and isinstance(item.value, str)}
    unpacked = [value for key, value in _pairs(node) if key is None]
    return found.union(*(_strings(each, file) for each in unpacked))


def _pairs(node: ast.expr) -> Iterable[tuple[ast.expr | None, ast.expr]]:
    return zip(node.keys, node.values, strict=True) if isinstance(node, ast.Dict) else ()


def _named(name: str, file: Path) -> set[str]:
    for node in _tree(file).body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if isinstance(target, ast.Name) and target.id == name:
            value = getattr(node, "value", None)
            return _strings(value, file) if value is not None else set()
        if isinstance(node, ast.ImportFrom) and name in {alias.name for alias in node.names}:
            return _named(name, ROOT / "tests" / f"{(node.module or '').replace('.', '/')}.py")
    return set()


def _reasons() -> str:
    """Why models of the table are not fitted in the tests, as these say it."""
    [told] = [
        node.value
        for node in _tree(ROOT / "tests" / "toys" / "every_pipeline.py").body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "NOT_COVERED"
    ]
    reasons = {ast.literal_eval(k): v for k, v in _pairs(told) if k is not None}
    left_out = [
        (row.model, reasons[name]) for row in ROWS for name in (row.pipelines or ())[:1] if name in reasons
    ]
    lines = [f"- {model}: {ast.literal_eval(reason)}." for model, reason in left_out]
    return "\nNot fitted in the tests, and why:\n\n" + "\n".join(lines) + "\n" if lines else ""


def _language() -> str:
    """The classes of language models, as their test has them."""
    file, test = _LANGUAGE
    functions = {each.name: each for each in ast.walk(_tree(file)) if isinstance(each, ast.FunctionDef)}
    return ", ".join(sorted(_parameters(functions[test], file), key=str.lower))


def _cells(row: Row) -> Iterable[str]:
    for column in SHOWN:
        wanted = row.comfyui if column.startswith("ComfyUI") else row.pipelines
        yield "no class" if wanted is None else "Y" if wanted and set(wanted) <= shown(column) else "–"
    unknown = {name.partition(":")[0] for name in row.recipes if name not in {**RECIPES, **ALIASES}} - {"lcm"}
    if unknown:
        raise LookupError(f"{row.model} names recipes that are not there: {', '.join(sorted(unknown))}.")
    yield ", ".join(f"`{name}`" for name in row.recipes) or "–"


def page() -> str:
    """The whole page."""
    columns = ["model", "class in diffusers", *SHOWN, "recipe"]
    lines = [f"| {' | '.join(columns)} |", f"|{' --- |' * len(columns)}"]
    for row in ROWS:
        classes = ", ".join(name.removesuffix("Pipeline") for name in row.pipelines or ())
        lines.append(f"| {' | '.join([row.model, classes, *_cells(row)])} |")
    sites = [
        f"| {each.name} | {each.guidance} | {', '.join(f'`{pattern}`' for pattern in each.norms)} |"
        for each in ARCHITECTURES
    ]
    recipes = [f"| `{name}` | {recipe.note} |" for name, recipe in RECIPES.items()]
    also = "\n\nAlso `lcm:N`, `multistep:N` and `multistep:N:GUIDANCE`.\n"
    parts = (
        HEAD,
        "\n".join(lines),
        "\n",
        _reasons(),
        SITES,
        "\n".join(sites),
        "\n",
        RECIPE_HEAD,
        "\n".join(recipes),
        also,
        LANGUAGE_HEAD,
        _language(),
        ".\n",
    )
    return "".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE}")
