"""Draw the icon of the node pack: points of one distribution carried, in order, onto those of another.

python docs/make_icon.py        # writes docs/images/icon.png, and banner.png with the name beside it
"""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw

from lineas.pictures.lettering import Lettering

SIDE, SCALE = 400, 4
NIGHT, DAY, GROUND = (92, 107, 192), (255, 183, 77), (24, 26, 40)
SOURCE = (0.20, 0.33, 0.43, 0.53, 0.63, 0.80)
TARGET = (0.15, 0.26, 0.38, 0.58, 0.73, 0.85)
LEFT, RIGHT, RADIUS, LINE = 0.24, 0.76, 0.036, 0.016
BANNER = (1260, 540)
"""Pixels of the banner: 21 to 9."""
NAME, SAID = "LinEAS", "Remove, add, dial: steer what a model draws"


def icon() -> Image.Image:
    """[400, 400] RGBA."""
    side = SIDE * SCALE
    picture = Image.new("RGBA", (side, side), (0, 0, 0, 0))
    draw = ImageDraw.Draw(picture)
    draw.rounded_rectangle((0, 0, side - 1, side - 1), radius=side // 6, fill=GROUND)
    for start, end in zip(SOURCE, TARGET, strict=True):
        _path(draw, start * side, end * side, side)
    for x, heights, colour in ((LEFT, SOURCE, NIGHT), (RIGHT, TARGET, DAY)):
        for height in heights:
            _disc(draw, x * side, height * side, RADIUS * side, colour)
    return picture.resize((SIDE, SIDE), Image.Resampling.LANCZOS)


def banner() -> Image.Image:
    """[540, 1260] RGB: the icon, the name and what it is for."""
    height = BANNER[1]
    picture = Image.new("RGB", BANNER, GROUND)
    mark = icon()
    picture.paste(mark, (70, (height - SIDE) // 2), mark)
    draw, left = ImageDraw.Draw(picture), 70 + SIDE + 40
    Lettering(130).write(draw, (left, height // 2 - 130), NAME, (240, 240, 245))
    Lettering(32).write(draw, (left + 8, height // 2 + 60), SAID, DAY)
    return picture


def _path(draw: ImageDraw.ImageDraw, start: float, end: float, side: int) -> None:
    """A smooth line between two heights that changes from one colour to the other."""
    for step in range(side // 4):
        t = step / (side // 4 - 1)
        ease = t * t * (3 - 2 * t)
        x = (LEFT + (RIGHT - LEFT) * t) * side
        colour = tuple(round(a + (b - a) * t) for a, b in zip(NIGHT, DAY, strict=True))
        _disc(draw, x, start + (end - start) * ease, LINE * side / 2, colour)


def _disc(draw: ImageDraw.ImageDraw, x: float, y: float, radius: float, colour: tuple[int, ...]) -> None:
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)


if __name__ == "__main__":
    folder = Path(__file__).parent / "images"
    for name, picture in (("icon", icon()), ("banner", banner())):
        picture.save(folder / f"{name}.png", optimize=True)
        print(folder / f"{name}.png")
