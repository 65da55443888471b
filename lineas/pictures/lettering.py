"""Text on images with Pillow's built-in font, so that no system font is needed."""

from __future__ import annotations

import unicodedata

from PIL import Image, ImageDraw, ImageFont

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
# The built-in font knows little beyond ASCII; these are the other signs that labels of this field use.
SPELLED_OUT = str.maketrans(
    {"λ": "strength", "×": "x", "−": "-", "–": "-", "—": "-", "→": "->", "≥": ">=", "≤": "<=", "ß": "ss"}
)


def ascii_text(text: str) -> str:
    """A text in signs that the built-in font has: é becomes e, λ "strength", an unknown sign "?"."""
    plain = unicodedata.normalize("NFKD", text.translate(SPELLED_OUT))
    return (
        "".join(sign for sign in plain if not unicodedata.combining(sign)).encode("ascii", "replace").decode()
    )


class Lettering:
    """A font and how texts are measured, wrapped and drawn with it.

    Without a font of your own: the built-in one at `size` pixels, or Pillow's small bitmap font where Pillow
    was built without FreeType.
    """

    def __init__(self, size: int = 14, font: Font | None = None) -> None:
        self.spell = ascii_text if font is None else str
        self.font = font or _built_in(size)
        self.spacing = max(2, size // 4)
        self._scratch = ImageDraw.Draw(Image.new("L", (1, 1)))

    def size(self, text: str) -> tuple[int, int]:
        """Width and height in pixels of a text of one or more lines, from its origin; (0, 0) for no text."""
        if not text:
            return 0, 0
        # A line's box ends at its lowest sign; one with an ascender and a descender keeps lines of equal
        # height.
        lines = self.spell(text).split("\n")
        width = max(self._scratch.textlength(line, font=self.font) for line in lines)
        below = self._scratch.textbbox((0, 0), "Ag", font=self.font)[3]
        return int(width + 1), int(len(lines) * (below + self.spacing))

    def wrap(self, text: str, width: int) -> str:
        """The text with line breaks so that each line fits into `width` pixels; words too long are split."""
        lines = [""]
        for word in text.split():
            joined = f"{lines[-1]} {word}".lstrip()
            if self.size(joined)[0] <= width:
                lines[-1] = joined
                continue
            lines.append("")
            for sign in word:
                if lines[-1] and self.size(lines[-1] + sign)[0] > width:
                    lines.append("")
                lines[-1] += sign
        return "\n".join(line for line in lines if line)

    def write(
        self, draw: ImageDraw.ImageDraw, at: tuple[int, int], text: str, ink: tuple[int, int, int]
    ) -> None:
        """Draw a text with its upper left corner at a point in pixels."""
        step = self.size("A")[1]
        for i, line in enumerate(self.spell(text).split("\n")):
            draw.text((at[0], at[1] + i * step), line, fill=ink, font=self.font)


def _built_in(size: int) -> Font:
    try:
        return ImageFont.load_default(size)
    except ImportError:  # Pillow without FreeType
        return ImageFont.load_default()
