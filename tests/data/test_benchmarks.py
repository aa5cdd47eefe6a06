"""The table of data sets, their vocabularies, and the messages where data sets are missing."""

import os
from pathlib import Path

import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from PIL import Image

from errseg.data import register_all, register_sem_seg, require_dataset
from errseg.data.benchmarks import BENCHMARKS
from errseg.data.vocabularies import load_vocabulary
from errseg.errors import UsageError

LENGTHS = {
    **{"COCO-Stuff": 171, "COCO-Stuff-156": 156, "A-847": 847, "PC-459": 459},
    **{"A-150": 150, "PC-59": 59, "PAS-20": 20, "PAS-20b": 21},
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
    domains = {name: metadata.domain for name, metadata in rows.items() if not name.startswith("COCO")}
    assert domains == {
        **{"A-847": "out", "PC-459": "out", "A-150": "out"},
        **{"PC-59": "in", "PAS-20": "in", "PAS-20b": "in"},
    }
    sizes = {name: metadata.num_images for name, metadata in rows.items()}
    assert sizes == {
        **{"COCO-Stuff train": 118287, "COCO-Stuff": 5000, "COCO-Stuff-156 train": 118287, "COCO-Stuff-156": 5000},
        **{"A-847": 2000, "PC-459": 5104, "A-150": 2000, "PC-59": 5104, "PAS-20": 1449, "PAS-20b": 1449},
    }
    maps = {name for name, metadata in rows.items() if metadata.label_map is not None}
    assert maps == {"COCO-Stuff-156 train", "COCO-Stuff-156"}


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
