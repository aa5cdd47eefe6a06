"""Files of names in the formats that are common in this field."""

import json
import logging

import pytest

from errseg.api.names import as_vocabulary, names_from_file
from errseg.data import names_file
from errseg.data.names_file import read_names
from errseg.errors import UsageError

LABELMAP = "# label:color_rgb:parts:actions\nbackground:0,0,0::\nred car:255,0,0::\nsky:0,0,255::\n"
CVAT = [{"name": "cat", "id": 7, "color": "#ff0000", "attributes": []}, {"name": "dog", "id": 3, "attributes": []}]


@pytest.fixture
def write(tmp_path):
    """``write(name, content)``: the path of a file; content other than text or bytes is written as JSON."""

    def make(name, content):
        path = tmp_path / name
        content = content if isinstance(content, (str, bytes)) else json.dumps(content)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    names_file._say_once.cache_clear()
    return make


@pytest.mark.parametrize(
    ("file", "content", "names", "said"),
    [
        ("n.txt", "cat\r\nred car\r\n", ["cat", "red car"], None),
        ("n.txt", "\ufeffcat\nsky, heaven\n".encode(), ["cat", "sky, heaven"], None),
        ("n.txt", "cat\nStraße\n".encode("utf-16"), ["cat", "Straße"], None),
        ("n.txt", "class 0\nclass 1\nclass 2", ["class 0", "class 1", "class 2"], None),
        ("n.txt", "3 wheeler\ncat\n4 wheeler", ["3 wheeler", "cat", "4 wheeler"], None),
        ("n.txt", "0\n1\n2", ["0", "1", "2"], None),
        (
            "n.txt",
            "1 wall\n2 red car\n3 sky, heaven",
            ["wall", "red car", "sky, heaven"],
            "id, 1 to 3, taken as 0 to 2",
        ),
        ("n.txt", "0: cat\n\n1: dog\n", ["cat", "dog"], "a name for each id, 0 to 1"),
        ("n.txt", "1,dog\n0,cat", ["cat", "dog"], "a name for each id, 0 to 1"),
        ("n.txt", "cat: 0\ndog: 1", ["cat", "dog"], "a name for each id, 0 to 1"),
        ("n.txt", '{"0": "cat", "1": "dog"}', ["cat", "dog"], "a name for each id"),
        ("labelmap.txt", LABELMAP, ["background", "red car", "sky"], "CVAT's label map: the 3 names"),
        (
            "labels.txt",
            "__ignore__\n_background_\ncat\n",
            ["background", "cat"],
            "LabelMe's list: __ignore__ is no class",
        ),
        ("n.json", ["cat", "dog"], ["cat", "dog"], None),
        ("n.json", {"cat": ["kitten"]}, {"cat": ["kitten"]}, None),
        ("n.json", {"1": "dog", "0": "cat"}, ["cat", "dog"], "a name for each id, 0 to 1"),
        ("n.json", {"0": ["zero"], "1": ["one"]}, {"0": ["zero"], "1": ["one"]}, None),
        ("n.json", {"id2label": {"0": "cat", "1": "dog"}, "num": 2}, ["cat", "dog"], "a name for each id"),
        ("n.json", {"classes": ["cat", "dog"]}, ["cat", "dog"], "the 2 names under its key 'classes'"),
        ("n.json", {"categories": [{"id": 2, "name": "dog"}, {"id": 1, "name": "cat"}]}, ["cat", "dog"], "taken as"),
        ("n.json", CVAT, ["cat", "dog"], "CVAT's labels: the 2 names in their order"),
        ("n.yaml", "nc: 2\nnames:\n  0: cat\n  1: dog\n", ["cat", "dog"], "a name for each id, 0 to 1"),
        ("n.yml", "- cat\n- 'no'\n", ["cat", "no"], None),
    ],
)
def test_what_is_read_as_what(write, caplog, file, content, names, said):
    caplog.set_level(logging.WARNING)
    path = write(file, content)
    assert names_from_file(path) == names
    assert (said in caplog.text and caplog.text.count("is read as") == 1) if said else not caplog.text
    as_vocabulary(names)


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("n.txt", "# my classes\ncat\ndog", "Line 1 of .*n.txt, '# my classes', is a comment or a name"),
        ("n.txt", "0 cat\n2 dog", "gives names to 2 ids from 0 to 2, but none to 1"),
        ("n.txt", "3 wheeler\n4 wheeler", "ids from 3 to 4, but none to 0"),
        ("n.txt", "0 cat\n0 dog", "two names to one id"),
        ("n.txt", "id,name\n0,cat\n1,dog", "Line 1 of .*'id,name', has no id"),
        ("n.txt", "1 cat\n2 dog\nbird", "Line 3 of .*'bird', has no id"),
        ("n.txt", "name,r,g,b\ncat,255,0,0\ndog,0,255,0", "have columns, as in 'dog,0,255,0'"),
        ("n.txt", "255 0 0 cat\n0 255 0 dog", "but none to 1"),
        ("n.txt", "0 255 0 0 cat\n1 0 255 0 dog", "columns"),
        ("n.txt", "cat\tfelis\ndog\tcanis", "columns"),
        ("n.txt", "cat\n__ignore__\ndog", "__ignore__ after other names"),
        ("n.txt", "<!DOCTYPE html>\n<p>cat", "a web page"),
        ("n.txt", "- cat\n- dog", "a YAML list"),
        ("n.txt", "[cat, dog]", "no JSON"),
        ("n.txt", b"cat\0\ndog", "no text"),
        ("n.txt", b"Stra\xdfe", "UTF-8"),
        ("n.json", {"0": "cat", "2": "dog"}, "but none to 1"),
        ("n.json", {"0": "cat", "00": "dog"}, "two names to one id"),
        ("n.json", {"cat": 0, "dog": 1}, "synonyms of 'cat' are 0"),
        ("n.json", [{"name": "cat", "id": "a"}], "whole numbers"),
        ("n.yaml", "names: !!python/object/apply:os.getcwd []", "tag"),
        ("n.yaml", "{0: cat, true: dog}", "0 is no text"),
        ("n.yaml", "{-1: cat, 0: dog}", "ids from -1 to 0"),
    ],
)
def test_what_could_be_something_else_is_refused(write, file, content, words):
    with pytest.raises(UsageError, match=words) as error:
        names_from_file(write(file, content))
    assert "\n" not in str(error.value) and file in str(error.value)


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(UsageError, match="not a regular file"):
        read_names(tmp_path)


def test_the_names_of_an_ultralytics_data_set(tmp_path):
    path = tmp_path / "data.yaml"
    for names in ("[cat, dog]", "{0: cat, 1: dog}"):
        path.write_text(f"path: ../data\ntrain: images/train\nval: images/val\nnames: {names}\n")
        assert read_names(path).names == ["cat", "dog"]
