"""The table of data sets, their vocabularies, and the messages where data sets are missing."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from PIL import Image

from errseg.data import register_all, register_sem_seg, require_dataset
from errseg.data.benchmarks import BENCHMARKS
from errseg.data.vocabularies import FOLDER, held_out_classes, load_vocabulary
from errseg.errors import UsageError

LENGTHS = {
    **{"COCO-Stuff": 171, "COCO-Stuff-156": 156, "COCO-Stuff 156/15": 171, "A-847": 847, "PC-459": 459},
    **{"A-150": 150, "PC-59": 59, "PAS-20": 20, "PAS-20b": 21, "VOC-15": 15, "VOC 15/5": 20},
    **{"A-150, Detectron2's names": 150, "PC-459, names with blanks": 459},
}


@pytest.fixture
def benchmarks(tmp_path, monkeypatch):
    """The table, registered under an empty directory."""
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    register_all()
    yield tmp_path
    monkeypatch.undo()
    register_all()


def write_pair(images: Path, labels: Path, stem: str) -> None:
    images.mkdir(parents=True, exist_ok=True)
    labels.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(images / f"{stem}.jpg")
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(labels / f"{stem}.png")


def test_every_row_is_registered_with_its_metadata(benchmarks):
    for row in BENCHMARKS:
        metadata = MetadataCatalog.get(row.name)
        assert row.name in DatasetCatalog.list()
        assert metadata.evaluator_type == "sem_seg"
        assert metadata.image_root.startswith(str(benchmarks))
        assert len(metadata.stuff_classes) == LENGTHS[row.paper_name.removesuffix(" train")]
        # An ignore label that is also a class would drop the pixels of this class without an error.
        assert metadata.ignore_label >= len(metadata.stuff_classes)
    assert MetadataCatalog.get("ade20k_full_sem_seg_freq_val_all").ignore_label == 65535
    assert MetadataCatalog.get("context_459_test_sem_seg").ignore_label == 459


def test_domains_and_sizes_are_the_papers():
    """IV-A2 and IV-A3: VOC and PASCAL-Context's 59 classes are near COCO-Stuff's, the three others are not."""
    rows = {row.paper_name: MetadataCatalog.get(row.name) for row in BENCHMARKS}
    domains = {name: metadata.domain for name, metadata in rows.items() if not name.startswith(("COCO", "VOC"))}
    assert domains == {
        **{"A-847": "out", "PC-459": "out", "A-150": "out"},
        **{"PC-59": "in", "PAS-20": "in", "PAS-20b": "in"},
        **{"A-150, Detectron2's names": "out", "PC-459, names with blanks": "out"},
    }
    sizes = {name: metadata.num_images for name, metadata in rows.items()}
    assert sizes == {
        **{"COCO-Stuff train": 118287, "COCO-Stuff": 5000, "COCO-Stuff-156 train": 118287, "COCO-Stuff-156": 5000},
        **{"A-847": 2000, "PC-459": 5104, "A-150": 2000, "PC-59": 5104, "PAS-20": 1449, "PAS-20b": 1449},
        **{"COCO-Stuff 156/15": 5000, "VOC-15 train": 10582, "VOC 15/5": 1449},
        **{"A-150, Detectron2's names": 2000, "PC-459, names with blanks": 5104},
    }
    maps = {name for name, metadata in rows.items() if metadata.label_map is not None}
    assert maps == {"COCO-Stuff-156 train", "COCO-Stuff-156", "VOC-15 train"}


def test_splits_name_the_classes_that_training_does_not_use():
    unseen = {}
    for row in BENCHMARKS:
        metadata = MetadataCatalog.get(row.name)
        if metadata.unseen_classes:
            unseen[row.name] = [metadata.stuff_classes[i] for i in metadata.unseen_classes]
    assert unseen == {
        "coco_2017_test_stuff_15_unseen_sem_seg": [
            *("cow", "giraffe", "suitcase", "frisbee", "skateboard", "carrot", "scissors", "cardboard"),
            *("clouds", "grass", "playingfield", "river", "road", "tree", "wall-concrete"),
        ],
        "voc_2012_test_5_unseen_sem_seg": ["pottedplant", "sheep", "sofa", "train", "tvmonitor"],
    }
    ids = MetadataCatalog.get("coco_2017_test_stuff_15_unseen_sem_seg").unseen_classes
    assert ids == [19, 23, 28, 29, 36, 51, 76, 88, 94, 112, 133, 136, 137, 157, 160]
    assert held_out_classes("voc_20") == ()


def test_the_training_set_of_voc_15_maps_the_labels_of_20_classes():
    """The 15 seen classes keep their ids, because the held-out ones are the last five; those are ignored."""
    metadata = MetadataCatalog.get("voc_2012_train_15_sem_seg")
    assert metadata.stuff_classes == list(load_vocabulary("voc_20").classes[:15])
    assert metadata.label_map == {**{i: i if i < 15 else 255 for i in range(20)}, 255: 255}


@pytest.mark.parametrize(
    ("ours", "published", "count", "some"),
    [
        ("ade20k_150", "ade20k_150_detectron2", 52, {6: "road, route", 89: "tv", 37: "tub", 138: "trash can"}),
        ("pascal_context_459", "pascal_context_459_blanks", 94, {2: "air conditioner", 7: "baby carriage"}),
    ],
)
def test_published_lists_of_names_are_vocabularies_of_their_own(ours, published, count, some):
    """Same ids, as many other names as the contract of the second system counts (section 9)."""
    contents = [
        json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))["classes"] for name in (ours, published)
    ]
    assert [[(row["id"], row["raw_id"]) for row in rows] for rows in contents][0] == [
        (row["id"], row["raw_id"]) for row in contents[1]
    ]
    names = [load_vocabulary(name).classes for name in (ours, published)]
    assert sum(a != b for a, b in zip(*names, strict=True)) == count
    assert {i: names[1][i] for i in some} == some
    if published.endswith("blanks"):
        assert [name.replace(" ", "") for name in names[1]] == [name.replace(" ", "") for name in names[0]]
    rows = {row.vocabulary: row for row in BENCHMARKS}
    changed = {"name", "paper_name", "vocabulary"}
    assert {key for key in changed if getattr(rows[ours], key) != getattr(rows[published], key)} == changed
    assert rows[ours]._replace(**{key: "" for key in changed}) == rows[published]._replace(
        **{key: "" for key in changed}
    )


@pytest.mark.parametrize("name", sorted({row.vocabulary for row in BENCHMARKS}))
def test_vocabularies_are_whole(name):
    vocabulary = load_vocabulary(name)
    assert all(prompt.strip() for prompt in vocabulary.prompts)
    assert sorted(set(vocabulary.prompt_classes)) == list(range(len(vocabulary.classes)))


def test_synonyms_are_kept_and_background_has_many_prompts():
    assert load_vocabulary("ade20k_847").classes[1] == "building, edifice"
    background = load_vocabulary("voc_21")
    assert len(background.prompts) == 59 and background.classes[20] == "background"
    assert background.prompt_classes == tuple(min(i, 20) for i in range(59))


def test_a_missing_data_set_names_directory_variable_and_remedy(benchmarks):
    directory = benchmarks / "ADEChallengeData2016/images/validation"
    for ask in (require_dataset, DatasetCatalog.get):
        with pytest.raises(UsageError) as error:
            ask("ade20k_150_test_sem_seg")
        message = str(error.value)
        assert str(directory) in message and "DETECTRON2_DATASETS" in message and "prepare" in message
        assert "\n" not in message and "DATASETS." not in message
    with pytest.raises(UsageError, match=r"of DATASETS\.TRAIN is missing: .*, or change DATASETS\.TRAIN\."):
        require_dataset("ade20k_150_test_sem_seg", "DATASETS.TRAIN")


def test_an_unknown_data_set_is_named_with_those_there_are(benchmarks):
    with pytest.raises(UsageError, match="'ade'.*ade20k_150_test_sem_seg"):
        require_dataset("ade")


def test_lists_follow_the_labels(tmp_path):
    images, labels = tmp_path / "images", tmp_path / "labels"
    for stem in ("b", "a"):
        write_pair(images, labels, stem)
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(images / "unlabelled.jpg")
    register_sem_seg("test_lists", images, labels, ["thing"])
    files = [(Path(r["file_name"]).name, Path(r["sem_seg_file_name"]).name) for r in DatasetCatalog.get("test_lists")]
    assert files == [("a.jpg", "a.png"), ("b.jpg", "b.png")]


def test_a_label_without_its_image_and_an_empty_set_are_errors(tmp_path):
    images, labels = tmp_path / "images", tmp_path / "labels"
    write_pair(images, labels, "a")
    register_sem_seg("test_incomplete", images, labels, ["thing"])
    os.remove(images / "a.jpg")
    with pytest.raises(UsageError, match="lacks the image of 1 of its labels.*a.jpg"):
        DatasetCatalog.get("test_incomplete")
    os.remove(labels / "a.png")
    with pytest.raises(UsageError, match="empty"):
        DatasetCatalog.get("test_incomplete")
