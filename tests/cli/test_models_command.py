from __future__ import annotations

from typing import Any

from lineas.architectures.recipe_table import RECIPES
from lineas.architectures.table import ARCHITECTURES
from lineas.cli import main


def test_the_tables_are_printed(capsys: Any) -> None:
    assert main(["models", "--sites"]) == 0
    printed = capsys.readouterr()
    text = printed.out + printed.err
    assert all(each.name in text and each.norms[0] in text for each in ARCHITECTURES)
    assert all(name in text for name in RECIPES)
