"""The page of a batch: a table of figures, and pictures beneath each other; it needs no network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any
from urllib.parse import quote

STYLE = """body{font:15px system-ui,sans-serif;margin:2em auto;max-width:70em;padding:0 1em;color:#222}
table{border-collapse:collapse;width:100%}th,td{padding:.3em .6em;border-bottom:1px solid #ddd}
th,td{text-align:left}
td.n{text-align:right;font-variant-numeric:tabular-nums}img{max-width:100%}figure{margin:2em 0}
.error{color:#a00}blockquote{margin:.5em 0;white-space:pre-wrap}"""


def page(title: str, rows: Sequence[Mapping[str, Any]], asked: int) -> str:
    """One HTML file: `rows` as `Results` has them, of the `asked` jobs."""
    figures = list(dict.fromkeys(name for row in rows for name in row["figures"]))
    head = "".join(
        f"<th>{escape(name)}</th>" for name in ("steering", "model", "setting", "seconds", *figures)
    )
    body = "\n".join(_row(row, figures, i) for i, row in enumerate(rows))
    shown = "\n".join(_shown(row, i) for i, row in enumerate(rows))
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{STYLE}</style><h1>{escape(title)}</h1><p>{len(rows)} of {asked} steerings</p>"
        f"<table><thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table>\n{shown}\n</html>\n"
    )


def _row(row: Mapping[str, Any], figures: Sequence[str], number: int) -> str:
    name = f'<a href="#s{number}">{escape(row["name"])}</a>'
    if row["path"]:
        name += f' (<a href="{quote(row["path"])}">file</a>)'
    cells = [f"<td>{name}</td>", *(f"<td>{escape(str(row[key]))}</td>" for key in ("model", "setting"))]
    values = [row["seconds"], *(row["figures"].get(figure, "") for figure in figures)]
    return f"<tr>{''.join(cells)}{''.join(f'<td class=n>{_number(value)}</td>' for value in values)}</tr>"


def _shown(row: Mapping[str, Any], number: int) -> str:
    caption = " · ".join(part for part in (row["name"], row["model"], row["setting"]) if part)
    parts = [f"<figcaption><h2>{escape(caption)}</h2></figcaption>"]
    if row["error"]:
        parts.append(f'<p class="error">{escape(row["error"])}</p>')
    parts += [f"<p>{escape(note)}</p>" for note in row["notes"]]
    if row["picture"]:
        parts.append(f'<img loading="lazy" src="{quote(row["picture"])}" alt="{escape(caption)}">')
    for begun, before, after in row["texts"]:
        parts.append(
            f"<blockquote><b>{escape(begun)}</b>{escape(before)}<br><b>{escape(begun)}</b>{escape(after)}</blockquote>"
        )
    return f'<figure id="s{number}">{"".join(parts)}</figure>'


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else escape(str(value))
