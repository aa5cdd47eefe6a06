"""Labels as class ids: as they are in the files, or through a label map."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from detectron2.data import MetadataCatalog
from detectron2.data import transforms as T
from PIL import Image

from errseg.data import LabelReader, SemSegMapper, register_sem_seg
from errseg.data.vocabularies import FOLDER, load_vocabulary
from errseg.errors import UsageError

NAME = "test_labels"
# DeOP's split of COCO-Stuff
HELD_OUT = {
    *("cow", "giraffe", "suitcase", "frisbee", "skateboard", "carrot", "scissors", "cardboard"),
    *("clouds", "grass", "playingfield", "river", "road", "tree", "wall-concrete"),
}


def write(path: Path, ids: np.ndarray) -> str:
    Image.fromarray(ids).save(path)
    return str(path)


def reader(classes: int, **arguments) -> LabelReader:
    register_sem_seg(NAME, "", "", [f"class {i}" for i in range(classes)], **arguments)
    return LabelReader(NAME)


@pytest.mark.parametrize(
    ("dtype", "classes", "ignore"), [(np.uint8, 5, 255), (np.uint16, 847, 65535), (np.uint16, 459, 459)]
)
def test_ids_without_a_map_arrive_as_they_are(tmp_path, dtype, classes, ignore):
    ids = np.random.default_rng(0).integers(0, classes, (6, 8)).astype(dtype)
    ids[0] = ignore
    label = reader(classes, ignore_label=ignore)(write(tmp_path / "a.png", ids), "a.jpg", (6, 8))
    assert label.dtype == np.int32 and np.array_equal(label, ids)


@pytest.mark.parametrize("ignore_label", [255, 65535])
def test_the_mapper_gives_the_ids_of_the_file_with_the_models_ignore_label(tmp_path, ignore_label):
    ids = np.arange(48, dtype=np.uint8).reshape(6, 8) % 3
    ids[:, 0] = 77
    label = write(tmp_path / "a.png", ids)
    Image.fromarray(np.zeros((6, 8, 3), np.uint8)).save(tmp_path / "a.jpg")
    mapper = SemSegMapper([], labels=reader(3, ignore_label=77), ignore_label=ignore_label)
    out = mapper({"file_name": str(tmp_path / "a.jpg"), "sem_seg_file_name": label})
    assert np.array_equal(out["sem_seg"], np.where(ids == 77, ignore_label, ids.astype(np.int64)))


def test_a_map_is_applied_and_what_it_does_not_know_is_named(tmp_path):
    read = reader(3, label_map={1: 0, 2: 1, 7: 2, 0: 255})
    known, unknown = np.uint8([[0, 1], [2, 7]]), np.uint16([[0, 1], [2, 300]])
    assert read(write(tmp_path / "a.png", known), "a.jpg", (2, 2)).tolist() == [[255, 0], [1, 2]]
    with pytest.raises(UsageError, match="b.png holds the id 300, but its data set knows only 0 to 2, 7; convert"):
        read(write(tmp_path / "b.png", unknown), "b.jpg", (2, 2))
    gap = np.uint8([[0, 1], [5, 7]])
    with pytest.raises(UsageError, match="holds the id 5"):
        read(write(tmp_path / "c.png", gap), "c.jpg", (2, 2))
    with pytest.raises(UsageError, match="image a.jpg has 3 × 2 pixels, its label .*a.png 2 × 2"):
        read(str(tmp_path / "a.png"), "a.jpg", (2, 3))


@pytest.mark.parametrize("label_map", [None, {0: 0, 1: 1, 255: 255}])
def test_negative_ids_are_unknown(tmp_path, label_map):
    with pytest.raises(UsageError, match="a.tif holds the id -1"):
        reader(2, label_map=label_map)(write(tmp_path / "a.tif", np.int32([[0, -1]])), "a.jpg", (1, 2))


def test_a_reader_travels_to_another_process(tmp_path):
    read = reader(2, label_map={1: 0, 2: 1, 255: 255})
    register_sem_seg(NAME, "", "", ["something else"])
    path = write(tmp_path / "a.png", np.uint8([[1, 2, 255]]))
    assert pickle.loads(pickle.dumps(read))(path, "a.jpg", (1, 3)).tolist() == [[0, 1, 255]]


def test_coco_156_holds_fifteen_classes_out_of_the_same_files(tmp_path):
    """Every id of a COCO-Stuff label becomes the id of the same name, or is ignored."""
    whole, name = load_vocabulary("coco_stuff_171").classes, "coco_2017_train_stuff_156_sem_seg"
    classes = MetadataCatalog.get(name).stuff_classes
    assert len(classes) == 156 and set(whole) - set(classes) == HELD_OUT and not HELD_OUT & set(classes)
    ids = np.append(np.arange(171), 255).astype(np.uint8)[None]
    mapped = LabelReader(name)(write(tmp_path / "a.png", ids), "a.jpg", (1, 172))[0]
    expected = [classes.index(whole[i]) if whole[i] not in HELD_OUT else 255 for i in range(171)]
    assert mapped.tolist() == [*expected, 255]
    both = [MetadataCatalog.get(f"coco_2017_{split}_stuff_156_sem_seg") for split in ("train", "test")]
    all_of = [MetadataCatalog.get(f"coco_2017_{split}_stuff_all_sem_seg") for split in ("train", "test")]
    assert [m.sem_seg_root for m in both] == [m.sem_seg_root for m in all_of]
    assert both[0].label_map == both[1].label_map and both[0].prompts == classes
    with pytest.raises(UsageError, match="holds the id 171"):
        LabelReader(name)(write(tmp_path / "b.png", np.uint8([[171]])), "b.jpg", (1, 1))


def test_coco_156_keeps_the_raw_ids_of_the_published_labels():
    """The vocabulary file can then be read without that of COCO-Stuff."""
    whole, part = (
        {row["name"]: row["raw_id"] for row in json.loads((FOLDER / f"{stem}.json").read_text())["classes"]}
        for stem in ("coco_stuff_171", "coco_stuff_156")
    )
    assert part.items() <= whole.items()


def test_labels_are_mapped_before_they_are_augmented(tmp_path):
    """The category-aware crop must count class ids, and resizing by nearest neighbour must make no ids in between."""
    ids = np.kron(np.uint8([[2, 40], [40, 2]]), np.ones((20, 20), np.uint8))
    Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(tmp_path / "a.jpg")
    seen = []

    class Spy(T.Augmentation):
        def get_transform(self, image, sem_seg):
            seen.append(np.unique(sem_seg).tolist())
            return T.NoOpTransform()

    labels = reader(2, label_map={2: 0, 40: 1, 0: 255})
    mapper = SemSegMapper([Spy(), T.ResizeShortestEdge(57, 100, "choice")], labels=labels)
    out = mapper({"file_name": str(tmp_path / "a.jpg"), "sem_seg_file_name": write(tmp_path / "a.png", ids)})
    assert seen == [[0, 1]] and out["sem_seg"].unique().tolist() == [0, 1] and out["sem_seg"].shape == (57, 57)
