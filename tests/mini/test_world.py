"""The names of the mini world, and its scenes on disk."""

import hashlib
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from errseg.mini import generate as generator
from errseg.mini import render, world
from errseg.mini.generate import generate, scene_names
from errseg.mini.layout import image_folder, label_folder

COUNTS = {"train": 4, "seen": 2, "unseen": 2, "large": 2}


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("datasets")
    generate(path, COUNTS, workers=1)
    return path


def digests(root: Path) -> dict[str, str]:
    files = [path for path in root.rglob("*.*") if path.is_file()]
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_every_attribute_and_pair_of_a_held_out_name_is_seen():
    assert not set(world.SEEN) & set(world.HELD_OUT)
    for positions in [*combinations(range(3), 1), *combinations(range(3), 2)]:
        seen, all_of_them = (
            {tuple(world.parts(name)[i] for i in positions) for name in names}
            for names in (world.SEEN, world.SEEN + world.HELD_OUT)
        )
        assert seen == all_of_them


@pytest.mark.parametrize("split", ["seen", "unseen"])
def test_folds_are_balanced(split):
    names = world.drawn_names(split)
    assert len(names) == len(world.HELD_OUT)
    for position, values in enumerate((world.COLOURS, world.PATTERNS, world.SHAPES)):
        counts = [sum(world.parts(name)[position] == value for name in names) for value in values]
        assert max(counts) - min(counts) <= 1, values


def test_vocabularies():
    sizes = {split: len(names) for split, names in world.VOCABULARIES.items()}
    assert sizes["seen"] == sizes["unseen"] == sizes["train"]
    assert sizes["large"] == 800
    for split, names in world.VOCABULARIES.items():
        assert len(set(names)) == len(names)
        assert set(world.drawn_names(split)) <= set(names)
    assert not set(world.DISTRACTORS) & set(world.SEEN + world.HELD_OUT)


def test_no_training_scene_names_a_held_out_composition():
    shown = {name for index in range(generator.COUNTS["train"]) for name in scene_names("train", index, seed=0)}
    assert shown == set(world.SEEN)


def test_scenes_of_a_split_show_its_names_evenly():
    names = [name for index in range(generator.COUNTS["unseen"]) for name in scene_names("unseen", index, seed=0)]
    counts = [names.count(name) for name in world.HELD_OUT]
    assert min(counts) > 0 and max(counts) <= 3 * min(counts)


@pytest.mark.parametrize("thing", ["white square", "red triangle", "blue ring", "green cross", "purple bar"])
def test_labels_agree_with_the_drawing(thing):
    """What is labelled an object has its colour, and what is around it has not."""
    name = thing.replace(" ", " plain ")
    scene = render.draw_scene([name], np.random.default_rng(3))
    mask = scene.labels == scene.names.index(name)
    assert mask.sum() > 200
    image = scene.image.astype(float)
    colour = np.median(image[mask], axis=0)
    inside = np.abs(image[mask] - colour).sum(1) < 120
    outside = np.abs(image[~mask] - colour).sum(1) < 60
    assert inside.mean() > 0.85 and outside.mean() < 0.15


def test_objects_stay_visible():
    for seed in range(10):
        names = ["red plain square", "blue plain square", "green plain square"]
        scene = render.draw_scene(names, np.random.default_rng(seed))
        areas = dict(zip(scene.names, np.bincount(scene.labels.ravel(), minlength=len(scene.names)), strict=True))
        smallest = (0.76 / 1.15 * render.OBJECT_SIZE[0]) ** 2
        assert all(areas[name] > 0.9 * render.MIN_VISIBLE * smallest for name in set(names) & set(scene.names))


def test_files(root):
    for split, count in COUNTS.items():
        images = sorted(image_folder(root, split).iterdir())
        labels = sorted(label_folder(root, split).iterdir())
        assert [p.stem for p in images] == [p.stem for p in labels] == [f"{i:06d}" for i in range(count)]
        vocabulary = world.VOCABULARIES[split]
        for index, (image, label) in enumerate(zip(images, labels, strict=True)):
            ids = np.asarray(Image.open(label))
            assert Image.open(image).size == (ids.shape[1], ids.shape[0])
            shown = {vocabulary[i] for i in np.unique(ids)}
            assert shown - set(world.GROUNDS) <= set(scene_names(split, index, seed=0))
            assert shown & set(world.GROUNDS)


def test_the_same_seed_gives_the_same_files(root, tmp_path):
    generate(tmp_path, COUNTS, workers=1)
    assert digests(tmp_path) == digests(root)
    generate(tmp_path, COUNTS, seed=1, workers=1)
    assert not set(digests(tmp_path).values()) & set(digests(root).values())


def test_processes_give_the_same_files(root, tmp_path, monkeypatch):
    monkeypatch.setattr(generator, "FEW_SCENES", 0)
    generate(tmp_path, COUNTS, workers=2)
    assert digests(tmp_path) == digests(root)


def test_an_interrupted_drawing_goes_on(root, tmp_path, monkeypatch):
    write, written = generator._write, []

    def stop_after_five(path, data):
        if len(written) == 6:
            raise KeyboardInterrupt
        written.append(path)
        write(path, data)

    monkeypatch.setattr(generator, "_write", stop_after_five)
    with pytest.raises(KeyboardInterrupt):
        generate(tmp_path, COUNTS, workers=1)
    monkeypatch.undo()
    assert 0 < generate(tmp_path, COUNTS, workers=1) < sum(COUNTS.values())
    assert digests(tmp_path) == digests(root)
    assert generate(tmp_path, COUNTS, workers=1) == 0


def test_pretraining_never_hears_a_distractor_of_the_large_vocabulary():
    assert len(world.NEGATIVES) > 200
    assert not set(world.NEGATIVES) & {name for split in world.SPLITS for name in world.VOCABULARIES[split]}
