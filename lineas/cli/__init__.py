"""The command line: `lineas demo`, `train`, `generate`, `info`, `invert`, `compose` and `export`.

Commands import what they need when they run, so that `lineas --help` does not wait for torch.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from lineas.cli import compose, demo, export, generate, info, invert, train
from lineas.cli.console import complain, notes
from lineas.errors import LineasError
from lineas.version import __version__

COMMANDS = {
    "demo": demo,
    "train": train,
    "generate": generate,
    "info": info,
    "invert": invert,
    "compose": compose,
    "export": export,
}
FAILED, REFUSED, INTERRUPTED = 1, 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code.

    0: done. 2: refused, with one message that says what to do. 130: aborted with Ctrl-C. 1: a fault of the
    program, which `--debug` shows in full. Raises the exception itself with `--debug`.
    """
    args = parser().parse_args(argv)
    try:
        with notes():
            args.run(args)
    except KeyboardInterrupt:
        complain("stopped.")
        return INTERRUPTED
    except LineasError as error:
        if args.debug:
            raise
        complain(f"error: {error}")
        return REFUSED
    except Exception as error:
        if args.debug:
            raise
        complain(f"unexpected error: {type(error).__name__}: {error} (run again with --debug to see where)")
        return FAILED
    return 0


def parser() -> argparse.ArgumentParser:
    """The parser of all commands; each command module adds its own options and is run as `args.run(args)`."""
    top = argparse.ArgumentParser(
        prog="lineas", description="Remove or add a concept with one small file and one strength."
    )
    top.add_argument("--version", action="version", version=f"lineas {__version__}")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, command in COMMANDS.items():
        summary = (command.__doc__ or "").strip().partition("\n")[0]
        one = commands.add_parser(name, help=summary, description=command.__doc__)
        command.add_options(one)
        one.add_argument("--debug", action="store_true", help="Show the full traceback of an error.")
        one.set_defaults(run=command.run)
    return top


if __name__ == "__main__":
    sys.exit(main())
