"""A format is recognised by what a file or folder holds; tests/data/importing/test_<format>.py recognise theirs."""

import pytest

from errseg.data.importing import FORMATS, Options
from errseg.data.importing.formats import read_source
from errseg.errors import UsageError


@pytest.mark.parametrize(
    ("files", "source", "reason"),
    [
        ({}, "nowhere", "There is no file or folder .*nowhere; correct SOURCE."),
        ({"a.zip": "PK"}, "a.zip", "is an archive; unpack it, and give the folder"),
        ({"a.txt": "x"}, "a.txt", "of no format that can be imported; give --format, one of coco, "),
        ({"a.json": "[]"}, "", "of no format that can be imported"),
        ({"a.txt": "x"}, "", "holds none; give the file to import as SOURCE"),
        ({"a.json": '{"images": []}', "b.json": "{}"}, "", r"holds several annotation files \(a.json, b.json\); give"),
        ({"data.yaml": "names: [a]"}, "", "of no format"),
        ({"annotations.xml": "<x/>"}, "", "of no format"),
    ],
)
def test_sources_that_are_not_recognised(tmp_path, write, files, source, reason):
    for name, text in files.items():
        write(tmp_path / "s" / name, text)
    with pytest.raises(UsageError, match=reason):
        read_source(tmp_path / "s" / source, Options())


def test_the_help_lists_the_formats():
    from errseg.cli.data_import import FORMATS as listed

    assert listed.split(", ") == list(FORMATS)
