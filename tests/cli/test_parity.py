"""errseg parity: its exit status."""

from pathlib import Path

import numpy as np
import pytest

from errseg import parity

FIXTURES = Path(__file__).parents[1] / "data/parity"


def test_a_difference_is_status_1(tmp_path, command):
    with np.load(FIXTURES / "convnext_base_ade150_k16_256.npz") as archive:
        fixture = dict(archive)
    fixture["logits_4096"] = fixture["logits_4096"] + np.float32(0.01)
    np.savez(tmp_path / "altered.npz", **fixture)
    status, out, err = command("parity", tmp_path / "altered.npz")
    assert status == 1, err
    assert "max_logit_diff" in out and "FAILED" in out


def test_what_is_no_fixture_is_status_2(tmp_path, command):
    (tmp_path / "a.npz").write_bytes(b"<html>")
    status, _, err = command("parity", tmp_path / "a.npz")
    assert status == 2 and err.startswith("errseg parity: ") and "a.npz" in err and err.count("\n") == 1


@pytest.mark.parametrize("table", ["deop_state_dict.json", "official_state_dict_base.json"])
def test_tables_beside_the_fixture_come_first(table, tmp_path, command, monkeypatch):
    used = []
    monkeypatch.setattr(parity, "measures_of", lambda fixture, tables: used.append(tables) or [("loss_diff", 0.0)])
    for folder in (tmp_path / "alone", tmp_path / "with table"):
        folder.mkdir()
        np.savez(folder / "a.npz", x=np.zeros(1))
    (tmp_path / "with table" / table).write_text("{}")
    status, out, _ = command("parity", *tmp_path.glob("*/a.npz"))
    assert status == 0 and "all within limits" in out and set(used) == {tmp_path / "with table", FIXTURES}
