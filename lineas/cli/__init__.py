"""The command line: `lineas demo`, `train`, `generate`, `evaluate`, `compare` and what works on files.

Commands import what they need when they run, so that `lineas --help` does not wait for torch.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

from lineas.adapters.processes import launched
from lineas.cli.config_file import keep_config, with_config
from lineas.cli.console import complain, notes, tolerate_any_encoding
from lineas.errors import ConfigError, LineasError
from lineas.version import __version__

COMMANDS = {
    "demo": "Remove a concept from the bundled image model in a minute, and measure it.",
    "remove": "Take a concept out of what a model makes.",
    "add": "Put a concept into what a model makes.",
    "swap": "Show one thing in place of another.",
    "train": "Train a steering from prompts, or from a concept.",
    "generate": "Generate images or text with steerings, at one strength or a sweep of them.",
    "evaluate": "Measure a model with steerings: texts or images, with intervals.",
    "compare": "Write a page for a blind comparison of images from two steerings.",
    "batch": "Make many steerings: the concepts, models and settings of a manifest.",
    "info": "Show where a steering file acts, how strongly, and what it was made from.",
    "models": "List the image models and recipes that are known.",
    "invert": "Write the steering that undoes another one.",
    "compose": "Combine several steerings into one file.",
    "export": "Write a steering as a LoRA, a llama.cpp control vector or a steered checkpoint.",
}
INTENTS = ("remove", "add", "swap")
CONFIG = "Options from a TOML file, by their names without dashes; what is given here goes before it."
FAILED, REFUSED, INTERRUPTED, CLOSED = 1, 2, 130, 141


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code.

    0: done. 2: refused, with one message that says what to do. 130: aborted with Ctrl-C. 141: the reader of
    the output went away. 1: a fault of the program, which `--debug` shows in full. Raises the exception
    itself with `--debug`.
    """
    tolerate_any_encoding()
    words = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in words
    try:
        chosen = next((word for word in words if word in COMMANDS), None)
        args = _parsed(chosen, words)
        _refuse_several(args.command)
        with notes():
            written = args.run(args)
            if written is not None and not getattr(args, "resume", None):
                keep_config(args, args.command, written)
    except KeyboardInterrupt:
        complain("stopped.")
        return INTERRUPTED
    except BrokenPipeError:
        # What reads the output, such as head, has seen enough. Nothing more is flushed at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return CLOSED
    except LineasError as error:
        if debug:
            raise
        complain(f"error: {error}")
        return REFUSED
    except OSError as error:
        if debug:
            raise
        complain(f"error: the system refused: {error}. Check the path, its rights and the space on the disk.")
        return REFUSED
    except Exception as error:
        if debug:
            raise
        complain(f"unexpected error: {type(error).__name__}: {error} (run again with --debug to see where)")
        return FAILED
    return 0


def parser(chosen: str | None = None) -> argparse.ArgumentParser:
    """The parser of all commands. Only the chosen one is imported: it adds its options, and `run(args)`."""
    return _parsers(chosen)[0]


def _parsed(chosen: str | None, words: list[str]) -> argparse.Namespace:
    """The words as options, those of a `--config` file among them."""
    top, command = _parsers(chosen)
    bare = _parsers(chosen)[1]
    if command is not None and bare is not None and chosen is not None:
        repeats = with_config(command, bare, words[words.index(chosen) + 1 :])
        command.set_defaults(repeats=repeats, command=chosen)
    return top.parse_args(words)


def _refuse_several(command: str) -> None:
    if command not in ("train", *INTENTS) and launched() > 1:
        raise ConfigError(
            f"{launched()} processes were started to share lineas {command}, and each would do the same. "
            "lineas train and the intents share their work; run this one by itself."
        )


def _parsers(chosen: str | None) -> tuple[argparse.ArgumentParser, argparse.ArgumentParser | None]:
    """That of all commands, and that of the chosen one."""
    own = None
    top = argparse.ArgumentParser(
        prog="lineas", description="Remove or add a concept with one small file and one strength."
    )
    top.add_argument("--version", action="version", version=f"lineas {__version__}")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, summary in COMMANDS.items():
        file = "intent" if name in INTENTS else name
        command = importlib.import_module(f"{__name__}.commands.{file}") if name == chosen else None
        one = commands.add_parser(name, help=summary, description=command.__doc__ if command else summary)
        if command is not None:
            one.set_defaults(command=name)
            own = one
            command.add_options(one)
            one.add_argument("--config", metavar="FILE", help=CONFIG)
            one.add_argument("--debug", action="store_true", help="Show the full traceback of an error.")
            one.set_defaults(run=command.run)
    return top, own


if __name__ == "__main__":
    sys.exit(main())
