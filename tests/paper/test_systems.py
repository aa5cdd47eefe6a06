"""Several systems side by side: their runs by seeds, their protocols, and what is refused."""

import shutil

import pytest

from errseg.benchmark.protocols import COMMON, OWN, apply, common_keys, protocols_of
from errseg.config import load_config
from errseg.errors import UsageError
from errseg.paper.registry import find
from errseg.paper.systems import contenders
from tests.tiny import write_run


def test_the_common_protocol_is_one_view_at_one_resolution_without_rejection():
    names = ("errseg_convnext_base", "deop_vit_b16", "sed_convnext_base", "cat_seg_vit_b16")
    cfgs = [load_config(name) for name in names]
    common = common_keys(cfgs)
    views = []
    for cfg in cfgs:
        found = protocols_of(cfg, common)
        assert list(found) == [OWN, COMMON, *(["early rejection"] if cfg.MODEL.META_ARCHITECTURE == "SED" else [])]
        views.append(apply(cfg, found[COMMON]).INPUT.RESOLUTION_TEST)
    assert views == [384] * 4 and not apply(cfgs[3], common).TEST.SLIDING_WINDOW
    fast = apply(cfgs[2], ["MODEL.REJECTION.ENABLED", True])
    assert not apply(fast, protocols_of(fast, common)[COMMON]).MODEL.REJECTION.ENABLED
    minis = [load_config(f"mini/{name}_mini") for name in ("errseg", "deop", "sed", "cat_seg")]
    assert [OWN in protocols_of(cfg, common_keys(minis)) for cfg in minis] == [False, False, False, True]


def test_the_systems_of_the_mini_world_are_found_with_their_seeds(ask, drawn, tmp_path):
    runs = tmp_path / "mini"
    shutil.copytree(drawn / "run", runs / "errseg")
    world = ("DATASETS.TRAIN", ("mini_train_sem_seg",))
    other = write_run(runs / "seed1/errseg", "ERRSeg", *world, "SEED", 1)
    write_run(tmp_path / "mini_sed/sed", "SED", *world)
    sheet = find("table", "2").make(ask(runs=runs, seeds=2))
    ours = {row.label: row.cells["mini seen"] for row in sheet.rows if not row.label.endswith("(paper)")}
    assert list(ours) == [f"{x}, {y}" for x, y in (("ERR-Seg", "own and common protocol"),
                          ("SED", "own and common protocol"), ("SED", "early rejection"))]  # fmt: skip
    both = ours["ERR-Seg, own and common protocol"]
    assert both.deviation is not None and both.low <= both.value <= both.high
    assert ours["SED, early rejection"].deviation is None
    notes = " ".join(sheet.notes)
    assert "CAT-Seg has no run: errseg mini run cat_seg" in notes
    assert "SED has 1 of 2 runs: errseg mini run sed --out " in notes and "mini_sed/seed1 --seed 1" in notes
    config = other / "config.yaml"
    config.write_text(config.read_text().replace("SEED: 1", "SEED: -1"))
    with pytest.raises(UsageError, match="both have SEED -1"):
        contenders(ask(runs=runs, seeds=2))
    config.write_text(config.read_text().replace("MAX_ITER: ", "MAX_ITER: 1"))
    with pytest.raises(UsageError, match=r"runs of different recipes \(SOLVER.MAX_ITER"):
        contenders(ask(runs=runs, seeds=2))
    with pytest.raises(UsageError, match="needs runs on the mini world, and there are none; ERR-Seg has no run"):
        contenders(ask(runs=tmp_path / "nowhere"))
