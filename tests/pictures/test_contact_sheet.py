from __future__ import annotations

import pytest
from PIL import Image, ImageChops, ImageFont

from lineas.errors import MismatchError
from lineas.pictures.contact_sheet import contact_sheet, strength_sheet
from lineas.pictures.lettering import Lettering, ascii_text

RED, BLUE = Image.new("RGB", (32, 32), "red"), Image.new("RGB", (32, 16), "blue")


def test_images_keep_their_pixels_and_places() -> None:
    sheet = contact_sheet([[RED, BLUE], [BLUE]], gap=4)
    assert sheet.size == (4 + 2 * 36, 4 + 2 * 36)
    assert ImageChops.difference(sheet.crop((4, 4, 36, 36)), RED).getbbox() is None
    assert ImageChops.difference(sheet.crop((40, 12, 72, 28)), BLUE).getbbox() is None
    assert sheet.getpixel((56, 56)) == (255, 255, 255)


def test_a_cell_size_resizes_in_proportion() -> None:
    sheet = contact_sheet([[BLUE]], gap=0, cell=64)
    assert sheet.size == (64, 64)
    assert sheet.getpixel((32, 10)) == (255, 255, 255)
    assert sheet.getpixel((0, 32)) == sheet.getpixel((63, 47)) == (0, 0, 255)


def test_labels_are_written_outside_the_images() -> None:
    plain = contact_sheet([[RED, RED]])
    sheet = contact_sheet([[RED, RED]], ["λ = 0.5"], ["before", "after"], title="Without night", cell=32)
    assert sheet.width > plain.width
    assert sheet.height > plain.height
    images = sheet.crop((sheet.width - 38 * 2, sheet.height - 38, sheet.width - 6, sheet.height - 6))
    assert set(
        images.getdata() if not hasattr(images, "get_flattened_data") else images.get_flattened_data()
    ) == {
        (255, 0, 0),
        (255, 255, 255),
    }
    heads = sheet.crop((0, 0, sheet.width, sheet.height - 38))
    assert heads.convert("L").getextrema()[0] < 100


def test_the_sheet_is_the_same_each_time() -> None:
    again = [contact_sheet([[RED]], ["a row"], ["a column"]).tobytes() for _ in range(2)]
    assert again[0] == again[1]


@pytest.mark.parametrize(
    ("rows", "row_labels", "column_labels", "remedy"),
    [
        ([], (), (), "at least one"),
        ([[]], (), (), "at least one"),
        ([[RED]], ("a", "b"), (), "2 row labels for 1 rows"),
        ([[RED, RED]], (), ("a",), "1 column labels for 2 columns"),
    ],
)
def test_impossible_sheets_say_why(rows: list, row_labels: tuple, column_labels: tuple, remedy: str) -> None:
    with pytest.raises(MismatchError, match=remedy):
        contact_sheet(rows, row_labels, column_labels)


@pytest.mark.parametrize("font", [None, ImageFont.load_default()])
def test_wrapped_lines_fit_and_lose_no_word(font: ImageFont.FreeTypeFont | None) -> None:
    pen = Lettering(14, font)
    text = "an unreasonably long incomprehensibilities label"
    wrapped = pen.wrap(text, 80)
    assert all(pen.size(line)[0] <= 80 for line in wrapped.split("\n"))
    assert wrapped.replace("\n", "").replace(" ", "") == text.replace(" ", "")
    assert pen.size(wrapped)[1] == len(wrapped.split("\n")) * pen.size("A")[1]
    assert pen.wrap("", 80) == ""


def test_signs_outside_the_font_are_spelled_out() -> None:
    assert ascii_text("λ = −1 × Café 猫") == "strength = -1 x Cafe ?"


def test_a_sweep_has_a_column_per_strength() -> None:
    red, blue = (Image.new("RGB", (8, 8), colour) for colour in ("red", "blue"))
    sheet = strength_sheet([[red, blue], [blue]], (0, 0.5), ["a", "b"])
    plain = contact_sheet([[red, blue], [blue]], ["a", "b"], ["λ = 0", "λ = 0.5"])
    assert sheet.tobytes() == plain.tobytes()
    other = strength_sheet([[red, blue], [blue]], (0, 0.5), ["a", "b"], head="strength ")
    assert other.tobytes() != sheet.tobytes()
    with pytest.raises(MismatchError, match="1 columns of images for 2 strengths"):
        strength_sheet([[red]], (0, 1))
