"""Remove a concept from the bundled image model in a minute, and measure what is gone and what stayed.

Needs no GPU and no download. The files of an earlier demo in the same folder are replaced.
"""

from __future__ import annotations

import argparse
import math
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lineas.cli import files, models
from lineas.cli.commands.demo_figures import draw_figures, table
from lineas.cli.commands.train import build_problem, cost_change, labelled
from lineas.cli.console import bar, say
from lineas.cli.fitting import Outcome, fit, load_optimisers, logs
from lineas.cli.method_options import PREFIX, add_train_options, train_config
from lineas.cli.runs import Run
from lineas.errors import ConfigError, MissingExtraError, require
from lineas.intents.settings import REMOVING
from lineas.methods.registry import method_named

if TYPE_CHECKING:
    from lineas.evaluation.images.concept_report import ConceptReport
    from lineas.fitting.progress import Callback
    from lineas.scenes.concepts import ConceptSets
    from lineas.steering.steering import Steering

STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
MEASURING_SEED = 1000
"""The noise of measured images is none that the training saw."""
ENOUGH = 30
"""Steps after which the default concept is gone from nearly all images."""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--concept", default="time:night", metavar="KIND:NAME", help="What to remove (default time:night)."
    )
    parser.add_argument(
        "--seconds", type=float, default=60.0, metavar="S", help="Time for training (default 60)."
    )
    parser.add_argument(
        "--model", choices=models.BUNDLED, default=models.BUNDLED[0], help="Which bundled model."
    )
    parser.add_argument("--output", default="demo", metavar="FOLDER", help="Where files go (default: demo).")
    parser.add_argument(
        "--held-out", type=int, default=64, metavar="N", help="Prompts measured with it, and without."
    )
    parser.add_argument(
        "--sites",
        nargs="+",
        metavar="PATTERN",
        default=[REMOVING["sites"]],
        help=f"Where to measure the cost, and to steer what --steer says (default: {REMOVING['sites']}).",
    )
    add_train_options(parser)
    chosen = {f"{PREFIX}{name}": value for name, value in REMOVING.items() if name != "sites"}
    parser.set_defaults(**chosen)


def run(args: argparse.Namespace) -> Path:
    from lineas.scenes.concepts import concept_sets
    from lineas.scenes.naming import named_concept

    _check(args)
    concept, config = named_concept(args.concept), train_config(args)
    folder = files.folder(args.output)
    require("matplotlib", "evaluation")  # before the training rather than after it
    say(f"loading the bundled model {args.model}, to remove {concept[1]} ({concept[0]}) …")
    model = models.load(args.model)
    sets = concept_sets(*concept, seed=config.seed, held_out=args.held_out)
    asked = Run(
        model=args.model,
        output=str(folder / "steering.safetensors"),
        source=sets.source,
        target=sets.target,
        preserve=sets.preserve,
        label=f"remove {':'.join(concept)}",
        config=asdict(config),
        sites=tuple(args.sites),
    )
    with logs(args.log, folder.name, config.settings()) as log:
        outcome, facts = _trained(model, asked, args.seconds, log)
    start = time.perf_counter()
    report = _measured(model.obj, outcome.steering, concept, sets)
    facts["seconds_to_measure"] = round(time.perf_counter() - start, 1)
    say(table(concept, report, len(sets.held_out_with), len(sets.held_out_without)))
    figures = draw_figures(folder, model.obj, outcome.steering, sets, outcome.figures, report)
    record = files.write_json(_record(concept, facts, report), folder / "report.json")
    say("files: " + "\n       ".join(str(path) for path in (asked.output, *figures, record)))
    return folder


def _trained(
    model: models.Model, asked: Run, seconds: float, log: Callback | None
) -> tuple[Outcome, dict[str, Any]]:
    """Train, save and say how it went; the facts are for the record."""
    load_optimisers()
    method = method_named("lineas")
    config = method.config(**asked.config)
    outcome = fit(method, build_problem(model, asked, asked.config["seed"]), config, seconds, log=log)
    facts = {"steps": outcome.steps, "seconds": round(outcome.seconds, 1), "stopped": outcome.stopped}
    outcome.steering = labelled(outcome.steering, asked.label)
    files.save_or_rescue(outcome.steering, Path(asked.output))
    made = outcome.steering.provenance.settings
    sites = len(outcome.steering.maps)
    say(f"{facts['steps']} steps in {facts['seconds']:.0f} s at {sites} sites, {cost_change(made)}")
    if outcome.steps < min(ENOUGH, asked.config["steps"]):
        say(_too_short(outcome.steps, seconds))
    costs = {name: made[name] for name in ("cost_at_start", "cost")}
    return outcome, facts | costs | {"sites": sites, "settings": dict(made)}


def _too_short(steps: int, seconds: float) -> str:
    wanted = 10 * math.ceil(seconds * ENOUGH / max(1, steps) / 10)
    return (
        f"That is few: this machine made {steps} steps in {seconds:g} s, {ENOUGH} remove a concept. "
        f"Give it more time with --seconds {wanted}."
    )


def _measured(pipe: Any, steering: Steering, concept: tuple[str, str], sets: ConceptSets) -> ConceptReport:
    from lineas.adapters.images.clip_score import ClipScore
    from lineas.adapters.images.drawing import Drawer
    from lineas.evaluation.images.concept_report import concept_report
    from lineas.scenes.bundled import CLIP
    from lineas.scenes.detector import Detector
    from lineas.scenes.grammar import parse

    try:
        clip = ClipScore.load(CLIP)
    except MissingExtraError:
        clip = None
    inside, cross, detector = sets.held_out_with, sets.held_out_without, Detector.load()
    with bar((len(inside) + len(cross)) * len(STRENGTHS), "measuring", "image") as shown:
        draw = Drawer(pipe, [steering], seed=MEASURING_SEED, batch=16, on_images=shown.update)
        return concept_report(
            draw,
            detector.found,
            concept,
            inside,
            cross,
            STRENGTHS,
            named=lambda p: parse(p).concepts(),
            clip=clip,
        )


def _record(concept: tuple[str, str], facts: dict[str, Any], report: ConceptReport) -> dict[str, Any]:
    import platform

    import torch

    from lineas.version import __version__

    machine = f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}"
    head = {"concept": ":".join(concept), "lineas": __version__, "machine": machine, "training": facts}
    return head | {"strengths": report.as_dict()["strengths"]}


def _check(args: argparse.Namespace) -> None:
    if not args.seconds > 0:
        raise ConfigError(f"--seconds is {args.seconds:g}, expected more than 0; 60 is the default.")
    if args.held_out < 4:
        raise ConfigError(f"--held-out is {args.held_out}, expected at least 4; 64 give useful intervals.")
