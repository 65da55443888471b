"""Labelled contact sheets: rows of images under column heads, drawn with Pillow alone."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

from PIL import Image, ImageDraw, ImageOps

from lineas.errors import MismatchError
from lineas.pictures.lettering import Font, Lettering

PAPER, INK = (255, 255, 255), (32, 32, 32)


def contact_sheet(
    rows: Sequence[Sequence[Image.Image]],
    row_labels: Sequence[str] = (),
    column_labels: Sequence[str] = (),
    *,
    title: str = "",
    cell: int | None = None,
    gap: int = 6,
    font_size: int = 14,
    font: Font | None = None,
) -> Image.Image:
    """One RGB image of rows × columns of images, labels at the left and on top, wrapped to their space.

    rows: images row by row; rows may be of unlike length, missing cells stay white.
    row_labels, column_labels: one text each, or none at all. title: text above everything.
    cell: side in pixels of the square each image is fitted into, enlarged or reduced in proportion; None is
    the largest side of all images, and no image is resized. gap: pixels between cells and around the sheet.
    font_size: height in pixels of the built-in font, which knows ASCII only (see `ascii_text`).
    font: a Pillow font of your own, for labels in other scripts.
    Raises `MismatchError` without images, and for a number of labels that is neither 0 nor that of the rows
    or columns.
    """
    columns = max((len(row) for row in rows), default=0)
    _check_labels("row", row_labels, len(rows))
    _check_labels("column", column_labels, columns)
    if not columns:
        raise MismatchError("Got no images for the contact sheet, expected at least one row with one image.")
    side = cell or max(max(image.size) for row in rows for image in row)
    text = Lettering(font_size, font)
    names = [text.wrap(label, max(side, 10 * font_size)) for label in row_labels]
    heads = [text.wrap(label, side) for label in column_labels]
    left = gap + max((text.size(name)[0] + gap for name in names), default=0)
    heading = text.wrap(title, left + columns * (side + gap) - 2 * gap)
    under_title = gap + (text.size(heading)[1] + gap if heading else 0)
    top = under_title + max((text.size(head)[1] for head in heads), default=0)

    sheet = Image.new("RGB", (left + columns * (side + gap), top + len(rows) * (side + gap)), PAPER)
    draw = ImageDraw.Draw(sheet)
    text.write(draw, (gap, gap), heading, INK)
    for column, head in enumerate(heads):
        text.write(draw, (left + column * (side + gap), top - text.size(head)[1]), head, INK)
    for row, images in enumerate(rows):
        y = top + row * (side + gap)
        if names:
            text.write(draw, (gap, y + max(0, side - text.size(names[row])[1]) // 2), names[row], INK)
        for column, image in enumerate(images):
            _place(sheet, image, left + column * (side + gap), y, side, resize=cell is not None)
    return sheet


def strength_sheet(
    columns: Sequence[Sequence[Image.Image]],
    strengths: Sequence[float],
    row_labels: Sequence[str] = (),
    *,
    head: str = "λ = ",
    title: str = "",
    cell: int | None = None,
) -> Image.Image:
    """The images of a sweep on one contact sheet: a column per strength, a row per image.

    columns: images at each strength, in the same order; a shorter column leaves out those that it lacks.
    head: what stands before each strength. Raises `MismatchError` unless there is one column per strength.
    """
    if len(columns) != len(strengths):
        raise MismatchError(f"Got {len(columns)} columns of images for {len(strengths)} strengths.")
    rows = [[image for image in row if image is not None] for row in zip_longest(*columns)]
    heads = [f"{head}{strength:g}" for strength in strengths]
    return contact_sheet(rows, row_labels, heads, title=title, cell=cell)


def _place(sheet: Image.Image, image: Image.Image, x: int, y: int, side: int, *, resize: bool) -> None:
    """Centre an image in its cell; only a cell size that was asked for changes pixels."""
    image = image.convert("RGB")
    if resize:
        image = ImageOps.contain(image, (side, side))
    sheet.paste(image, (x + (side - image.width) // 2, y + (side - image.height) // 2))


def _check_labels(what: str, labels: Sequence[str], expected: int) -> None:
    if labels and len(labels) != expected:
        raise MismatchError(
            f"Got {len(labels)} {what} labels for {expected} {what}s. Pass one label per {what}, or none."
        )
