"""Pictures of all kinds, read as (H, W, 3) uint8 RGB, upright."""

import numpy as np
import pytest
from PIL import Image

from errseg.api.images import read_image
from errseg.errors import UsageError

RED, HALF = (200, 10, 20), (120, 120, 120)


def flat(mode, color, size=(6, 4)):
    return Image.new(mode, size, color)


@pytest.mark.parametrize(
    ("image", "pixel"),
    [
        (flat("RGB", RED), RED),
        (flat("L", 77), (77, 77, 77)),
        (flat("1", 1), (255, 255, 255)),
        (flat("LA", (77, 0)), (255, 255, 255)),
        (flat("RGBA", (*RED, 255)), RED),
        (flat("RGBA", (0, 0, 0, 51)), (204, 204, 204)),
        (flat("RGB", RED).quantize(4), RED),
        (flat("CMYK", (0, 255, 255, 0)), (255, 0, 0)),
        (Image.fromarray(np.full((4, 6), 257 * 99, np.uint16)), (99, 99, 99)),
        (Image.fromarray(np.full((4, 6), 257 * 98, np.int32)), (98, 98, 98)),
    ],
    ids=lambda value: getattr(value, "mode", None),
)
def test_modes(image, pixel, tmp_path):
    array = read_image(image)
    assert array.shape == (4, 6, 3) and array.dtype == np.uint8 and array.flags.c_contiguous
    assert np.abs(array - np.array(pixel)).max() <= 1
    if image.mode not in ("CMYK",):
        image.save(tmp_path / "picture.tif")
        assert np.abs(read_image(str(tmp_path / "picture.tif")) - np.array(pixel)).max() <= 1


def test_a_jpeg_of_four_colours_and_a_palette_with_transparency(tmp_path):
    flat("CMYK", (0, 255, 255, 0), (16, 16)).save(tmp_path / "print.jpg")
    assert np.abs(read_image(tmp_path / "print.jpg").astype(int) - (255, 0, 0)).max() < 12
    picture = flat("P", 1)
    picture.putpalette([0, 0, 0, *RED])
    picture.putpixel((0, 0), 0)
    picture.save(tmp_path / "palette.png", transparency=0)
    array = read_image(tmp_path / "palette.png")
    assert tuple(array[0, 0]) == (255, 255, 255) and tuple(array[1, 1]) == RED


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(orientation, tmp_path):
    upright = np.zeros((4, 6, 3), np.uint8)
    upright[0, 0], upright[0, 5], upright[3, 0] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    turn = {
        1: lambda x: x,
        2: np.fliplr,
        3: lambda x: np.rot90(x, 2),
        4: np.flipud,
        5: lambda x: x.transpose(1, 0, 2),
        6: np.rot90,
        7: lambda x: np.rot90(x, 2).transpose(1, 0, 2),
        8: lambda x: np.rot90(x, -1),
    }[orientation]
    image = Image.fromarray(np.ascontiguousarray(turn(upright)))
    exif = image.getexif()
    exif[0x0112] = orientation
    image.save(tmp_path / "turned.png", exif=exif)
    assert np.array_equal(read_image(tmp_path / "turned.png"), upright)
    with Image.open(tmp_path / "turned.png") as opened:
        assert np.array_equal(read_image(opened), upright)


@pytest.mark.parametrize("damage", ["a value of another type", "no EXIF at all"])
def test_damaged_exif_does_not_spoil_a_picture(damage, tmp_path):
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (4, 6, 3), np.uint8))
    exif = image.getexif()
    exif[0x0112], exif[0x0128] = 6, 2  # orientation; unit of the resolution, a number
    data = exif.tobytes()
    if damage == "no EXIF at all":
        data = b"Exif\x00\x00" + b"?" * 40
    else:
        entry = data.index(b"\x28\x01") if b"\x28\x01" in data else data.index(b"\x01\x28")
        data = data[: entry + 2] + data[entry + 2 :].replace(b"\x00\x03", b"\x00\x02", 1)  # a number said to be text
    image.save(tmp_path / "photo.png", exif=data)
    array = read_image(tmp_path / "photo.png")
    assert array.shape == ((4, 6, 3) if damage == "no EXIF at all" else (6, 4, 3))


def test_arrays():
    grey = np.arange(24, dtype=np.uint8).reshape(4, 6)
    assert np.array_equal(read_image(grey), np.repeat(grey[..., None], 3, axis=2))
    assert np.array_equal(read_image(grey[..., None]), read_image(grey))
    assert (read_image(np.full((2, 2, 3), 65535, np.uint16)) == 255).all()
    assert (read_image(np.full((2, 2, 4), (0, 0, 0, 0), np.uint8)) == 255).all()
    picture = np.zeros((1, 1, 3), np.uint8)
    assert read_image(picture).shape == (1, 1, 3)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("missing.jpg", "does not exist"),
        ("https://example.org/a.jpg", "download it"),
        ("x" * 5000, "does not exist"),
        (b"bytes", "is a bytes; give a path"),
        (np.zeros((3, 8, 8), np.uint8), "channels come last"),
        (np.zeros((8, 8, 3), np.float32), "array of float32; give uint8"),
        (np.zeros((0, 8, 3), np.uint8), "no pixels"),
        (np.zeros((8, 8, 2), np.uint8), r"give \(H, W, 3\)"),
        (Image.new("F", (4, 4), 0.5), "^The image has floating-point"),
        (Image.new("I", (4, 4), 70000), "^The image has values .* 8 or 16 bits a channel.$"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_is_no_picture(source, words):
    with pytest.raises(UsageError, match=words):
        read_image(source)


def test_broken_files(tmp_path, monkeypatch):
    whole, cut, text = tmp_path / "whole.png", tmp_path / "cut.png", tmp_path / "text.jpg"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8)).save(whole)
    cut.write_bytes(whole.read_bytes()[:2000])
    text.write_text("no picture")
    for path in (cut, text, tmp_path):
        with pytest.raises(UsageError, match=str(path)):
            read_image(path)
    with Image.open(cut) as opened, pytest.raises(UsageError, match="give a whole one"):
        read_image(opened)
    for error in (RuntimeError("no colours"), KeyError("tag")):  # as Pillow's readers of AVIF and DDS raise

        def fail(image, error=error):
            raise error

        with monkeypatch.context() as patch:
            patch.setattr("PIL.PngImagePlugin.PngImageFile.load", fail)
            with pytest.raises(UsageError, match=r"whole\.png cannot be read"):
                read_image(whole)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 700)
    with pytest.raises(UsageError, match="more than 1400 pixels"):
        read_image(whole)
