"""What a ledger that somebody else wrote may say, and the ledgers of earlier versions."""

import json

import pytest
from PIL import Image

import errseg
from errseg.batch import Settings, find_sources, predict
from errseg.batch.ledger import BatchLedger, request_of
from errseg.errors import UsageError
from errseg.locking import locked

NOT_NOTED = ("MODEL.RPN.", "MODEL.RESNETS.", "INPUT.MASK_FORMAT", "TEST.AUG.")  # by the first format
ENTRY = {"place": "a", "stamp": [1, 2], "formats": ["json"], "request": "x"}


def entry(**changes):
    return {"format": 2, "requests": {"x": {}}, "entries": {"/pictures/a.png": {**ENTRY, **changes}}}


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
        ({**entry(), "format": 3}, "its format is 3, not 2"),
        ({**entry(), "requests": {"x": 3}}, "'requests' is no object of objects"),
        ({**entry(), "requests": {"x": {"settings": 3}}}, "the weights or the settings of the request x"),
        ({"requests": {"x": 3}, "done": {}}, "'requests' is no object of objects"),
        ({"requests": {}, "done": {"a": 3}}, "'entries' is no object of objects"),
        ({"requests": [], "done": []}, "'requests' is no"),
        ({"requests": {"x": {"configuration": {"MODEL.META_ARCHITECTURE": "Toy"}}}, "done": {}}, "settings of Toy"),
        ({"mine": 1}, "'requests' is no"),
        ([1], "it holds no keys"),
        ("[" * 100_000, "recursion"),
        ("", "Expecting value"),
    ],
    ids=lambda value: None if isinstance(value, str) else str(value)[:60],
)
def test_a_ledger_of_somebody_else_is_one_sentence(tmp_path, content, words):
    text = content if isinstance(content, str) else json.dumps(content)
    (tmp_path / "predict.json").write_text(text)
    with pytest.raises(
        UsageError, match=f"predict.json is no ledger of this .*{words}.*; remove it, or give another --out"
    ) as error:
        BatchLedger(tmp_path, {}, 1)
    assert "\n" not in str(error.value)


def test_a_ledger_that_is_a_folder_is_one_sentence(tmp_path):
    (tmp_path / "predict.json").mkdir()
    with pytest.raises(UsageError, match="no ledger of this .*not a regular file"):
        BatchLedger(tmp_path, {}, 1)


def test_our_own_ledger_is_read(tmp_path):
    (tmp_path / "predict.json").write_text(json.dumps(entry(place="b/c..d/a")))
    assert BatchLedger(tmp_path, {}, 1).places() == {"/pictures/a.png": "b/c..d/a"}


def test_two_commands_in_one_folder(build, tiny_cfg, tmp_path):
    model = errseg.Segmenter(build(), tiny_cfg)
    model.set_vocabulary(["cat", "dog"])
    with locked(tmp_path / "out", "--out"), pytest.raises(UsageError, match="--out = .*out is in use"):
        predict(model, [], Settings(tmp_path / "out"))
    assert predict(model, [], Settings(tmp_path / "out")).done == 0


def test_an_output_folder_of_an_earlier_version_goes_on(build, tiny_cfg, tmp_path):
    """Its requests noted a part of the settings; those that it did not note count with their defaults."""
    model = errseg.Segmenter(build(), tiny_cfg)
    model.set_vocabulary(["cat", "dog"])
    photo, out = tmp_path / "a.png", tmp_path / "out"
    Image.new("RGB", (20, 10)).save(photo)
    sources, settings = find_sources([str(photo)], out), Settings(out, ("json",))
    assert predict(model, sources, settings).done == 1
    content = json.loads((out / "predict.json").read_text())
    ((key, request),) = content["requests"].items()
    noted = {name: value for name, value in request.pop("settings").items() if not name.startswith(NOT_NOTED)}
    request["configuration"] = {**noted, "MODEL.ESCF.DROP_PATH": 0.3}  # counted then
    (out / "predict.json").write_text(json.dumps({"requests": {key: request}, "done": content["entries"]}))
    outcome = predict(model, sources, settings)
    assert (outcome.kept, outcome.done) == (1, 0)
    assert json.loads((out / "predict.json").read_text())["requests"] == {
        next(iter(content["requests"])): request_of(model, None, 0.5)
    }
    request["configuration"]["TEST.FLIP"] = True
    (out / "predict.json").write_text(json.dumps({"requests": {key: request}, "done": content["entries"]}))
    outcome = predict(model, sources, settings)
    assert (outcome.kept, outcome.done) == (0, 1)
