"""Text in pictures: letters that DejaVu Sans lacks, with and without a font that has them."""

from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib import font_manager
from matplotlib.ft2font import FT2Font

from errseg import fonts
from errseg.visualization import draw_text, legend

OWN = FT2Font(fonts.own()).get_charmap()
OTHER = str(Path(matplotlib.get_data_path()) / "fonts/ttf/STIXGeneral.ttf")  # has letters that DejaVu Sans lacks
STIX = "".join(
    chr(code) for code in sorted(FT2Font(OTHER).get_charmap()) if code not in OWN and chr(code).isprintable()
)
NOWHERE = "猫"


@pytest.fixture
def installed(monkeypatch):
    """``installed(*paths)``: those are the fonts of the machine."""

    def make(*paths):
        monkeypatch.setattr(font_manager, "findSystemFonts", lambda: list(map(str, paths)))
        forget()

    def forget():
        for cached in (fonts.font_of, fonts._installed, fonts._letters):
            cached.cache_clear()

    yield make
    monkeypatch.undo()
    forget()


def ink(text, width=400):
    return (draw_text(text, width) < 200).any(axis=2)


def test_letters_come_from_a_font_that_has_them(installed, tmp_path):
    (tmp_path / "broken.ttf").write_bytes(b"nothing")
    placeholder = Path(matplotlib.get_data_path()) / "fonts/ttf/LastResortHE-Regular.ttf"
    installed(tmp_path / "broken.ttf", placeholder, OTHER)
    letter = STIX[0]
    assert [path for path, _ in fonts._runs(f"a{letter}b")] == [fonts.own(), OTHER, fonts.own()]
    assert fonts.letters_of_no_font([f"cat {letter}", f"{NOWHERE} cat"]) == NOWHERE
    found = ink(letter)
    installed()
    assert fonts.letters_of_no_font([letter]) == letter
    assert not np.array_equal(found, ink(letter)) and found.any()


def test_letters_of_no_font_are_told_apart(installed):
    installed()
    assert fonts._runs("a 猫") == [(fonts.own(), "a \\u732b")]
    assert fonts._runs("\U0001f9f8 x")[0][1].startswith("[")  # a symbol, by its name
    assert not np.array_equal(ink("猫"), ink("犬"))
    assert np.array_equal(ink("heart \ufe0f\u200d"), ink("heart"))  # joiners and the like show nothing


def test_odd_texts_do_not_break_a_picture(installed):
    installed()
    label = np.arange(6)[None].repeat(4, 0)
    for text in ("two\nlines\tand\0more", "x" * 500, "漢" * 500, "x" * 200_000, "", " ", "العربية हिन्दी", "e\u0301"):
        assert legend(label, [text] * 6, size=(120, 200)).shape == (120, 200, 3)
        assert draw_text(text, 30).shape == (20, 30, 3)
        assert not ink(text, 120)[:, -2:].any()  # cut before the edge


def test_a_text_is_cut_where_it_must_be():
    text = "a text of some length"
    width = fonts.text_width(text, 12)
    assert fonts.shorten(text, 12, width) == text
    cut = fonts.shorten(text, 12, width - 1)
    assert cut.endswith("…") and len(cut) >= len(text) - 3 and fonts.text_width(cut, 12) <= width - 1
    assert fonts.shorten(text, 12, 0) == "…"
