"""What a record that somebody else wrote may say."""

import json

import pytest

import errseg
from errseg.batch import Settings, predict
from errseg.batch.record import Record
from errseg.errors import UsageError
from errseg.locking import locked

ENTRY = {"place": "a", "stamp": [1, 2], "formats": ["json"], "request": "x"}


def entry(**changes):
    return {"requests": {"x": {}}, "done": {"/pictures/a.png": {**ENTRY, **changes}}}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (entry(place="../../x"), "the place of /pictures/a.png is '../../x', no path in the folder"),
        (entry(place="a/../../x"), "no path in the folder"),
        (entry(place="/etc/x"), "no path in the folder"),
        (entry(place=""), "no path in the folder"),
        (entry(place="a\0b"), "no path in the folder"),
        (entry(place=5), "is 5, no path in the folder"),
        (entry(stamp=3), "the stamp of"),
        (entry(stamp=["a"]), "the stamp of"),
        (entry(formats="json"), "the formats of"),
        (entry(formats=[["json"]]), "the formats of"),
        (entry(request=[1]), "the request of"),
        ({"requests": {"x": 3}, "done": {}}, "'requests' is no object of objects"),
        ({"requests": {}, "done": {"a": 3}}, "'done' is no object of objects"),
        ({"requests": [], "done": []}, "'requests' is no"),
        ({"mine": 1}, "'requests' is no"),
        ([1], "it holds no keys"),
        ("[" * 100_000, "recursion"),
        ("", "Expecting value"),
    ],
    ids=lambda value: None if isinstance(value, str) else str(value)[:60],
)
def test_a_record_of_somebody_else_is_one_sentence(tmp_path, content, words):
    text = content if isinstance(content, str) else json.dumps(content)
    (tmp_path / "predict.json").write_text(text)
    with pytest.raises(UsageError, match=f"predict.json is no record of ours .*{words}.*; remove it") as error:
        Record(tmp_path, {}, 1)
    assert "\n" not in str(error.value)


def test_a_record_that_is_a_folder_is_one_sentence(tmp_path):
    (tmp_path / "predict.json").mkdir()
    with pytest.raises(UsageError, match="no record of ours .*not a regular file"):
        Record(tmp_path, {}, 1)


def test_our_own_record_is_read(tmp_path):
    (tmp_path / "predict.json").write_text(json.dumps(entry(place="b/c..d/a")))
    assert Record(tmp_path, {}, 1).places() == {"/pictures/a.png": "b/c..d/a"}


def test_two_commands_in_one_folder(build, tiny_cfg, tmp_path):
    model = errseg.Segmenter(build(), tiny_cfg)
    model.set_vocabulary(["cat", "dog"])
    with locked(tmp_path / "out", "--out"), pytest.raises(UsageError, match="--out = .*out is in use"):
        predict(model, [], Settings(tmp_path / "out"))
    assert predict(model, [], Settings(tmp_path / "out")).done == 0
