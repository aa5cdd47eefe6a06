"""The prepare scripts on tiny copies of the published data sets: registered names load exactly the right labels."""

import json
import runpy
from pathlib import Path

import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from PIL import Image
from pycocotools import mask as coco_mask

from errseg.data import LabelReader, register_all
from errseg.data.files import read_rgb
from errseg.data.prepare.rle import decode_rle
from tests.data.raw_copies import (
    WRITERS,
    encoded,
    write_raw_ade20k_full,
    write_raw_coco_stuff,
    write_raw_voc,
)

SCRIPTS = Path(__file__).parents[2] / "datasets"
REGISTERED = {
    "coco_stuff": ["coco_2017_train_stuff_all_sem_seg", "coco_2017_test_stuff_all_sem_seg"],
    "ade20k_150": ["ade20k_150_test_sem_seg"],
    "ade20k_full": ["ade20k_full_sem_seg_freq_val_all"],
    "pascal_context_59": ["context_59_test_sem_seg"],
    "pascal_context_459": ["context_459_test_sem_seg"],
    "voc": ["voc_2012_test_sem_seg", "voc_2012_test_background_sem_seg", "voc_2012_train_15_sem_seg"],
}


@pytest.fixture
def prepare(tmp_path, monkeypatch):
    """``prepare(set, *arguments)``: the exit status of its script on the root ``tmp_path``."""

    def run(name, *arguments):
        script = SCRIPTS / f"prepare_{name}.py"
        monkeypatch.setattr("sys.argv", [str(script), *map(str, arguments or (tmp_path, "--workers", 1))])
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(script), run_name="__main__")
        return end.value.code

    return run


def files(root: Path) -> dict[str, float]:
    """The converted files under a root, and when they were written."""
    found = [path for path in root.rglob("*") if path.is_file() and "_detectron2" in str(path)]
    return {str(path.relative_to(root)): path.stat().st_mtime_ns for path in found}


@pytest.mark.parametrize("name", WRITERS)
def test_labels_are_exact_and_the_registered_names_load_them(tmp_path, prepare, capsys, name):
    expected = WRITERS[name](tmp_path)
    assert prepare(name) == 0
    assert set(files(tmp_path)) == set(expected) | {
        path.replace("annotations_", "images_").replace(".tif", ".jpg") for path in expected if name == "ade20k_full"
    }
    for path, label in expected.items():
        with Image.open(tmp_path / path) as image:
            assert image.mode == ("I;16" if path.endswith(".tif") else "L")
            assert image.format == ("TIFF" if path.endswith(".tif") else "PNG")
            stored = np.asarray(image)
        assert stored.dtype == label.dtype and np.array_equal(stored, label), path
    try:
        register_all(tmp_path)
        listed = set()
        for registered in REGISTERED[name]:
            metadata, reader, shares = MetadataCatalog.get(registered), LabelReader(registered), []
            for record in DatasetCatalog.get(registered):
                path = str(Path(record["sem_seg_file_name"]).relative_to(tmp_path))
                listed.add(path)
                size = read_rgb(record["file_name"]).shape[:2]
                label = reader(record["sem_seg_file_name"], record["file_name"], size)
                classes = expected[path].astype(int)
                if metadata.label_map:
                    classes = np.vectorize(metadata.label_map.get)(classes)
                ignored = classes == metadata.ignore_label
                assert np.array_equal(label == reader.ignore_label, ignored)
                assert np.array_equal(label[~ignored], classes[~ignored])
                shares.append(ignored.mean())
            assert 0 < np.mean(shares) < 0.8
        assert listed == set(expected)
    finally:
        register_all()
    published = {"coco_stuff": "118,287", "voc": "1,449"}.get(name, "2,000" if "ade" in name else "5,104")
    assert f"where {published} are published" in capsys.readouterr().out


@pytest.mark.parametrize("name", WRITERS)
def test_a_second_run_skips_what_is_done(tmp_path, prepare, capsys, name):
    count = len({Path(path).stem for path in WRITERS[name](tmp_path)})
    assert prepare(name) == 0
    before = files(tmp_path)
    capsys.readouterr()
    assert prepare(name) == 0
    assert files(tmp_path) == before
    lines = [line for line in capsys.readouterr().out.splitlines() if "converted now" in line]
    assert all(" 0 converted now" in line for line in lines)
    assert sum(int(line.split()[-2]) for line in lines) == count
    victim = tmp_path / sorted(before)[-1]
    victim.unlink()
    assert prepare(name) == 0
    after = files(tmp_path)
    assert set(after) == set(before) and {path for path in after if after[path] != before[path]} >= {
        str(victim.relative_to(tmp_path))
    }
    assert prepare(name, "--force", tmp_path) == 0
    assert set(files(tmp_path)) == set(before) and not set(files(tmp_path).items()) & set(before.items())


def test_workers_write_what_one_process_writes(tmp_path, prepare, capsys):
    for kind in ("one", "three"):
        for seed in range(12):  # more images than a worker takes at once
            write_raw_coco_stuff(tmp_path / kind / str(seed), seed)
        images = tmp_path / kind / "coco-stuff"
        for path in (tmp_path / kind).glob("*/coco-stuff/*/*/*"):
            seed = path.relative_to(tmp_path / kind).parts[0]
            target = images / path.parents[1].name / path.parent.name / f"{seed}_{path.name}"
            target.parent.mkdir(parents=True, exist_ok=True)
            path.rename(target)
    assert prepare("coco_stuff", tmp_path / "one", "--workers", 1) == 0
    assert prepare("coco_stuff", "--root", tmp_path / "three", "--workers", 3) == 0
    one, three = files(tmp_path / "one"), files(tmp_path / "three")
    assert set(one) == set(three) and len(one) == 48
    assert all((tmp_path / "one" / path).read_bytes() == (tmp_path / "three" / path).read_bytes() for path in one)


def test_the_root_comes_from_the_environment_too(tmp_path, prepare, monkeypatch, capsys):
    expected = write_raw_voc(tmp_path)
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    assert prepare("voc", "--workers", "1") == 0
    assert set(files(tmp_path)) == set(expected)
    assert prepare("voc", tmp_path, "--root", tmp_path / "other") == 2
    assert prepare("voc", tmp_path / "nowhere") == 2
    errors = capsys.readouterr().err
    assert "Two roots are given" in errors and "There is no folder" in errors and "DETECTRON2_DATASETS" in errors
    assert prepare("voc", tmp_path, "--workers", "0") == 2


def test_a_label_without_objects_is_recognised_on_resume(tmp_path, prepare, capsys):
    """PAS-20 has no file for it, and a second run does not convert it again; it does convert a lost file again."""
    write_raw_voc(tmp_path)
    assert prepare("voc") == 0
    labels = tmp_path / "VOCdevkit/VOC2012/annotations_detectron2/val"
    assert sorted(path.stem for path in labels.iterdir()) == ["2007_000033", "2007_000042"]
    capsys.readouterr()
    assert prepare("voc") == 0
    assert "PAS-20: 0 converted now, 3 before." in capsys.readouterr().out
    (labels / "2007_000042.png").unlink()
    assert prepare("voc") == 0
    assert "PAS-20: 1 converted now, 2 before." in capsys.readouterr().out
    assert (labels / "2007_000042.png").exists()


def test_a_label_that_is_void_throughout_is_written_for_neither_set(tmp_path, prepare):
    expected = write_raw_voc(tmp_path)
    folder = tmp_path / "VOCdevkit/VOC2012/SegmentationClassAug"
    Image.new("L", Image.open(folder / "2007_000042.png").size, 255).save(folder / "2007_000042.png")
    for _ in range(2):
        assert prepare("voc") == 0
        assert set(files(tmp_path)) == {path for path in expected if "2007_000042" not in path}


def test_the_training_images_of_voc_are_those_that_are_not_listed_for_validation(tmp_path, prepare, capsys):
    write_raw_voc(tmp_path)
    folder = tmp_path / "VOCdevkit/VOC2012"
    assert prepare("voc") == 0
    assert "VOC train: 2 images found, where 10,582 are published." in capsys.readouterr().out
    labels = folder / "annotations_detectron2/train"
    assert sorted(path.stem for path in labels.iterdir()) == ["2007_000032", "2008_000008"]
    for path in (folder / "SegmentationClassAug").iterdir():
        if path.stem in ("2007_000032", "2008_000008"):
            path.unlink()
    assert prepare("voc") == 0
    assert "VOC train is not there" in capsys.readouterr().out


def test_the_labels_of_pc459_need_no_annotations_of_pc59(tmp_path, prepare):
    expected = WRITERS["pascal_context_459"](tmp_path)
    path = tmp_path / "VOCdevkit/VOC2010/trainval_merged.json"
    path.write_text(json.dumps({"images": json.loads(path.read_text())["images"]}))
    assert prepare("pascal_context_459") == 0
    assert set(files(tmp_path)) == set(expected)


@pytest.mark.parametrize("there", ["train2017", "val2017"])
def test_one_split_of_coco_is_converted_and_the_other_named(tmp_path, prepare, capsys, there):
    missing, user = ("val2017", "evaluation") if there == "train2017" else ("train2017", "training")
    expected = write_raw_coco_stuff(tmp_path, splits=(there,))
    assert prepare("coco_stuff") == 0
    assert set(files(tmp_path)) == set(expected)
    output = capsys.readouterr().out
    assert f"COCO-Stuff {missing} is not there" in output and user in output


@pytest.mark.parametrize(("arrays", "slash", "protocol"), [(1, "/", 2), (0, "", 0), (0, "/", 3), (1, "", 5)])
def test_indexes_of_other_kinds_are_read(tmp_path, prepare, arrays, slash, protocol):
    expected = write_raw_ade20k_full(tmp_path, 1, arrays, slash, protocol)
    assert prepare("ade20k_full") == 0
    assert all(np.array_equal(Image.open(tmp_path / path), label) for path, label in expected.items())


def test_large_images_are_resized_with_their_labels(tmp_path, prepare):
    """The sizes are those of the field's other codebases; the pixels are close to those of a bilinear copy."""
    write_raw_ade20k_full(tmp_path)
    assert prepare("ade20k_full") == 0
    sizes, folder = {}, tmp_path / "ADE20K_2021_17_01/images_detectron2/validation"
    for path in sorted(folder.iterdir()):
        with Image.open(path) as image:
            sizes[path.stem[-1]] = image.size
            raw = Image.open(next(tmp_path.glob(f"ADE20K_2021_17_01/images/ADE/validation/*/*/{path.name}")))
            copy = raw.resize(image.size, Image.Resampling.BILINEAR)
            assert np.abs(np.asarray(image, float) - np.asarray(copy, float)).mean() < 3
    assert sizes == {"1": (64, 48), "2": (778, 512), "3": (512, 772), "4": (512, 512), "5": (700, 512)}


@pytest.mark.parametrize("density", [0.0, 0.02, 0.5, 1.0])
def test_run_length_code_is_decoded_as_pycocotools_does(density):
    mask = np.asfortranarray(np.random.default_rng(0).random((61, 43)) < density).astype(np.uint8)
    mask[:, 20:] = np.repeat(mask[:, 20:21], 23, axis=1)  # long differences, of either sign
    string = encoded(mask, as_string=True)
    assert np.array_equal(coco_mask.decode(string), mask)
    for code in (string, encoded(mask, as_string=False)):
        assert np.array_equal(decode_rle(code, (61, 43)), mask)
    long_runs = {"size": [3000, 3000], "counts": [1, 4000000, 3, 4999990, 6]}
    string = coco_mask.frPyObjects(long_runs, 3000, 3000)
    string["counts"] = string["counts"].decode()
    assert np.array_equal(decode_rle(string, (3000, 3000)), decode_rle(long_runs, (3000, 3000)))


BROKEN = ["", "~~~", "05", "P", "00000", "\x7f", "P" * 40, "é", [1, -1, 4], [3], [[4]], 4, None]


@pytest.mark.parametrize("counts", BROKEN)
def test_broken_run_length_code_is_refused(counts):
    with pytest.raises((ValueError, TypeError)):
        decode_rle({"size": [2, 2], "counts": counts}, (2, 2))
