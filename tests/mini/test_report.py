"""What the quickstart and the ablations print and draw."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from errseg.cli.mini_ablate import ROMAN
from errseg.config import load_config
from errseg.mini import DATASET_NAMES, ablate, register_mini, report, world
from errseg.mini.generate import generate
from errseg.modeling import system_of_model
from tests.conftest import TINY_SYSTEMS

ROOT = Path(__file__).parents[2]


def test_every_row_of_a_table_has_a_config():
    for table in ROMAN.values():
        full, *rows = ablate.rows_of(table, ROOT / "configs" / "ablations")
        assert full == ablate.FULL and rows
        for row in rows:
            assert len(ablate.PAPER[row]) == 5
            changes = ablate.changed_keys(ROOT / "configs" / "ablations" / f"{row}.yaml")
            assert 2 <= len(changes) <= 6 and len(changes) % 2 == 0


def test_rows_of_deop():
    """Each row changes a key of the mini DeOP, and no two rows are the same."""
    configs = ROOT / "configs/mini/deop_ablations"
    full, *rows = ablate.rows_of("DeOP", configs)
    assert full == "DeOP" and len(rows) > 8
    base = load_config(str(ROOT / "configs/mini/deop_mini.yaml"))
    seen = {base.dump()}
    for row in rows:
        cfg = load_config(str(configs / f"{row}.yaml"))
        assert cfg.dump() not in seen, row
        seen.add(cfg.dump())
        assert (
            load_config(str(ROOT / "configs/mini/deop_mini.yaml"), ablate.changed_keys(configs / f"{row}.yaml")) == cfg
        )
    table = ablate.table_of(
        {
            "DeOP": [{"seen": 50.0, "unseen": 40.0, "large": 30.0}],
            rows[0]: [{"seen": 1.0, "unseen": 2.0, "large": 3.0}],
        },
        configs,
    )
    assert "paper" not in table and ablate.label_of(configs / f"{rows[0]}.yaml") in table


def test_table_shows_mean_and_deviation():
    runs = [{"seen": 50.0, "unseen": 40.0, "large": 30.0}, {"seen": 52.0, "unseen": 40.0, "large": 33.0}]
    table = ablate.table_of({"ERR-Seg": runs, "table10_none": runs[:1]}, ROOT / "configs" / "ablations")
    assert "51.0 ± 1.4" in table and "A-150 (paper)" in table and "35.8" in table
    assert "neither SSR nor CSR" in table and "50.0 " in table.splitlines()[-1] and "–" in table


@pytest.mark.parametrize("system", ["ERRSeg", "DeOP"])
def test_measures_of_the_record(system, build, tmp_path):
    generate(tmp_path, {"train": 0, "seen": 3, "unseen": 0, "large": 0}, workers=1)
    register_mini(tmp_path)
    try:
        model = build("MODEL.META_ARCHITECTURE", system, *TINY_SYSTEMS[system])
        measured = report.measure_scenes(model, DATASET_NAMES["seen"], 3)
        scenes = report.segment_scenes(model, DATASET_NAMES["seen"], 3)
    finally:
        register_mini()
    assert list(measured) == list(system_of_model(model).measures) and measured
    assert all(0 <= value <= 100 for value in measured.values())
    assert [scene["prediction"].shape for scene in scenes] == [(160, 160)] * 3
    assert scenes[0]["image"].shape == (160, 160, 3) and scenes[0]["truth"].max() < 96


def test_pictures(tmp_path):
    rng = np.random.default_rng(0)
    scenes = [
        {
            "image": rng.integers(0, 256, (32, 32, 3), dtype=np.uint8),
            "truth": rng.integers(0, 3, (32, 32)),
            "prediction": rng.integers(0, 30, (32, 32)),
        }
    ] * 2
    report.plot_predictions(scenes, world.VOCABULARIES["seen"], tmp_path / "predictions.png")
    metrics = tmp_path / "metrics.json"
    lines = [{"iteration": i, "total_loss": 1 / (i + 1)} for i in range(9)]
    lines.append({"iteration": 8, f"{DATASET_NAMES['seen']}/mIoU": 12.0})
    metrics.write_text("".join(json.dumps(line) + "\n" for line in lines))
    report.plot_curves(metrics, tmp_path / "curves.png")
    for name in ("predictions.png", "curves.png"):
        assert Image.open(tmp_path / name).size[0] > 500
