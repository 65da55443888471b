"""Measure a model with steerings, at one strength or a sweep of them, with 95 % intervals.

Language models: toxicity of continuations and, to the model without steerings, their perplexity (--openings),
that of other texts (--text), multiple choice (--questions).
Image models: CLIPScore and IMGScore of --prompts; with the bundled model what a detector finds (--concept).
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lineas.cli import files, models
from lineas.cli.arguments import strengths, weighted_file
from lineas.cli.console import bar, say
from lineas.errors import ConfigError

if TYPE_CHECKING:
    from lineas.steering.steering import Steering


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--steering",
        action="append",
        default=[],
        type=weighted_file,
        metavar="FILE[:STRENGTH]",
        help="A steering; give it again for more, which act in this order.",
    )
    parser.add_argument(
        "--sweep",
        type=strengths,
        default=(0.0, 1.0),
        metavar="A:B:N",
        help="N strengths from A to B (or a list: 0,0.5,1), each times those above (default 0,1).",
    )
    parser.add_argument("--output", metavar="FILE", help="Also write the figures as JSON.")
    parser.add_argument("--force", action="store_true", help="Replace the output file.")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="Seed of texts and images.")
    parser.add_argument(
        "--batch", type=int, default=32, metavar="N", help="Texts or images at once (default 32)."
    )
    models.add_model_options(parser)
    models.add_chat_option(parser)
    _add_language_options(parser.add_argument_group("language models"))
    _add_image_options(parser.add_argument_group("image models"))


def _add_language_options(group: Any) -> None:
    group.add_argument("--openings", metavar="FILE", help="Texts to continue, one per line.")
    group.add_argument(
        "--samples", type=int, default=1, metavar="N", help="Continuations per opening (default 1)."
    )
    group.add_argument(
        "--judge",
        metavar="NAME",
        default="profanity-check",
        help="What judges them: profanity-check (default, offline), or a text classifier of transformers by "
        "folder or hub name, such as s-nlp/roberta_toxicity_classifier.",
    )
    group.add_argument("--label", metavar="NAME", help="The classifier's label that counts as toxic.")
    group.add_argument("--text", metavar="FILE", help="A text for perplexity; paragraphs by empty lines.")
    group.add_argument(
        "--questions",
        metavar="NAME",
        help="Multiple choice of lm-eval: a task's .yaml, or a name such as mmlu.",
    )
    group.add_argument("--shots", type=int, metavar="N", help="Solved examples before each question.")
    group.add_argument("--limit", type=int, metavar="N", help="Questions per task (default all).")


def _add_image_options(group: Any) -> None:
    group.add_argument("--prompts", metavar="FILE", help="What to draw, one per line.")
    group.add_argument(
        "--concept", metavar="TEXT", help="Compared with the images by CLIP; with the bundled model found."
    )
    group.add_argument(
        "--clip", metavar="NAME", help="An open_clip model by name or folder (bundled model: its own)."
    )
    group.add_argument(
        "--features", metavar="NAME", help="Image encoder for IMGScore, such as facebook/dinov2-small."
    )


def run(args: argparse.Namespace) -> Path | None:
    from lineas.steering.steering import Steering

    steerings = [Steering.load(path) for path, _ in args.steering]
    output = files.new_file(args.output, args.force, ".json") if args.output else None
    model = models.load(args.model, args.task, args.recipe, args.dtype, args.device)
    models.check_chat(model, args.chat)
    measure = _measure_texts if model.is_language else _measure_images
    record = measure(args, model, steerings)
    if output is not None:
        say(f"figures: {files.write_json(record, output)}")
    return output


def _measure_texts(args: argparse.Namespace, model: models.Model, steerings: list[Steering]) -> Any:
    from lineas.evaluation.language.perplexity import paragraphs
    from lineas.evaluation.language.report import text_figures
    from lineas.evaluation.language.table import text_table
    from lineas.evaluation.language.toxicity import load_judge
    from lineas.prompts.files import read_prompts

    if not (args.openings or args.text or args.questions):
        raise ConfigError(
            "Nothing to measure: give --openings, --text or --questions, see lineas evaluate --help."
        )
    openings = read_prompts(args.openings) if args.openings else ()
    judge = load_judge(args.judge, label=args.label, batch=args.batch) if openings else None
    texts = paragraphs(files.read_text(args.text)) if args.text else []
    weights, figures = [weight for _, weight in args.steering], {}
    with bar(len(openings) * args.samples * len(args.sweep), "writing", "text") as shown:
        for level in args.sweep:
            figures[level] = text_figures(
                model.obj, model.tokenizer, steerings, [level * weight for weight in weights],
                openings=openings, judge=judge, samples=args.samples, seed=args.seed, texts=texts,
                task=args.questions, shots=args.shots, limit=args.limit, batch=args.batch,
                chat=args.chat, progress=shown.update,
            )  # fmt: skip
    say(text_table({f"{level:g}": each for level, each in figures.items()}, "strength"))
    return {"strengths": {f"{level:g}": each.as_dict() for level, each in figures.items()}}


def _measure_images(args: argparse.Namespace, model: models.Model, steerings: list[Steering]) -> Any:
    from lineas.adapters.images.drawing import Drawer
    from lineas.evaluation.sweep import sweep_strengths
    from lineas.prompts.files import read_prompts

    if not args.prompts:
        raise ConfigError("Give --prompts, a file of what to draw; see lineas evaluate --help.")
    prompts = list(read_prompts(args.prompts))
    measures = _image_measures(args, prompts)
    weights = [weight for _, weight in args.steering]
    with bar(len(prompts) * (1 + len(set(args.sweep) - {0.0})), "drawing", "image") as shown:
        draw = Drawer(
            model.obj, steerings, weights, recipe=args.recipe, seed=args.seed, batch=args.batch,
            on_images=shown.update,
        )  # fmt: skip
        sweep = sweep_strengths(lambda level: draw(prompts, level), args.sweep, measures)
    say(sweep.markdown())
    rows = {name: list(sweep.values(name)) for name in sweep.measures}
    return {"strengths": list(sweep.strengths), **rows, "intervals": {n: sweep.interval(n) for n in rows}}


def _image_measures(args: argparse.Namespace, prompts: list[str]) -> dict[str, Any]:
    """The bundled model brings its own CLIP and detector; other models take theirs by name."""
    from lineas.adapters.devices import best_device
    from lineas.adapters.images.clip_score import ClipScore
    from lineas.evaluation.images.image_features import ImageFeatures
    from lineas.evaluation.images.image_measures import detected_measures, image_measures

    device = args.device or best_device()
    clip = ClipScore.load(args.clip, device=device) if args.clip else None
    features = ImageFeatures.load(args.features, device=device) if args.features else None
    if args.model not in models.BUNDLED:
        return image_measures(prompts, clip, features or clip, args.concept)
    from lineas.scenes.bundled import CLIP
    from lineas.scenes.detector import Detector

    clip = clip or ClipScore.load(CLIP)
    measures = image_measures(prompts, clip, features or clip, args.concept)
    if args.concept:
        from lineas.scenes.naming import named_concept

        measures |= detected_measures(Detector.load().found, named_concept(args.concept))
    return measures
