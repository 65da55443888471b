"""Show what a steering file is: where it acts, how sparsely and how strongly, and what it was made from."""

from __future__ import annotations

import argparse

from lineas.cli.console import say


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", metavar="FILE", help="Steering files.")
    parser.add_argument("--sites", action="store_true", help="List every site.")


def run(args: argparse.Namespace) -> None:
    from lineas.steering.steering import Steering

    for path in args.files:
        steering = Steering.load(path)
        say(f"{path}\n{steering.summary()}")
        if args.sites:
            say("\n".join(_site_lines(steering)))


def _site_lines(steering) -> list[str]:  # type: ignore[no-untyped-def]  # torch stays out of `lineas --help`
    place = max((len(str(site)) for site in steering.maps), default=0)
    lines = [f"  {'site':{place}}  kind      units  steered"]
    for site, map in steering.maps.items():
        share = int(map.support.sum()) / map.width
        lines.append(f"  {site!s:{place}}  {map.kind:8}  {map.width:5}  {share:7.1%}")
    return lines
