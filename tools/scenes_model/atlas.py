"""Draw the sprite atlas from the Noto Color Emoji font (Debian: fonts-noto-color-emoji)."""

from __future__ import annotations

import argparse

from PIL import Image, ImageDraw, ImageFont

from lineas.scenes.grammar import OBJECTS
from lineas.scenes.sprites import ATLAS, CELL, COLUMNS

EMOJI = {
    "elephant": "🐘", "white bear": "🐻\u200d❄️", "gorilla": "🦍", "cat": "🐈", "horse": "🐎", "duck": "🦆",
    "penguin": "🐧", "owl": "🦉", "turtle": "🐢", "robot": "🤖", "person": "🧍", "clock": "🕐",
    "ball": "⚽", "car": "🚗", "bus": "🚌", "boat": "⛵", "house": "🏠", "tree": "🌳",
    "cactus": "🌵", "mushroom": "🍄", "apple": "🍎", "umbrella": "☂️", "guitar": "🎸", "book": "📕",
}  # fmt: skip


def draw(character: str, font: ImageFont.FreeTypeFont) -> Image.Image:
    """One glyph, cropped to its ink, standing on the middle of the lower edge of a square cell."""
    canvas = Image.new("RGBA", (180, 180))
    ImageDraw.Draw(canvas).text((20, 20), character, font=font, embedded_color=True)
    ink = canvas.crop(canvas.getbbox())
    scale = (CELL - 2) / max(ink.size)
    ink = ink.resize((round(ink.width * scale), round(ink.height * scale)), Image.Resampling.LANCZOS)
    cell = Image.new("RGBA", (CELL, CELL))
    cell.paste(ink, ((CELL - ink.width) // 2, CELL - 1 - ink.height))
    return cell


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--font", default="/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")
    font = ImageFont.truetype(parser.parse_args().font, 109)
    rows = -(-len(OBJECTS) // COLUMNS)
    atlas = Image.new("RGBA", (COLUMNS * CELL, rows * CELL))
    for index, name in enumerate(OBJECTS):
        row, column = divmod(index, COLUMNS)
        atlas.paste(draw(EMOJI[name], font), (column * CELL, row * CELL))
    atlas.save(ATLAS, optimize=True)


if __name__ == "__main__":
    main()
