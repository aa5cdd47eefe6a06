"""metrics.json over resumes: lines that are no records, and the records of an earlier run."""

import json

import pytest

from errseg.engine.records import Records
from errseg.errors import UsageError


def line(iteration, **values):
    return json.dumps({"iteration": iteration, "total_loss": 0.5, **values}).encode() + b"\n"


@pytest.mark.parametrize(
    "bad",
    [b"no JSON\n", b"\n", b"\0\0\0\n", b"[1]\n", b'{"total_loss": 1}\n', b'{"iteration": "1"}\n', b"[" * 9999 + b"\n"],
)
def test_lines_that_are_no_records_are_left_out_and_named(tmp_path, caplog, bad):
    path = tmp_path / "metrics.json"
    path.write_bytes(line(0) + bad + line(1) + line(2) + line(3))
    kept = Records(tmp_path).go_on("0123abcd", 3)
    assert [record["iteration"] for record in kept] == [0, 1, 2]
    assert path.read_bytes() == line(0) + line(1) + line(2)
    assert "1 lines that are no records, such as line 2" in caplog.text


def test_a_line_that_a_kill_cut_is_left_out_without_a_word(tmp_path, caplog):
    (tmp_path / "metrics.json").write_bytes(line(0) + line(1)[:-5])
    assert len(Records(tmp_path).go_on("0123abcd", 1)) == 1
    assert "no records" not in caplog.text


def test_a_folder_in_its_place_is_refused(tmp_path):
    (tmp_path / "metrics.json").mkdir()
    with pytest.raises(UsageError, match="metrics.json is no regular file"):
        Records(tmp_path).go_on("0123abcd", 1)


def test_a_new_run_takes_over_at_its_first_checkpoint(tmp_path):
    path = tmp_path / "metrics.json"
    path.write_bytes(line(0, run="old"))
    records = Records(tmp_path)
    records.start_anew("0123abcd")
    records.append({"iteration": 0, "run": "new"})
    assert b"old" in path.read_bytes() and b"new" not in path.read_bytes()
    records.settle()
    assert b"new" in path.read_bytes() and b"old" in (tmp_path / "metrics.json.before").read_bytes()
    records.append({"iteration": 1})
    assert len(path.read_bytes().splitlines()) == 2
