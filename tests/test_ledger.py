"""The ledger of a resumable job: what counts as made with the request of now, and what is refused."""

import json

import pytest

from errseg.errors import UsageError
from errseg.ledger import Job, Ledger, in_words, locked_outputs

JOB = Job(
    "job.json", "--out", lambda key, entry: "" if "size" in entry else f"{key} has no size", lambda content: content
)
REQUEST = {"weights": "ab" * 32, "settings": {"TEST.FLIP": False, "MODEL.TOY.WIDTH": 8}, "K": 3}


def test_entries_of_another_request_say_what_differs(tmp_path):
    first = Ledger(tmp_path / "out", JOB, REQUEST)
    assert not first.exists and not first.changes("a") and not first.is_current("a")
    first.add("a", {"size": 1})
    first.write()
    other = {**REQUEST, "settings": {"TEST.FLIP": True, "MODEL.TOY.WIDTH": 9}, "K": 4}
    second = Ledger(tmp_path / "out", JOB, other)
    assert second.exists and not second.is_current("a")
    assert in_words(second.changes("a")) == "K 3, now 4; MODEL.TOY.WIDTH 8, now 9; TEST.FLIP False, now True"
    second.add("b", {"size": 2})
    second.write()
    third = Ledger(tmp_path / "out", JOB, {**REQUEST, "weights": "cd" * 32})
    assert in_words(third.changes("a")) == "weights abababababab, now cdcdcdcdcdcd"
    again = Ledger(tmp_path / "out", JOB, REQUEST)
    assert again.is_current("a") and not again.changes("a") and not again.is_current("b") and again.changes("b")


@pytest.mark.parametrize(
    ("settings", "same"),
    [
        ({"MODEL.CLIP.DROP": 0.5}, True),  # training's own
        ({"TEST.KEEP_ASPECT": False}, True),  # the default: the key may be newer than the ledger
        ({"TEST.KEEP_ASPECT": True}, False),
        ({"MODEL.TOY.DEPTH": 1}, False),  # a key without a default
        ({"MODEL.TOY.WIDTH": 9}, False),
    ],
)
def test_requests_that_differ_in_nothing_that_counts_are_one(tmp_path, settings, same):
    before = Ledger(tmp_path, JOB, REQUEST)
    before.add("a", {"size": 1})
    before.write()
    now = Ledger(tmp_path, JOB, {**REQUEST, "settings": REQUEST["settings"] | settings})
    assert now.is_current("a") is same and bool(now.changes("a")) is not same and len(now.requests) == 2 - same


def test_a_request_that_was_edited_or_is_missing_is_another(tmp_path):
    ledger = Ledger(tmp_path, JOB, REQUEST)
    ledger.add("a", {"size": 1})
    ledger.write()
    content = json.loads((tmp_path / "job.json").read_text())
    next(iter(content["requests"].values()))["K"] = 4
    content["entries"]["b"] = {"size": 1, "request": "missing"}
    (tmp_path / "job.json").write_text(json.dumps(content))
    ledger = Ledger(tmp_path, JOB, REQUEST)
    assert ledger.changes("a") == {"K": (4, 3)} and {"weights", "K", "settings"} == ledger.changes("b").keys()


def test_it_is_written_soon_and_whole(tmp_path):
    ledger = Ledger(tmp_path, JOB, REQUEST)
    for key in ("a", "b"):
        ledger.add(key, {"size": 1})
        ledger.write_soon()
    assert json.loads((tmp_path / "job.json").read_text())["entries"].keys() == {"a"}  # the next one is seconds away
    ledger.write()
    assert json.loads((tmp_path / "job.json").read_text())["entries"].keys() == {"a", "b"}
    assert [path.name for path in tmp_path.iterdir()] == ["job.json"]


def test_the_jobs_own_check_of_an_entry(tmp_path):
    (tmp_path / "job.json").write_text('{"format": 2, "requests": {}, "entries": {"a": {"request": "x"}}}')
    with pytest.raises(UsageError, match=r"job.json is no ledger of this .* \(a has no size\); remove it, or give"):
        Ledger(tmp_path, JOB)


def test_a_folder_that_is_none_or_in_use(tmp_path):
    (tmp_path / "file").write_text("mine")
    words = "--out .*file cannot be written .*; make room, or give another folder"
    with pytest.raises(UsageError, match=words), locked_outputs(JOB, tmp_path / "file"):
        pass
    with pytest.raises(UsageError, match=words):
        Ledger(tmp_path / "file", JOB, REQUEST).write()
    with locked_outputs(JOB, tmp_path), pytest.raises(UsageError, match="is in use"), locked_outputs(JOB, tmp_path):
        pass
