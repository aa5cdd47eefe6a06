"""The check of data sets reports suspicious labels; so does the check before training."""

import io
import logging

import numpy as np
import pytest
from PIL import Image

from errseg.data import LabelReader, check_labels, register_dataset_files, register_sem_seg
from errseg.data.check import check_dataset
from errseg.data.pair import is_speckled
from errseg.errors import UsageError

from .third_party import write_yaml

BOX = np.zeros((24, 32), np.uint8)
BOX[4:12, 5:20] = 1
COLORS = np.uint8([[0, 0, 0], [255, 0, 0], [0, 255, 0]])


@pytest.fixture
def dataset(tmp_path):
    """``dataset([label, …], exif, key=value, …)``: the registered data-set file of these labels and images."""

    def write(labels, orientation=1, images=None, **keys):
        for folder in ("pictures", "masks"):
            (tmp_path / folder).mkdir(exist_ok=True)
        for index, label in enumerate(labels):
            label = label if isinstance(label, Image.Image) else Image.fromarray(label)
            label.save(tmp_path / f"masks/{index}.png")
            exif = Image.Exif()
            exif[0x0112] = orientation
            Image.new("RGB", label.size).save(tmp_path / f"pictures/{index}.jpg", exif=exif)
        keys = {"names": ["background", "crack"], "ignore": None, "label_offset": None, **keys}
        path = str(write_yaml(tmp_path / "cracks.yaml", **keys))
        register_dataset_files([path])
        return path

    return write


def read(path, index=0, size=BOX.shape):
    root = path.rpartition("/")[0]
    return LabelReader(path)(f"{root}/masks/{index}.png", f"{root}/pictures/{index}.jpg", size)


# ---- kinds of files ----


@pytest.mark.parametrize(
    "label",
    [
        Image.fromarray(BOX.astype(bool)),
        Image.fromarray(np.dstack([BOX, np.full_like(BOX, 255)])),
        Image.fromarray(BOX.astype(np.uint16)),
    ],
    ids=["1-bit", "opaque alpha", "16-bit"],
)
def test_labels_of_one_channel_are_read_as_they_are(dataset, label):
    assert np.array_equal(read(dataset([label])), BOX)


@pytest.mark.parametrize("bits", [2, 4])
def test_labels_of_few_bits_hold_the_values_that_they_store(dataset, bits, tmp_path):
    path = dataset([BOX], names=["a", "b", "c"])
    Image.fromarray(BOX * 2).save(tmp_path / "masks/0.png", bits=bits)
    content = bytearray((tmp_path / "masks/0.png").read_bytes())
    if content[24] == 8:
        write_grey(tmp_path / "masks/0.png", BOX * 2, bits)
    assert np.array_equal(read(path), BOX * 2)


def write_grey(path, ids, bits):
    """A grey PNG of few bits, which Pillow reads but does not write."""
    import zlib

    per_byte = 8 // bits
    rows = ids.reshape(len(ids), -1, per_byte)
    packed = sum(rows[..., i].astype(int) << (8 - bits * (i + 1)) for i in range(per_byte)).astype(np.uint8)
    header = ids.shape[1].to_bytes(4, "big") + ids.shape[0].to_bytes(4, "big") + bytes([bits, 0, 0, 0, 0])
    data = zlib.compress(b"".join(b"\0" + row.tobytes() for row in packed))
    chunks = (b"IHDR", header), (b"IDAT", data), (b"IEND", b"")
    content = [
        len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big") for kind, data in chunks
    ]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(content))


@pytest.mark.parametrize("channels", [1, 3])
def test_alpha_that_says_something_is_refused(dataset, channels):
    alpha = np.where(BOX == 1, 255, 0).astype(np.uint8)
    path = dataset([Image.fromarray(np.dstack([BOX] * channels + [alpha]))])
    with pytest.raises(UsageError, match="0.png has an alpha channel that is not opaque everywhere"):
        read(path)


def test_colours_without_a_table_are_refused_with_the_key(dataset):
    with pytest.raises(UsageError, match="one class id a pixel.*give the key colors in the data-set file"):
        read(dataset([COLORS[BOX]]))


@pytest.mark.parametrize(
    "colors",
    [
        [[0, 0, 0], [255, 0, 0]],
        ["#000000", "255, 0, 0"],
        {"background": [0, 0, 0], "crack": "#FF0000"},
        {"#000000": "background", "255 0 0": 1},
        {0: "#000000", 1: [255, 0, 0], "ignore": [0, 255, 0]},
    ],
    ids=str,
)
@pytest.mark.parametrize("palette", [False, True])
def test_colours_become_classes(dataset, colors, palette):
    picture = Image.fromarray(COLORS[BOX])
    path = dataset([picture.quantize(4) if palette else picture], colors=colors)
    assert np.array_equal(read(path), BOX)


def test_a_colour_that_is_not_in_the_table_is_named(dataset):
    label = COLORS[BOX].copy()
    label[0, :5] = 0, 0, 7
    label[1, :2] = 0, 9, 9
    path = dataset([label], colors=[[0, 0, 0], [255, 0, 0]])
    with pytest.raises(UsageError, match=r"has 2 colours .*most often #000007 \(0, 0, 7\), at 5 pixels"):
        check_labels(path, 1)
    report = check_dataset(path, 1)
    assert report.bad_files == {"label": 1} and "#000007" in report.problems[0]


@pytest.mark.parametrize(("colors", "ignored"), [({"crack": [255, 0, 0], "ignore": [0, 0, 0]}, True)])
def test_a_colour_may_be_ignored(dataset, colors, ignored):
    label = read(dataset([COLORS[BOX]], colors=colors))
    assert np.array_equal(label, np.where(BOX == 0, 255, 1))


def test_sixteen_bit_channels_are_not_cut_to_eight(dataset, tmp_path):
    import cv2

    path = dataset([BOX], colors=[[0, 0, 0], [255, 0, 0]])
    cv2.imwrite(str(tmp_path / "masks/0.png"), np.dstack([BOX.astype(np.uint16) * 300] * 3))
    with pytest.raises(UsageError, match="one class id a pixel"):
        read(path)


# ---- masks of two values ----


def test_masks_of_two_values_are_an_error_with_the_remedy(dataset):
    path = dataset([BOX * 255, BOX * 255])
    hint = r"All 2 labels hold the two values 0 and 255.*values: \{0: background, 255: crack\}"
    with pytest.raises(UsageError, match=hint):
        check_labels(path, 1)
    with pytest.raises(UsageError, match="2 labels that were looked at hold the two values"):
        check_labels(path, 1, sample=2)
    (problem,) = check_dataset(path, 1).problems
    assert "values: {0: background, 255: crack}" in problem


@pytest.mark.parametrize("values", [{0: "background", 255: "crack"}, {0: 0, 255: 1}])
def test_values_give_the_classes(dataset, values):
    path = dataset([BOX * 255], values=values)
    assert np.array_equal(read(path), BOX) and check_dataset(path, 1).problems == []
    check_labels(path, 1)


def test_another_value_is_named_with_the_remedy(dataset):
    with pytest.raises(UsageError, match=r"holds the id 200.*values: \{0: 0, 200: 1\}"):
        check_labels(dataset([BOX * 200]), 1)
    with pytest.raises(UsageError, match="holds the id 7, but its data set knows only 0, 255"):
        check_labels(dataset([BOX * 7], values={0: "background", 255: "crack"}), 1)


# ---- one id, speckles, EXIF ----


def test_one_id_in_all_labels_is_told_before_a_score_of_nothing(dataset, caplog):
    path = dataset([np.zeros_like(BOX)] * 2, names=["a", "b", "c"])
    check_labels(path, 1)
    assert "All 2 labels hold no class but 'a' (id 0)" in caplog.text
    assert "hold no class but 'a'" in check_dataset(path, 1).problems[0]


def drawn(classes, shape=(120, 160)):
    rows, columns = np.indices(shape)
    rings = np.hypot(rows - 50, columns - 70) // 12 + np.hypot(rows - 90, columns - 20) // 17
    return ((rings * 7) % classes).astype(np.uint8)


def compressed(label, quality):
    file = io.BytesIO()
    Image.fromarray(label).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


@pytest.mark.parametrize("classes", [21, 150])
def test_lossy_compression_is_found_by_its_speckles(classes):
    label = drawn(classes)
    assert not is_speckled(label)
    assert not is_speckled(np.asarray(Image.fromarray(label).resize((100, 70), Image.Resampling.NEAREST)))
    assert all(is_speckled(compressed(label, quality)) for quality in (95, 75))
    assert is_speckled(np.asarray(Image.fromarray(label).resize((200, 150), Image.Resampling.BILINEAR)))


def test_speckled_labels_are_told_whatever_their_ending(dataset, caplog):
    names = [f"name {i}" for i in range(200)]
    path = dataset([drawn(150), compressed(drawn(150), 90)], names=names)
    check_labels(path, 1)
    assert "1 labels look as if they had been compressed" in caplog.text and "masks/1.png" in caplog.text
    assert any("masks/1.png" in problem for problem in check_dataset(path, 1).problems)
    path = dataset([drawn(20), compressed(drawn(20), 90)], names=names[:20])  # ids in between are none
    with pytest.raises(UsageError, match="holds the id .*Its regions are speckled"):
        check_labels(path, 1)


@pytest.mark.parametrize("orientation", [3, 6])
def test_labels_that_are_drawn_on_the_stored_pixels(dataset, orientation, caplog):
    square = BOX[:, :24]
    path = dataset([square], orientation)
    check_labels(path, 1)
    sentence = "The EXIF orientation turns 1 images"
    assert sentence in caplog.text and "0.jpg" in caplog.text and "exif: stored" in caplog.text
    assert sentence in check_dataset(path, 1).problems[0]
    assert np.array_equal(read(path, size=(24, 24)), square)
    caplog.clear()
    path = dataset([square], orientation, exif="stored")
    check_labels(path, 1)
    assert sentence not in caplog.text and check_dataset(path, 1).problems == []
    assert np.array_equal(read(path, size=(24, 24)), np.rot90(square, {3: 2, 6: -1}[orientation]))
    assert check_dataset(dataset([square], orientation, exif="turned"), 1).problems == []


def test_a_label_that_lies_across_its_image_is_told_the_key(dataset):
    path = dataset([BOX], 6)
    with pytest.raises(UsageError, match=r"0.jpg has 24 × 32 pixels.* 32 × 24; the EXIF orientation .*exif: stored"):
        check_labels(path, 1)
    path = dataset([BOX], 6, exif="stored")
    check_labels(path, 1)
    assert np.array_equal(read(path, size=(32, 24)), np.rot90(BOX, -1))


def test_a_registered_set_is_looked_at_in_a_sample(dataset, tmp_path, caplog, monkeypatch):
    dataset([np.zeros_like(BOX)] * 9, 3)
    names = ["a", "b", "c"]
    register_sem_seg("test_findings", tmp_path / "pictures", tmp_path / "masks", names)
    seen = []
    whole = LabelReader.read
    monkeypatch.setattr(LabelReader, "read", lambda self, path, *rest: seen.append(path) or whole(self, path, *rest))
    with caplog.at_level(logging.WARNING):
        check_labels("test_findings", 1, sample=3)
    assert len(seen) == 3
    assert "3 labels that were looked at hold no class but 'a'" in caplog.text and "turns 3 images" in caplog.text
    assert "no label holds" not in caplog.text
    report = check_dataset("test_findings", 1)  # a registered set has no key exif
    assert any("turns 9 images" in note for note in report.notes) and len(report.problems) == 1
