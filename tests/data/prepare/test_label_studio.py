"""Label Studio's masks, one file for each class of an image, become labels of class ids."""

import json

import numpy as np
import pytest
from PIL import Image

from errseg.data import check_labels, register_dataset_files
from errseg.data.prepare.label_studio import merge
from errseg.errors import UsageError

CRACK, RUST = "task-1-annotation-5-by-a@b.c-tag-crack-0.png", "task-1-annotation-5-by-a@b.c-tag-dark rust-0.png"


def region(label):
    return {"from_name": "tag", "value": {"format": "rle", "brushlabels": [label]}}


@pytest.fixture
def export(tmp_path):
    """Two tasks, of an uploaded and of a served image; the first has three masks, the second one."""
    for name in ("bridge.jpg", "wall.png"):
        (tmp_path / "images").mkdir(exist_ok=True)
        Image.new("RGB", (6, 4)).save(tmp_path / "images" / name)
    masks = {CRACK: np.s_[0], CRACK.replace("-0.", "-1."): np.s_[1, :2], RUST: np.s_[1:3, 1:4]}
    masks["task-2-annotation-6-by-1-tag-crack-0.png"] = np.s_[:]
    (tmp_path / "masks").mkdir()
    for name, place in masks.items():
        mask = np.zeros((4, 6), np.uint8)
        mask[place] = 255
        Image.fromarray(mask).save(tmp_path / "masks" / name)
    tasks = [
        {
            "id": 1,
            "data": {"image": "/data/upload/3/0a1b2c3d-bridge.jpg", "note": "north"},
            "annotations": [{"id": 5, "result": [region("crack"), region("crack"), region("dark rust")]}],
        },
        {"id": 2, "data": {"image": "/data/local-files/?d=site/wall.png"}, "annotations": [{"id": 6, "result": []}]},
    ]
    path = tmp_path / "export.json"
    path.write_text(json.dumps(tasks))
    return path


def run(export, **options):
    folder = export.parent
    return merge(folder / "masks", export, folder / "images", folder / "labels", **options)


def label(export, name):
    return np.asarray(Image.open(export.parent / "labels" / f"{name}.png")).tolist()


def test_masks_become_ids(export):
    merged = run(export)
    assert merged == (["crack", "dark rust"], 255, 2, 1)
    none = [255] * 6
    assert label(export, "bridge") == [[0] * 6, [0, 255, 1, 1, 255, 255], [255, 1, 1, 1, 255, 255], none]
    assert label(export, "wall") == [[0] * 6] * 4


def test_background_and_an_order_of_names(export):
    names = export.parent / "names.txt"
    names.write_text("dark rust\ncrack\n")
    assert run(export, names_file=names, background="sound").names == ["sound", "dark rust", "crack"]
    assert label(export, "bridge")[0] == [2] * 6 and label(export, "bridge")[3] == [0] * 6


def test_json_min_names_the_image_beside_the_id(export):
    tasks = json.loads(export.read_text())
    small = [{"id": task["id"], **task["data"], "tag": [{"brushlabels": ["crack", "dark rust"]}]} for task in tasks]
    export.write_text(json.dumps(small))
    assert run(export).labels == 2


def test_the_command_prints_the_file_that_trains(export, command):
    folder = export.parent
    words = ["data", "merge-label-studio", folder / "masks", export, folder / "images", "--out", folder / "labels"]
    status, out, err = command(*words)
    assert status == 0 and "1 pixels are covered by masks of several classes" in err
    (folder / "set.yaml").write_text(out.partition("\n\n")[2])
    register_dataset_files([str(folder / "set.yaml")])
    check_labels(str(folder / "set.yaml"), workers=1)
    export.write_text("[]")
    status, _, err = command(*words)
    assert status == 2 and "Traceback" not in err


def rename(old, new):
    return lambda folder: (folder / "masks" / old).rename(folder / "masks" / new)


def another_size(folder):
    Image.new("L", (5, 4)).save(folder / "masks" / CRACK)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (rename(CRACK, CRACK.replace("crack", "moss")), "moss-0.png is of none of the classes crack, dark rust"),
        (rename(CRACK, CRACK.replace("tag", "other")), "is of none of the classes"),
        (rename(CRACK, CRACK.replace("n-5", "n-4")), "The task 1 has masks of two annotations"),
        (rename(CRACK, CRACK.replace("k-1", "k-9")), "export.json has no task 9"),
        (lambda folder: (folder / "images/bridge.jpg").unlink(), "bridge.jpg, north, is not among the images"),
        (lambda folder: (folder / "export.json").write_text('{"id": 1}'), "no list of tasks"),
        (lambda folder: (folder / "export.json").write_text('[{"id": 1}]'), "holds no names of classes"),
        (another_size, "6 × 4 pixels, its label .* 5 × 4"),
        (lambda folder: (folder / "masks" / CRACK).write_bytes(b"no picture"), "cannot be read"),
        (lambda folder: (folder / "masks").rename(folder / "m"), "holds no mask of Label Studio"),
    ],
)
def test_what_does_not_fit_is_named(export, change, reason):
    change(export.parent)
    with pytest.raises(UsageError, match=reason):
        run(export)
