"""Where data is not as published, the prepare scripts print one sentence with file, value and remedy."""

import json
import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from errseg.data.prepare import ade20k_150, ade20k_full, coco_stuff, convert, pascal_context, voc
from tests.data.raw_copies import WRITERS, write_raw_ade20k_150, write_raw_ade20k_full, write_raw_coco_stuff

PARTS = {
    "coco_stuff": coco_stuff.parts,
    "ade20k_150": ade20k_150.parts,
    "ade20k_full": ade20k_full.parts,
    "pascal_context_59": pascal_context.parts_59,
    "pascal_context_459": pascal_context.parts_459,
    "voc": voc.parts,
}
COCO, A150, A847 = "coco-stuff", "ADEChallengeData2016", "ADE20K_2021_17_01"
VOC10, VOC12 = "VOCdevkit/VOC2010", "VOCdevkit/VOC2012"
STREET = f"{A847}/images/ADE/validation/urban/street1/ADE_val_00000001"


@pytest.fixture
def refused(tmp_path, monkeypatch, capsys):
    """``refused(set, word, …)``: run on ``tmp_path``; the status is 2, and one sentence holds all of the words."""

    def run(name, *words):
        assert convert(PARTS[name], tmp_path, 1) == 2
        lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("errseg data prepare: ")]
        assert any(all(str(word) in line for word in words) for line in lines), lines
        assert all(line.endswith(".") for line in lines)
        return lines

    return run


def converted(root: Path) -> set[str]:
    """The names of the labels that were written."""
    return {path.name for path in root.rglob("*") if path.is_file() and "annotations_detectron2" in str(path)}


def edit_json(root: Path, change) -> None:
    path = root / VOC10 / "trainval_merged.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("name", "there", "gone", "words"),
    [
        ("coco_stuff", None, COCO, ["stuffthingmaps_trainval2017.zip"]),
        ("coco_stuff", None, f"{COCO}/images/val2017", ["val2017.zip"]),
        ("coco_stuff", None, f"{COCO}/annotations/val2017", ["stuffthingmaps_trainval2017.zip"]),
        ("ade20k_150", f"{A847}/images", A150, [A847, "cannot replace it", "ADEChallengeData2016.zip"]),
        ("ade20k_150", None, f"{A150}/annotations/validation", ["ADEChallengeData2016.zip"]),
        ("ade20k_full", "ADE20K_2016_07_26/images", A847, ["ADE20K_2016_07_26 cannot replace it", "2021"]),
        ("ade20k_full", f"{A150}/images", A847, [f"{A150} cannot replace it", "2021"]),
        ("ade20k_full", None, f"{A847}/index_ade20k.pkl", ["2016 has none"]),
        ("pascal_context_59", f"{VOC12}/JPEGImages", VOC10, [f"{VOC12} cannot replace it", "03-May-2010.tar"]),
        ("pascal_context_59", None, f"{VOC10}/trainval_merged.json", ["put trainval_merged.json"]),
        ("pascal_context_459", None, f"{VOC10}/trainval_merged.json", ["put trainval_merged.json"]),
        ("pascal_context_459", None, f"{VOC10}/trainval", ["trainval.tar.gz"]),
        ("voc", None, VOC12, ["VOCtrainval_11-May-2012.tar"]),
        ("voc", f"{VOC12}/SegmentationClass", f"{VOC12}/SegmentationClassAug", ["Aug.zip", "cannot replace it"]),
        ("voc", None, f"{VOC12}/ImageSets/Segmentation/val.txt", ["VOCtrainval_11-May-2012.tar"]),
    ],
)
def test_another_release_and_what_is_missing_are_named(tmp_path, refused, name, there, gone, words):
    WRITERS[name](tmp_path)
    path = tmp_path / gone
    path.unlink() if path.is_file() else shutil.rmtree(path)
    if there:
        (tmp_path / there).mkdir(parents=True, exist_ok=True)
    assert len(refused(name, path, *words)) == 1
    assert converted(tmp_path) == set()


@pytest.mark.parametrize(
    ("name", "path", "words"),
    [
        ("coco_stuff", f"{COCO}/annotations/val2017/000000000146.png", ["stuffthingmaps_trainval2017.zip"]),
        ("coco_stuff", f"{COCO}/images/val2017/000000000146.jpg", ["val2017.zip"]),
        ("ade20k_150", f"{A150}/images/validation/ADE_val_00000001.jpg", ["ADEChallengeData2016.zip"]),
        ("ade20k_full", f"{STREET}.jpg", ["unpack it"]),
        ("ade20k_full", f"{STREET}_seg.png", ["unpack it"]),
        ("pascal_context_59", f"{VOC10}/JPEGImages/2008_000007.jpg", ["VOCtrainval_03-May-2010.tar"]),
        ("pascal_context_459", f"{VOC10}/trainval/2008_000007.mat", ["trainval.tar.gz"]),
        ("voc", f"{VOC12}/SegmentationClassAug/2007_000033.png", ["SegmentationClassAug.zip"]),
        ("voc", f"{VOC12}/JPEGImages/2007_000033.jpg", ["VOCtrainval_11-May-2012.tar"]),
    ],
)
@pytest.mark.parametrize("damage", ["gone", "cut short", "text"])
def test_a_missing_or_damaged_file_is_named_and_the_others_converted(tmp_path, refused, name, path, words, damage):
    expected = WRITERS[name](tmp_path)
    content = (tmp_path / path).read_bytes()
    if damage == "gone":
        (tmp_path / path).unlink()
    else:
        (tmp_path / path).write_bytes(content[:60] if damage == "cut short" else b"<html>not found</html>")
    lines = refused(name, tmp_path / path, *words)
    assert "Problems: 1;" in lines[-1] and len(lines) == 2
    stem = Path(path).stem.removesuffix("_seg")
    assert {Path(p).stem for p in converted(tmp_path)} == {Path(p).stem for p in expected} - {stem}
    (tmp_path / path).write_bytes(content)  # apply the remedy; the run below converts the rest
    assert convert(PARTS[name], tmp_path, 1) == 0
    assert converted(tmp_path) == {Path(p).name for p in expected}


@pytest.mark.parametrize(
    ("name", "path", "suffix"),
    [
        ("coco_stuff", f"{COCO}/annotations/val2017/000000000146", ".png"),
        ("ade20k_150", f"{A150}/annotations/validation/ADE_val_00000002", ".png"),
        ("voc", f"{VOC12}/SegmentationClassAug/2007_000042", ".png"),
    ],
)
@pytest.mark.parametrize("kind", ["RGB", "16-bit grey", "another size", "unknown id"])
def test_labels_of_another_kind_size_or_id_are_named(tmp_path, refused, name, path, suffix, kind):
    WRITERS[name](tmp_path)
    path = tmp_path / f"{path}{suffix}"
    label = np.array(Image.open(path))
    unknown = {"coco_stuff": 11, "ade20k_150": 151, "voc": 21}[name]
    if kind == "RGB":
        label = np.stack([label] * 3, axis=-1)
    elif kind == "16-bit grey":
        label = label.astype(np.uint16)
    elif kind == "another size":
        label = label[:, :-1]
    else:
        label[5, 6] = unknown
    Image.fromarray(label).save(path)
    height, width = label.shape[:2]
    words = {
        "another size": [f"{width} × {height} pixels", f"{width + 1} × {height}", ".jpg"],
        "unknown id": [f"the raw id {unknown},"],
    }
    refused(name, path, ".zip", *words.get(kind, [f"{kind} pixels", "8-bit grey"]))
    assert path.name not in {Path(p).name for p in converted(tmp_path)}


@pytest.mark.parametrize("raw_id", [182, 183, 254])
def test_ids_of_the_stuff_only_release_of_coco_are_named(tmp_path, refused, raw_id):
    write_raw_coco_stuff(tmp_path)
    path = tmp_path / COCO / "annotations/val2017/000000000146.png"
    Image.fromarray(np.full((40, 56), raw_id, np.uint8)).save(path)
    refused("coco_stuff", path, f"raw id {raw_id},", "stuffthingmaps")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda colours: colours[..., 0], ["8-bit grey pixels", "RGB pixels"]),
        (lambda colours: colours[:-1], ["64 × 47", "64 × 48"]),
        (lambda colours: np.full_like(colours, 250), ["raw id 6650,"]),
        (lambda colours: np.full_like(colours, (140, 105, 0)), ["raw id 3689,"]),
    ],
)
def test_labels_of_a847_that_are_not_of_the_release_are_named(tmp_path, refused, change, words):
    write_raw_ade20k_full(tmp_path)
    path = tmp_path / f"{STREET}_seg.png"
    Image.fromarray(change(np.array(Image.open(path)))).save(path)
    refused("ade20k_full", path, "January 2021", *words)
    assert "ADE_val_00000001.tif" not in converted(tmp_path) and len(converted(tmp_path)) == 4


@pytest.mark.parametrize("released", [3688, 4000])
def test_the_index_may_know_more_classes_than_the_release(tmp_path, monkeypatch, released):
    write_raw_ade20k_full(tmp_path)
    index = tmp_path / A847 / "index_ade20k.pkl"
    content = pickle.loads(index.read_bytes())
    index.write_bytes(pickle.dumps({**content, "objectnames": ["thing"] * released}))
    colours = np.full((48, 64, 3), (140, 105, 0), np.uint8)
    Image.fromarray(colours).save(tmp_path / f"{STREET}_seg.png")
    assert convert(ade20k_full.parts, tmp_path, 1) == (2 if released == 3688 else 0)


class Act:
    """What a malicious pickle does."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (lambda root: pickle.dumps(Act(root / "done")), ["posix.mkdir", "not data"]),
        (lambda root: b"cbuiltins\neval\n(S'1'\ntR.", ["builtins.eval"]),
        (lambda root: b"cnumpy\nload\n(S'1'\ntR.", ["numpy.load"]),
        (lambda root: b"c_codecs\nencode\n(S'a'\nS'rot13'\ntR.", ["rot13"]),
        (lambda root: pickle.dumps({"folder": ["a"]})[:-4], ["cannot be read"]),
        (lambda root: b"", ["cannot be read"]),
        (lambda root: b"<html></html>", ["cannot be read"]),
        (lambda root: b"cbuiltins\nbytearray\n(I4000000000\ntR.", ["4000000000 bytes that are not in the file"]),
        (lambda root: b"cnumpy\nndarray\n((I4000000000\nttR.", ["not callable"]),
        (
            lambda root: b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I4000000000\ntS'd'\ntR.",
            ["shape (4000000000,) without values"],
        ),
        (
            lambda root: b"cnumpy.core.multiarray\nscalar\n(cnumpy\ndtype\n(S'V2000000000'\ntRtR.",
            ["missing", "'values'"],
        ),
        (lambda root: b"\x80\x02}r\xff\xff\xff\x7f.", ["out of order"]),
        (lambda root: b"\x80\x02})" + b"q\0h\0\x86" * 60 + b"K\1s.", ["a tuple within a key"]),
        (lambda root: pickle.dumps([1]), ["holds a list"]),
        (lambda root: pickle.dumps({"folder": ["a"], "filename": []}), ["no lists folder and filename"]),
        (lambda root: pickle.dumps({"filename": []}), ["no lists folder and filename"]),
        (lambda root: pickle.dumps({"folder": [], "filename": []}), ["lists no image of the validation split"]),
        (lambda root: pickle.dumps({"folder": ["../x"], "filename": ["ADE_val_1.jpg"]}), ["'../x'"]),
        (lambda root: pickle.dumps({"folder": ["/x"], "filename": ["ADE_val_1.jpg"]}), ["'/x'"]),
        (lambda root: pickle.dumps({"folder": ["x"], "filename": ["ADE_val_/../1.jpg"]}), ["'ADE_val_/../1.jpg'"]),
        (
            lambda root: pickle.dumps({"folder": ["ADE20K_2016_07_26/images/a"], "filename": ["ADE_val_1.jpg"]}),
            ["ADE20K_2016_07_26", "not of ADE20K_2021_17_01"],
        ),
        (
            lambda root: pickle.dumps({"folder": ["a", "b"], "filename": ["ADE_val_1.jpg"] * 2}),
            ["two images", "ADE_val_1"],
        ),
    ],
)
def test_an_index_that_acts_or_lies_is_refused(tmp_path, refused, content, words):
    write_raw_ade20k_full(tmp_path)
    (tmp_path / A847 / "index_ade20k.pkl").write_bytes(content(tmp_path))
    assert len(refused("ade20k_full", *words)) == 1
    assert not (tmp_path / "done").exists() and converted(tmp_path) == set()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda data: data.pop("images"), ["lacks 'images'"]),
        (lambda data: data.pop("annos_segmentation"), ["lacks 'annos_segmentation'"]),
        (lambda data: [image.update(phase="test") for image in data["images"]], ["phase is val"]),
        (lambda data: data["images"][0].update(file_name=".."), ["'..'"]),
        (lambda data: data["annos_segmentation"][0].update(category_id=459), ["raw id 459,", "2008_000002.jpg"]),
        (lambda data: data["annos_segmentation"][0].update(category_id=-1), ["raw id -1,"]),
        (lambda data: data["annos_segmentation"][0].update(category_id="sky"), ["2008_000002.jpg", "sky"]),
        (lambda data: data["annos_segmentation"][0].pop("category_id"), ["2008_000002.jpg", "no 'category_id'"]),
        (lambda data: data["annos_segmentation"][0]["segmentation"].update(size=[50, 36]), ["36 × 50", "50 × 36"]),
        (lambda data: data["annos_segmentation"][0]["segmentation"].update(counts="12"), ["do not fill"]),
        (lambda data: data["annos_segmentation"][0].update(segmentation=[[1, 2, 3, 4]]), ["not run-length"]),
        (lambda data: data.update(annos_segmentation=[]), ["no annotation of the image", "2008_000007.jpg"]),
    ],
)
def test_what_is_wrong_in_the_annotations_of_pc59_is_named(tmp_path, refused, change, words):
    WRITERS["pascal_context_59"](tmp_path)
    edit_json(tmp_path, change)
    refused("pascal_context_59", "trainval_merged.json", *words)


@pytest.mark.parametrize("text", ["", "{", "[]", "<html>", "[1]", '{"images": [1], "annos_segmentation": []}'])
@pytest.mark.parametrize("name", ["pascal_context_59", "pascal_context_459"])
def test_annotations_that_are_something_else_are_named(tmp_path, refused, text, name):
    WRITERS[name](tmp_path)
    (tmp_path / VOC10 / "trainval_merged.json").write_text(text)
    refused(name, "trainval_merged.json", "put trainval_merged.json into")


@pytest.mark.parametrize(
    ("key", "label", "words"),
    [
        ("LabelMap", np.full((36, 50), 460, np.uint16), ["raw id 460,"]),
        ("LabelMap", np.full((36, 50), -1, np.int16), ["raw id -1,"]),
        ("LabelMap", np.full((36, 50), 7, np.uint8), ["8 bits"]),
        ("LabelMap", np.full((36, 50), 1.5), ["not ids"]),
        ("LabelMap", np.full((36, 50), np.nan), ["not ids"]),
        ("LabelMap", np.full((35, 50), 7, np.uint16), ["50 × 35", "50 × 36"]),
        ("LabelMap", "words", ["not a matrix"]),
        ("labels", np.full((36, 50), 7, np.uint16), ["no LabelMap"]),
    ],
)
def test_what_is_wrong_in_a_label_of_pc459_is_named(tmp_path, refused, key, label, words):
    WRITERS["pascal_context_459"](tmp_path)
    path = tmp_path / VOC10 / "trainval/2008_000002.mat"
    savemat(path, {key: label})
    refused("pascal_context_459", path, "trainval.tar.gz", *words)
    assert converted(tmp_path) == {"2008_000007.tif", "2009_000015.tif"}


@pytest.mark.parametrize(("name", "dtype"), [("ade20k_full", np.uint8), ("pascal_context_459", np.int32)])
def test_a_label_of_8_bits_that_is_there_already_is_named(tmp_path, refused, monkeypatch, name, dtype):
    path = tmp_path / sorted(WRITERS[name](tmp_path))[0]
    assert convert(PARTS[name], tmp_path, 1) == 0
    Image.fromarray(np.zeros((36, 50), dtype)).save(path, "TIFF")
    refused(name, path, "bit grey pixels instead of 16 bits", "--force")
    assert convert(PARTS[name], tmp_path, 1, force=True) == 0


def test_many_problems_are_summed_up(tmp_path, refused):
    write_raw_ade20k_150(tmp_path)
    for number in range(14):
        Image.new("L", (5, 5)).save(tmp_path / A150 / f"annotations/validation/extra_{number}.png")
    lines = refused("ade20k_150", "extra_0.jpg", "is missing")
    assert len(lines) == 11 and "Problems: 14, 4 of them not shown" in lines[-1]
    assert len(converted(tmp_path)) == 3


@pytest.mark.parametrize("line", ["../x", "/etc/x", "a/b"])
def test_a_list_of_voc_that_leads_elsewhere_is_refused(tmp_path, refused, line):
    WRITERS["voc"](tmp_path)
    (tmp_path / VOC12 / "ImageSets/Segmentation/val.txt").write_text(f"2007_000033\n{line}\n")
    refused("voc", "val.txt", repr(line))
    (tmp_path / VOC12 / "ImageSets/Segmentation/val.txt").write_text("\n")
    refused("voc", "val.txt", "is empty")


def test_an_output_that_cannot_be_written_is_named(tmp_path, refused):
    write_raw_ade20k_150(tmp_path)
    obstacle = tmp_path / A150 / "annotations_detectron2/validation/ADE_val_00000002.png.tmp"
    obstacle.mkdir(parents=True)  # makes writing fail, as a full disk would
    refused("ade20k_150", "ADE_val_00000002.png cannot be written", "make room")
    obstacle.rmdir()
    assert convert(PARTS["ade20k_150"], tmp_path, 1) == 0
    assert converted(tmp_path) == {f"ADE_val_0000000{number}.png" for number in (1, 2, 3)}


def test_a_folder_that_cannot_be_made_is_named(tmp_path, refused):
    write_raw_ade20k_150(tmp_path)
    (tmp_path / A150 / "annotations_detectron2").write_text("in the way")
    refused("ade20k_150", "annotations_detectron2", "correct that path or its permissions")
