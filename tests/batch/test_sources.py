"""Which inputs arguments mean, and where their outputs go."""

import os
from pathlib import Path

import pytest

from errseg.batch import sources
from errseg.batch.places import assign_places, outputs
from errseg.batch.sources import Source, find_sources
from errseg.errors import UsageError


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """Files below the working folder, which need no content."""
    monkeypatch.chdir(tmp_path)
    for path in (
        "photos/a.jpg", "photos/B.PNG", "photos/deep/er/c.webp", "photos/clip.MP4", "photos/notes.txt",
        "photos/.hidden.jpg", "photos/.git/d.jpg", "photos/[1].jpg", "other/a.jpg", "empty/readme.md", "odd.name",
    ):  # fmt: skip
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).touch()
    return tmp_path


def paths(*arguments, out="out"):
    return [(source.path, source.place) for source in find_sources(arguments, out)]


def test_folders_with_their_structure(tree):
    assert paths("photos") == [
        ("photos/B.PNG", "B"), ("photos/[1].jpg", "[1]"), ("photos/a.jpg", "a"), ("photos/clip.MP4", "clip"),
        ("photos/deep/er/c.webp", "deep/er/c"),
    ]  # fmt: skip
    assert [source.is_video for source in find_sources(["photos"], "out")] == [False, False, False, True, False]
    os.symlink("..", "photos/deep/loop")
    assert len(paths("photos/")) == 5 and len(paths(str(tree / "photos"))) == 5


def test_files_and_patterns(tree):
    assert paths("photos/a.jpg", "odd.name", "photos/[1].jpg") == [
        ("photos/a.jpg", "a"), ("odd.name", "odd"), ("photos/[1].jpg", "[1]")
    ]  # fmt: skip
    assert paths("*/a.jpg") == [("other/a.jpg", "other/a"), ("photos/a.jpg", "photos/a")]
    assert [path for path, _ in paths("photos/**/*.webp")] == ["photos/deep/er/c.webp"]
    assert len(paths("photos/**")) == 5 and len(paths("ph*")) == 5
    assert len(paths("photos", "photos/a.jpg", str(tree / "photos/a.jpg"))) == 5  # each once


def test_our_own_outputs_are_no_inputs(tree):
    for name in ("a_overlay.png", "a_labels.png", "clip_overlay.mp4"):
        (tree / "photos" / name).touch()
    assert len(paths("photos", out="photos")) == len(paths("photos/*", out=tree)) == 5
    assert len(paths("photos", out="elsewhere")) == 8
    assert paths("photos/a_labels.png", out="photos") == [("photos/a_labels.png", "a_labels")]  # asked for by name


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("none.jpg", "no picture, video or folder none.jpg"),
        ("empty", "folder empty holds no pictures"),
        ("photos/*.gif", r"pattern photos/\*.gif matches no"),
        ("https://example.org/a.jpg", "address on the web"),
        ("", "no picture, video or folder"),
    ],
)
def test_nothing_there(tree, argument, message):
    with pytest.raises(UsageError, match=message):
        find_sources(["photos", argument], "out")


def place(arguments, earlier=()):
    sources = find_sources(arguments, "out")
    return list(assign_places(sources, dict(earlier)).values())


def test_no_two_share_an_output(tree):
    for name in ("photos/a.png", "photos/a_rle.jpg", "photos/predict.jpg", "A.jpg"):
        Path(name).touch()
    given = ["photos/a.jpg", "photos/a.png", "other/a.jpg", "A.jpg", "photos/a_rle.jpg", "photos/predict.jpg"]
    places = place(given)
    assert places[:4] == ["a", "a_png", "other/a", f"{tree.name}/A"]
    files = [path.lower() for each in places for path in outputs(each, False)]
    assert len(set(files)) == len(files) and "predict.json" not in files
    assert len(place(["photos", "other", *given])) == len(set(place(["photos", "other", *given])))


def test_a_folder_of_frames_is_nobody_elses(tree):
    for name in ("x/clip_frames/1.jpg", "x/clip.mp4", "x/clip.avi"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()
    for order in (["x/clip.mp4", "x", "x/clip.avi"], ["x/clip.avi", "x"]):
        places = place(order)
        frames = [outputs(each, True)[1] for each in places if not each.endswith("1")]
        picture = next(each for each in places if each.endswith("1"))
        assert len(set(frames)) == 2 and str(Path(picture).parent) not in frames


def test_places_stay(tree):
    first, second = Source("photos/a.jpg", "photos"), Source("other/a.jpg", "other")
    assert assign_places([second], {first.key: "a"}) == {second: "other/a"}
    assert assign_places([second, first], {first.key: "a"}) == {first: "a", second: "other/a"}
    Path(first.path).unlink()
    assert assign_places([second], {first.key: "a"}) == {second: "a"}  # what is gone needs no place


def test_files_that_cannot_be_read_are_counted_and_named(tree, caplog, monkeypatch):
    monkeypatch.setattr("errseg.data.pairing.HAS_HEIF", False)
    for name in ("photos/x.HEIC", "photos/deep/y.heic", "photos/z.psd"):
        Path(name).touch()
    endings = tuple(ending for ending in sources.PICTURES if ending not in (".heic", ".heif"))
    monkeypatch.setattr(sources, "PICTURES", endings)
    assert len(paths("photos")) == 5
    assert "photos: 3 files do not have the ending of" in caplog.text and "2 of .heic, 1 of .psd" in caplog.text
    assert "install pillow-heif" in caplog.text
