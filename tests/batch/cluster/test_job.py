"""What a large job does again after an interruption or a change, and what it keeps."""

import json

import pytest
from PIL import Image

from errseg.batch import Settings, find_sources, predict
from errseg.errors import UsageError
from tests.tiny import blobs, tiny_segmenter


def masks(out):
    """The places of the rows of all files of masks."""
    parquet = pytest.importorskip("pyarrow.parquet")
    return sorted(place for path in out.glob("masks/*") for place in parquet.read_table(path)["place"].to_pylist())


def test_it_goes_on_where_it_was(drive, pictures, tmp_path):
    out = tmp_path / "out"
    assert drive([pictures], out, stop=3).stopped
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*_labels.png")}
    outcome = drive([pictures], out)
    assert outcome.kept + outcome.done == 4 and outcome.kept == 2 and len(outcome.problems) == 1
    done = json.loads((out / "predict.json").read_text())["entries"]
    kept = [out / f"{entry['place']}_labels.png" for entry in done.values()]
    assert sum(before.get(path) == path.stat().st_mtime_ns for path in kept) == 2
    Image.fromarray(blobs(30, 30, 9)).save(pictures / "a.png")
    (out / "b_labels.png").unlink()
    assert (drive([pictures], out).done, drive([pictures], out).kept) == (2, 4)
    other = tiny_segmenter("ERRSeg")
    other.set_vocabulary(["dog", "tree"])
    assert drive([pictures], out, model=other).done == 4


def test_masks_are_there_once(drive, model, pictures, tmp_path):
    pytest.importorskip("pyarrow")
    out, places = tmp_path / "out", ["a", "b", "deep/a", "deep/c"]
    assert drive([pictures], out, stop=3, formats=("parquet",)).done == 2
    (out / "masks/0123456789abcdef0123456789abcdef.parquet").write_bytes(b"of a driver that was killed")
    assert (drive([pictures], out, formats=("parquet",)).kept, masks(out)) == (2, places)
    Image.fromarray(blobs(30, 30, 9)).save(pictures / "a.png")
    assert (drive([pictures], out, formats=("parquet",)).done, masks(out)) == (1, places)
    outcome = drive([pictures], out, formats=("labels",))  # the masks stay
    assert (outcome.done, masks(out)) == (4, places)
    predict(model, find_sources([str(pictures)], out), Settings(out, ("overlay",)))  # so they do with the plain engine
    outcome = drive([pictures], out, formats=("parquet",))
    assert (outcome.kept, outcome.done, masks(out)) == (4, 0, places)
    next(out.glob("masks/*")).unlink()
    assert (drive([pictures], out, formats=("parquet",)).done, masks(out)) == (1, places)


def test_a_damaged_ledger_in_a_store_is_one_sentence(drive, pictures):
    fsspec = pytest.importorskip("fsspec")
    system = fsspec.filesystem("memory")
    system.pipe("/damaged/predict.json", b"[1]")
    with pytest.raises(UsageError, match=r"^memory://damaged/predict.json is no ledger"):
        drive([pictures], "memory://damaged")
    system.rm("/damaged", recursive=True)
