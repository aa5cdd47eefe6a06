"""One reader of pictures: every entry point gets the same pixels, and refuses incomplete and too large files."""

import io
import os
import zlib

import numpy as np
import pytest
from detectron2.data.detection_utils import read_image as detectron2_read_image
from PIL import Image

from errseg.api.images import read_image
from errseg.config import get_cfg
from errseg.data import SemSegMapper
from errseg.data.files import read_image_size, read_label, read_rgb
from errseg.data.pictures import open_image
from errseg.errors import UsageError
from errseg.web.service import open_picture

RANDOM = np.random.default_rng(0)
RGB = RANDOM.integers(1, 256, (40, 48, 3), dtype=np.uint8)
GREY = RGB[..., 0]
HIDDEN = np.dstack([RGB, np.where(GREY > 128, 255, 0)]).astype(np.uint8)  # colours under transparent pixels


def palette():
    image = Image.fromarray(RGB).quantize(16)
    image.info["transparency"] = 3
    return image


KINDS = {  # a file's name, an image to save, and arguments of save
    "rgb.png": (Image.fromarray(RGB), {}),
    "grey.png": (Image.fromarray(GREY), {}),
    "rgb.jpg": (Image.fromarray(RGB), {}),
    "grey.jpg": (Image.fromarray(GREY), {}),
    "sixteen.png": (Image.fromarray(GREY.astype(np.uint16) * 257), {}),
    "sixteen.tif": (Image.fromarray(GREY.astype(np.uint16) * 257), {}),
    "thirty_two.tif": (Image.fromarray(GREY.astype(np.int32) * 257), {}),
    "one.png": (Image.fromarray(GREY > 128), {}),
    "palette.png": (palette(), {}),
    "alpha.png": (Image.fromarray(HIDDEN), {}),
    "alpha.webp": (Image.fromarray(HIDDEN), {"lossless": True, "exact": True}),
    "grey_alpha.png": (Image.fromarray(HIDDEN[..., 2:]), {}),
    "cmyk.jpg": (Image.fromarray(RGB).convert("CMYK"), {}),
    "cmyk.tif": (Image.fromarray(RGB).convert("CMYK"), {}),
    "lab.tif": (Image.fromarray(RGB).convert("LAB"), {}),
    "key_color.png": (Image.fromarray(GREY), {"transparency": 7}),
    "sixteen_key.png": (Image.fromarray(GREY.astype(np.uint16) * 257), {"transparency": 7 * 257}),
}


def through_the_mapper(path):
    cfg = get_cfg()
    cfg.INPUT.MIN_SIZE_TEST = 0  # do not resize
    return SemSegMapper(cfg, is_train=False)({"file_name": path})["image"].permute(1, 2, 0).numpy()


@pytest.mark.parametrize("name", KINDS)
def test_every_door_gives_the_same_pixels(name, tmp_path):
    path = str(tmp_path / name)
    image, arguments = KINDS[name]
    image.save(path, **arguments)
    pixels = read_rgb(path)
    assert pixels.shape == (40, 48, 3) and pixels.dtype == np.uint8 and pixels.flags.c_contiguous
    with Image.open(path) as opened:
        doors = [read_image(path), read_image(opened), open_picture(path, 10**6), through_the_mapper(path)]
    assert all(np.array_equal(pixels, other) for other in doors)
    if name.startswith(("sixteen.", "thirty_two")):
        assert np.array_equal(pixels, np.repeat(GREY[..., None], 3, 2))
    elif name.startswith("alpha"):
        assert np.array_equal(pixels, np.where(HIDDEN[..., 3:] == 255, RGB, 255))
    elif "key" in name:
        assert np.array_equal(pixels[..., 0], np.where(GREY == 7, 255, GREY))
    elif name.startswith(("rgb", "grey.", "one", "cmyk", "lab")):
        assert np.array_equal(pixels, detectron2_read_image(path, "RGB"))


def test_opaque_alpha_changes_nothing_and_strips_leave_no_seam(tmp_path, monkeypatch):
    Image.fromarray(RGB).convert("RGBA").save(tmp_path / "a.png")
    assert np.array_equal(read_rgb(str(tmp_path / "a.png")), RGB)
    KINDS["palette.png"][0].save(tmp_path / "b.png")
    whole = read_rgb(str(tmp_path / "b.png"))
    monkeypatch.setattr("errseg.data.pictures.STRIP", 7 * 48)
    assert np.array_equal(read_rgb(str(tmp_path / "b.png")), whole)


@pytest.mark.parametrize("ending", ["jpg", "png", "tif"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 7])
def test_exif_turns_once_and_the_header_tells_the_size(ending, orientation, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = str(tmp_path / f"a.{ending}")
    Image.fromarray(RGB).save(path, exif=exif)
    stored = np.asarray(Image.open(io.BytesIO(stored_without_exif(ending))))
    expected = {1: stored, 3: stored[::-1, ::-1], 6: np.rot90(stored, -1), 7: np.rot90(stored, 2).swapaxes(0, 1)}
    assert np.array_equal(read_rgb(path), expected[orientation])
    assert np.array_equal(read_image(path), expected[orientation])
    assert read_image_size(path) == read_rgb(path).shape[:2]
    if ending != "tif":  # which Detectron2 turns twice
        assert np.array_equal(read_rgb(path), detectron2_read_image(path, "RGB"))


def stored_without_exif(ending):
    file = io.BytesIO()
    Image.fromarray(RGB).save(file, {"jpg": "JPEG", "png": "PNG", "tif": "TIFF"}[ending])
    return file.getvalue()


@pytest.mark.parametrize("read", [read_rgb, read_image])
@pytest.mark.parametrize(
    ("image", "words"), [(Image.new("F", (4, 4), 0.5), "floating-point"), (Image.new("I", (4, 4), 70000), "70000")]
)
def test_values_without_a_range_are_refused_and_named(read, image, words, tmp_path):
    image.save(tmp_path / "a.tif")
    with pytest.raises(UsageError, match=f"a.tif.*{words}"):
        read(str(tmp_path / "a.tif"))


def chunk(kind, data):
    return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")


def png(pixels, rows, interlaced=None):
    """A PNG whose header promises all rows of ``pixels`` (H, W, C), but which holds only some; its end is intact.

    If interlaced, it holds ``interlaced`` bytes of 0 as pixels.
    """
    height, width, channels = pixels.shape
    kind = bytes([8, {1: 0, 3: 2}[channels], 0, 0, interlaced is not None])
    data = bytes(interlaced or 0) or b"".join(b"\0" + row.tobytes() for row in pixels[:rows])
    parts = (b"IHDR", width.to_bytes(4, "big") + height.to_bytes(4, "big") + kind), (b"IDAT", zlib.compress(data))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in (*parts, (b"IEND", b"")))


def jpeg(pixels, share):
    """A JPEG whose data ends early; its end marker is intact."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG")
    content = file.getvalue()[:-2]
    start = content.rfind(b"\xff\xda")
    return content[: start + int((len(content) - start) * share)] + b"\xff\xd9"


BLACK = np.concatenate([RGB[:30], np.zeros_like(RGB[:10])])  # its last rows are black, but not missing
WHITE = np.concatenate([RGB[:16], np.full_like(RGB[:24], 255)])


@pytest.mark.parametrize(
    ("content", "whole"),
    [
        (png(RGB, 40), True),
        (png(RGB, 39), False),
        (png(RGB, 3), False),
        (png(BLACK, 40), True),
        (png(BLACK, 35), False),
        (png(RGB, 40, interlaced=5835), True),  # the sum of Adam7's seven passes
        (png(RGB, 40, interlaced=5800), False),
        (jpeg(RGB, 1), True),
        (jpeg(RGB, 0.6), False),
        (jpeg(RGB[..., 0], 0.6), False),
        (jpeg(WHITE, 1), True),
        (stored_without_exif("tif")[:-300], False),
    ],
)
def test_rows_that_are_missing_behind_a_sound_end(content, whole, tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(content)
    for read in (read_rgb, read_image, lambda path: read_image(Image.open(path))):
        if whole:
            assert read(str(path)).shape == (40, 48, 3)
        else:
            with pytest.raises(UsageError, match=r"cannot be read \(.*truncated"):
                read(str(path))


def test_a_label_without_its_last_rows_is_refused(tmp_path):
    """Otherwise the missing pixels would count as class 0."""
    (tmp_path / "a.png").write_bytes(png(GREY[..., None], 30))
    with pytest.raises(UsageError, match="label .*a.png cannot be read .*truncated"):
        read_label(str(tmp_path / "a.png"))


@pytest.mark.parametrize("read", [read_rgb, read_image, read_image_size, read_label])
def test_pipes_and_devices_are_refused_at_once(read, tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    for path in (tmp_path / "pipe.png", "/dev/zero", tmp_path):
        with pytest.raises(UsageError, match="is no regular file"):
            read(str(path))


@pytest.mark.parametrize(
    "read", [read_rgb, read_image, read_image_size, lambda path, limit: read_label(path, None, limit)]
)
def test_the_bound_is_checked_before_the_pixels_are_decoded(read, tmp_path, monkeypatch):
    path = str(tmp_path / "large.png")
    Image.fromarray(GREY).save(path)
    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", lambda image: pytest.fail("it was decoded"))
    with pytest.raises(UsageError, match="large.png has 48 × 40 pixels, more than INPUT.MAX_PIXELS, 1919; make it"):
        read(path, 1919)


def test_the_bound_comes_from_the_configuration(tmp_path):
    path = str(tmp_path / "large.png")
    Image.fromarray(RGB).save(path)
    cfg = get_cfg()
    cfg.INPUT.MAX_PIXELS = 1919
    with pytest.raises(UsageError, match="INPUT.MAX_PIXELS, 1919"):
        SemSegMapper(cfg, is_train=False)({"file_name": path})


def test_heic_without_its_decoder_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("errseg.data.pictures.HAS_HEIF", False)
    (tmp_path / "a.HEIC").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    with pytest.raises(UsageError, match=r"a.HEIC cannot be read \(HEIC and HEIF need .*pillow-heif\); install it"):
        read_image(tmp_path / "a.HEIC")


@pytest.mark.parametrize("content", [None, b"no picture"])
def test_a_file_of_another_kind_is_named_once(content, tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"no picture")
    with pytest.raises(UsageError) as caught, open_image(str(path), "image", "restore it", 100, content=content):
        pass
    assert str(caught.value) == f"The image {path} cannot be read (its format is unknown); restore it."
