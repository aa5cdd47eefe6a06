"""errseg benchmark --systems: one table of several systems, and what it refuses."""

import json

import pytest

from errseg.benchmark import measure
from tests.tiny import tiny_cfg_of


def test_systems_stand_in_one_table(command, tmp_path, monkeypatch):
    monkeypatch.setattr(measure, "peak_memory", lambda *_: 900.0)
    configs = []
    for system, changes in (("ERRSeg", ()), ("CATSeg", ("TEST.SLIDING_WINDOW", True, "TEST.WINDOW_CANVAS", 96))):
        configs.append(tmp_path / f"{system}.yaml")
        configs[-1].write_text(tiny_cfg_of(system, *changes).dump())
    words = ["--systems", ",".join(map(str, configs)), "--vocabulary", "random:9", "--repeats", 1]
    status, out, _ = command("benchmark", *words, "--json", tmp_path / "rows.json")
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert status == 0 and [row["protocol"] for row in rows] == [
        "own and common protocol", "own protocol", "common protocol"
    ]  # fmt: skip
    err_seg, own, common = rows
    assert (own["views"], common["views"]) == (4, 1) and own["gmacs"] == pytest.approx(4 * common["gmacs"])
    assert err_seg["over_first"] == 1 and common["over_first"] == common["latency_s"] / err_seg["latency_s"]
    assert err_seg["parameters"] > 1000 and "over the first" in out and out.count("ERRSeg.yaml") == 1


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["sad"], "--systems has 'sad'; give some of"),
        (["sed,SED"], "--systems has 'SED' twice"),
        (["sed", "--vocabulary", "ade"], "'ade'; give one of ade20k_150"),
        (["sed", "--config", "sed_convnext_base"], "--systems does not go with --config"),
        (["sed", "--form", "plain"], "--systems measures the fast form"),
        (["sed", "--repeats", "0"], "--repeats is 0"),
    ],
)
def test_refuses_in_one_sentence(command, options, sentence):
    status, out, err = command("benchmark", "--systems", *options)
    assert status == 2 and out == "" and sentence in err and err.count("\n") == 1
