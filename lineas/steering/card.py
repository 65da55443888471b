"""The card of a steering on a hub: what it does, for which model, figures, pictures and how to use it."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from lineas.errors import ConfigError, plain
from lineas.steering.hub_names import FILE
from lineas.steering.summary import headline

if TYPE_CHECKING:
    from lineas.steering.steering import Steering

PAPER = "https://arxiv.org/abs/2503.10679"
SHOWN = (".png", ".jpg", ".jpeg", ".webp")
OWN, OWN_LICENCE = "lineas/scenes", "apache-2.0"
"""How the names of the models begin that come with the library."""
PARTS = ("unet", "transformer", "transformer_2", "prior", "decoder", "text_encoder", "text_encoder_2")
"""Where the sites of image models begin; those of language models begin with their own modules."""


@dataclass(frozen=True)
class Card:
    """What a card says beyond the steering's own provenance; see `Steering.push_to_hub`.

    Raises `ConfigError` for a picture that is missing or none that hubs show.
    """

    about: str = ""
    license: str | None = None
    figures: Mapping[str, object] | str = field(default_factory=dict)
    pictures: Mapping[str, str | Path] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for path in map(Path, self.pictures.values()):
            if not path.is_file() or path.suffix.lower() not in SHOWN:
                raise ConfigError(
                    f"The picture {plain(path)} is missing or not one of {', '.join(SHOWN)}. Give image "
                    'files by caption, such as {"at every strength": "grid.png"}.'
                )

    def save_pictures(self, folder: Path) -> None:
        """Copy the pictures beside the card, under names of their own."""
        for name, path in zip(self._picture_names(), self.pictures.values(), strict=True):
            shutil.copyfile(path, folder / name)

    def text(self, steering: Steering, repo_id: str, model_facts: Mapping[str, str] | None = None) -> str:
        """The card as Markdown, its metadata first. model_facts: `licence`, `task` of the model."""
        base, facts = steering.provenance.base_model, dict(model_facts or {})
        if base.startswith(OWN):
            facts["licence"] = OWN_LICENCE
        task = facts.get("task") or ("text-to-image" if draws(steering) else "text-generation")
        parts = [
            _metadata(base, self.license or facts.get("licence", ""), task),
            f"# {_cell(repo_id.rpartition('/')[2])}",
            _cell(self.about or _made_for(steering)),
            _model(base, facts.get("licence", "")),
            *self._pictured(),
            *_tables(self.figures),
            _usage(steering, repo_id, draws(steering)),
            "## What it is\n\n" + "\n".join(f"    {line}" for line in headline(steering)),
            f"Made with lineas, activation steering trained end to end from prompts ([LinEAS]({PAPER})).",
        ]
        return "\n\n".join(part for part in parts if part) + "\n"

    def _picture_names(self) -> list[str]:
        return [f"picture-{i}{Path(path).suffix.lower()}" for i, path in enumerate(self.pictures.values())]

    def _pictured(self) -> list[str]:
        names = zip(self.pictures, self._picture_names(), strict=True)
        return [f"![{_cell(caption)}]({name})\n\n*{_cell(caption)}*" for caption, name in names]


def draws(steering: Steering) -> bool:
    """Is it for an image model? So its provenance says, or else the names of its sites."""
    starts = {site.component for site in steering.sites}
    language = any(site.name.startswith("transformer.h.") for site in steering.sites)  # GPT-2 and its kind
    return "recipe" in steering.provenance.settings or (bool(starts & set(PARTS)) and not language)


def _metadata(base: str, licence: str, task: str) -> str:
    """The head that hubs read; a model that is no name of a hub is left out. JSON is YAML, quotes and all."""
    facts: dict[str, object] = {"library_name": "lineas", "pipeline_tag": task}
    facts["tags"] = ["activation-steering", "lineas"]
    if re.fullmatch(r"[\w.-]+/[\w.-]+", base) and not base.startswith(OWN):
        facts |= {"base_model": base, "base_model_relation": "adapter"}
    if licence:
        facts["license"] = licence
    lines = [f"{name}: {json.dumps(value)}" for name, value in facts.items()]
    return "\n".join(["---", *lines, "---"])


def _made_for(steering: Steering) -> str:
    """The label that `lineas train` notes, such as "remove fog"."""
    label = steering.provenance.notes.partition("\n")[0]
    return f"A steering: {label}." if label else "A steering."


def _model(base: str, licence: str) -> str:
    if not base:
        return "It does not say which model it was made for; it acts on one whose modules have its sites."
    known = f"whose licence is {_cell(licence)}" if licence else "whose licence is on the page of that model"
    return (
        f"**For {_cell(base)}**, {known} and holds for what is made with it. The steering acts on this model "
        "and those fine-tuned from it, and is refused where its sites do not fit."
    )


def _tables(figures: Mapping[str, object] | str) -> list[str]:
    """Figures as one table, and a further one for each name that stands for a table; Markdown as it is."""
    if isinstance(figures, str):
        return ["## Figures", figures.strip()] if figures.strip() else []
    nested = {name: value for name, value in figures.items() if isinstance(value, Mapping)}
    flat = {name: value for name, value in figures.items() if name not in nested}
    rows = [f"| {_cell(name)} | {_number(value)} |" for name, value in flat.items()]
    parts = ["\n".join(["| figure | |", "|---|---|", *rows])] if rows else []
    parts += [_grid(name, dict(value)) for name, value in nested.items()]
    return ["## Figures", *parts] if parts else []


def _grid(name: str, values: dict[str, object]) -> str:
    """{row: {column: figure}} or {row: figure} as a table."""
    rows = {row: dict(v) if isinstance(v, Mapping) else {"": v} for row, v in values.items()}
    columns = list(dict.fromkeys(column for each in rows.values() for column in each))
    lines = [f"| {_cell(name)} | {' | '.join(map(_cell, columns))} |", "|---" * (len(columns) + 1) + "|"]
    for row, each in rows.items():
        lines.append(f"| {_cell(row)} | {' | '.join(_number(each.get(c, '')) for c in columns)} |")
    return "\n".join(lines)


def _number(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else _cell(value)


def _cell(text: object) -> str:
    """A line of text that ends no cell, no heading and no link."""
    return re.sub(r"([|<>\[\]`])", r"\\\1", plain(text))


def _usage(steering: Steering, repo_id: str, image: bool) -> str:
    base, name = plain(steering.provenance.base_model or "MODEL"), repo_id.rpartition("/")[2]
    shown = base.removeprefix("lineas/") if base.startswith(OWN) else base
    return "\n\n".join(
        [
            "## Use",
            "Command line, at a strength of 0.8:",
            f'```\nlineas generate "a prompt" --model {shown} --steering hf:{repo_id}:0.8\n```',
            "Python:",
            _python(steering, shown, repo_id, image),
            f"ComfyUI: put `{FILE}` into `models/steering` as `{name}.safetensors`, and add the node "
            "*Load & Apply Steering* of the pack LinEAS behind the loader of the model."
            if image
            else "ComfyUI steers image models; this is for a language model.",
        ]
    )


def _python(steering: Steering, base: str, repo_id: str, image: bool) -> str:
    made = steering.provenance.settings
    loader, loaded = ("load_pipeline", "pipe") if image else ("load_language_model", "model, tokenizer")
    steps, guidance = made.get("denoising_steps"), made.get("guidance")
    called = f", num_inference_steps={steps}, guidance_scale={guidance}" if steps else ""
    use = [f'    image = pipe("a prompt"{called}).images[0]']
    if not image:
        use = [
            '    inputs = tokenizer("A prompt", return_tensors="pt").to(model.device)',
            "    print(tokenizer.decode(model.generate(**inputs)[0]))",
        ]
    lines = [
        f"from lineas import Steering, {loader}, steer",
        "",
        f'{loaded} = {loader}("{base}")',
        f'steering = Steering.from_pretrained("{repo_id}")',
        f"with steer({loaded.partition(',')[0]}, steering, 0.8):",
        *use,
    ]
    return "```python\n" + "\n".join(lines) + "\n```"
