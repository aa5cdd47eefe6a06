"""Files of others are read as data, or refused in a sentence, in bounded time and memory."""

import os
import time

import pytest

from errseg.errors import UsageError
from errseg.safe_files import MAX_NODES, MAX_YAML_BYTES, parse_yaml, read_json, read_yaml


def nested(first, link):
    """Nine levels of nine links each to the level below, 9 ** 9 values when written out."""
    lines = [f"a: &a {first}"]
    for above, below in zip("bcdefghij", "abcdefghi", strict=True):
        lines.append(f"{above}: &{above} " + link.format(", ".join([f"*{below}"] * 9)))
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("# a comment\n", None),
        ("a: [1, 2.5, yes, null, 'text']", {"a": [1, 2.5, True, None, "text"]}),
        ("a: &x {b: 1, c: 2}\nd: {<<: *x, c: 3}", {"a": {"b": 1, "c": 2}, "d": {"b": 1, "c": 3}}),
        ("a: ä".encode("utf-16"), {"a": "ä"}),
        ("\ufeffa: 1\r\nb: 2\r\n".encode(), {"a": 1, "b": 2}),
        ("a: !!str 5", {"a": "5"}),
    ],
)
def test_plain_yaml(text, value):
    assert parse_yaml(text, "The file x") == value


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: !!python/object/apply:os.getcwd []", "has the tag tag:yaml.org,2002:python/object/apply:os.getcwd"),
        ("a: !!python/name:os.system", "has the tag"),
        ("a: !!python/tuple [1]", "has the tag"),
        ("a: !local 1", "has the tag !local"),
        (nested("[x, x]", "[{}]"), f"more than {MAX_NODES} values"),
        (nested("{x: 1}", "{{<<: [{}]}}"), f"more than {MAX_NODES} values"),
        ("[" * 100_000, "nests its values deeper"),
        ("{a: " * 60 + "1" + "}" * 60, "nests its values deeper"),
        ("a: &a [*a]", "alias \\*a inside its own value"),
        ("a: {x: 1, y: 2, x: 3}", "has the key x twice"),
        ("a: " + "9" * 5000, "5000 characters"),
        ("a: " + "1:" * 4000 + "1", "8001 characters"),
        ("2020-99-99", "no YAML \\(month"),
        ("!!int x", "no YAML"),
        ("!!bool maybe", "no YAML"),
        ("? [a]\n: 1", "no YAML"),
        ("a: 1\n---\nb: 2", "no YAML"),
        ("a: \x00", "no YAML"),
        ("a: ä".encode("latin-1"), "no YAML"),
        ("a: =", "no YAML"),
    ],
    ids=range(20),
)
def test_yaml_that_is_refused(text, reason):
    start = time.process_time()
    with pytest.raises(UsageError, match=f"^The file x .*{reason}") as caught:
        parse_yaml(text, "The file x")
    assert time.process_time() - start < 5 and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"a": 1, "b": {"c": 1, "c": 2}}', "has the key 'c' twice"),
        ('{"a": NaN}', "holds NaN"),
        ("[" * 100_000, "nests its values too deeply"),
        ("9" * 5000, "no JSON"),
        ('{"a": ', "no JSON"),
        ("", "no JSON"),
    ],
)
def test_json_that_is_refused(tmp_path, text, reason):
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=f"^The record {path} .*{reason}"):
        read_json(path, "record")


def test_plain_json(tmp_path):
    path = tmp_path / "x.json"
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        path.write_text('{"ä": [1, null]}', encoding=encoding)
        assert read_json(path, "record") == {"ä": [1, None]}


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("http://127.0.0.1:9/x.yaml", "is an address"),
        ("file:///x.yaml", "is an address"),
        ("gone.yaml", "does not exist"),
        ("fifo", "is not a regular file"),
        (".", "is not a regular file"),
        ("/dev/zero", "is not a regular file"),
        ("a\0b", "cannot be opened"),
        ("x" * 5000, "cannot be opened"),
        ("large", "is larger than"),
    ],
)
def test_only_regular_files_of_a_bounded_size(tmp_path, monkeypatch, path, reason):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("fifo")
    with open("large", "wb") as file:
        file.truncate(MAX_YAML_BYTES + 1)
    with pytest.raises(UsageError, match=reason) as caught:
        read_yaml(path, "config file")
    assert len(str(caught.value)) < 400
