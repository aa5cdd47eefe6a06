"""What the quickstart and the ablations print and draw."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from errseg.cli.mini_ablate import ROMAN
from errseg.mini import DATASET_NAMES, ablate, report, world

ROOT = Path(__file__).parents[2]


def test_every_row_of_a_table_has_a_config():
    for table in ROMAN.values():
        full, *rows = ablate.rows_of(table)
        assert full == ablate.FULL and rows
        for row in rows:
            assert len(ablate.PAPER[row]) == 5
            changes = ablate.changed_keys(ROOT / "configs" / "ablations" / f"{row}.yaml")
            assert 2 <= len(changes) <= 6 and len(changes) % 2 == 0


def test_table_shows_mean_and_deviation():
    runs = [{"seen": 50.0, "unseen": 40.0, "large": 30.0}, {"seen": 52.0, "unseen": 40.0, "large": 33.0}]
    table = ablate.table_of({"ERR-Seg": runs, "table10_none": runs[:1]}, ROOT / "configs" / "ablations")
    assert "51.0 ± 1.4" in table and "A-150 (paper)" in table and "35.8" in table
    assert "neither SSR nor CSR" in table and "50.0 " in table.splitlines()[-1] and "–" in table


def test_recall():
    scenes = [
        {"truth": np.array([[0, 1], [1, 2]]), "kept": np.array([0, 1, 5])},
        {"truth": np.array([[3, 3], [3, 3]]), "kept": np.array([0, 3])},
    ]
    assert report.crm_recall(scenes) == pytest.approx(75)


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
