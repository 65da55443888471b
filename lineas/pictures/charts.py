"""Charts drawn with Pillow alone: a falling curve, and bars by group."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from PIL import Image, ImageDraw

from lineas.pictures.lettering import Lettering

PAPER, INK, FAINT = (255, 255, 255), (32, 32, 32), (224, 224, 224)
# Distinguishable with every common kind of colour blindness (Okabe and Ito, 2008).
COLOURS = ((0, 114, 178), (213, 94, 0), (0, 158, 115), (204, 121, 167), (86, 180, 233), (230, 159, 0))
SIZE = (640, 300)
LEFT, RIGHT, TOP, BOTTOM = 70, 16, 34, 40


def curve(values: Sequence[float], title: str, size: tuple[int, int] = SIZE) -> Image.Image:
    """[k] values, one per step; on a logarithmic axis where all are positive."""
    picture, draw, text = _sheet(title, size)
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return picture
    logarithmic = min(finite) > 0
    scale: Callable[[float], float] = math.log if logarithmic else float
    low, high = scale(min(finite)), scale(max(finite))
    low, high = (low - 0.5, high + 0.5) if high - low < 1e-9 else (low, high)
    width, height = size

    def at(step: int, value: float) -> tuple[float, float]:
        x = LEFT + step / max(1, len(values) - 1) * (width - LEFT - RIGHT)
        return x, TOP + (high - scale(value)) / (high - low) * (height - TOP - BOTTOM)

    for share in (0.0, 0.5, 1.0):
        level = low + share * (high - low)
        y = TOP + (1 - share) * (height - TOP - BOTTOM)
        draw.line([(LEFT, y), (width - RIGHT, y)], fill=FAINT)
        text.write(draw, (6, int(y) - 7), f"{math.exp(level) if logarithmic else level:.4g}", INK)
    points = [at(step, value) for step, value in enumerate(values) if math.isfinite(value)]
    if len(points) > 1:
        draw.line(points, fill=COLOURS[0], width=2)
    for x, y in points[-1:]:
        draw.ellipse([x - 3, y - 3, x + 3, y + 3], fill=COLOURS[0])
    text.write(draw, (LEFT, height - BOTTOM + 12), f"step 0 to {max(0, len(values) - 1)}", INK)
    return picture


def bars(amounts: Mapping[str, float], title: str, group: Callable[[str], str]) -> Image.Image:
    """One bar per entry in the order given, from 0, coloured by `group`, with a legend."""
    picture, draw, text = _sheet(title, SIZE)
    width, height = SIZE
    top = max([*amounts.values(), 1e-12])
    floor, step = height - BOTTOM, (width - LEFT - RIGHT) / max(1, len(amounts))
    groups = list(dict.fromkeys(group(name) for name in amounts))
    for share in (0.0, 0.5, 1.0):
        y = floor - share * (floor - TOP)
        draw.line([(LEFT, y), (width - RIGHT, y)], fill=FAINT)
        text.write(draw, (6, int(y) - 7), f"{share * top:.3g}", INK)
    for index, (name, amount) in enumerate(amounts.items()):
        x, y = LEFT + index * step, floor - amount / top * (floor - TOP)
        colour = COLOURS[groups.index(group(name)) % len(COLOURS)]
        draw.rectangle([x, y, max(x, x + step * 0.85 - 1), floor], fill=colour)
    x = LEFT
    for index, name in enumerate(groups):
        draw.rectangle([x, floor + 15, x + 10, floor + 25], fill=COLOURS[index % len(COLOURS)])
        text.write(draw, (x + 14, floor + 12), name, INK)
        x += 26 + text.size(name)[0]
    return picture


def stacked(pictures: Sequence[Image.Image]) -> Image.Image:
    """Pictures one below the other, at their own sizes."""
    width, height = max(p.width for p in pictures), sum(p.height for p in pictures)
    sheet = Image.new("RGB", (width, height), PAPER)
    y = 0
    for picture in pictures:
        sheet.paste(picture, (0, y))
        y += picture.height
    return sheet


def _sheet(title: str, size: tuple[int, int]) -> tuple[Image.Image, ImageDraw.ImageDraw, Lettering]:
    picture = Image.new("RGB", size, PAPER)
    draw, text = ImageDraw.Draw(picture), Lettering(14)
    text.write(draw, (LEFT, 8), title, INK)
    return picture, draw, text
