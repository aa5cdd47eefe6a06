"""What the benchmark's tests share: its command on a tiny model."""

import json
from pathlib import Path

import pytest

from errseg.benchmark import measure
from errseg.engine import load_config

ROOT = Path(__file__).parents[2]
TINY = """\
_BASE_: {root}/configs/base.yaml
MODEL:
  CLIP: {{NAME: {root}/tests/data/tiny_clip.json}}
  ESCF: {{DIM: 32, NUM_LAYERS: 2, DROP_PATH: 0.0}}
  CRM: {{NUM_CLASSES_TRAIN: 4}}
INPUT: {{RESOLUTION_TRAIN: 64, RESOLUTION_TEST: 64}}
"""


@pytest.fixture
def config_file(tmp_path):
    """A YAML file of a model that predicts in some milliseconds."""
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY.format(root=ROOT))
    return path


@pytest.fixture
def cfg(config_file):
    """Its configuration, on the CPU."""
    cfg = load_config(str(config_file))
    cfg.MODEL.DEVICE = "cpu"
    return cfg


@pytest.fixture
def no_children(monkeypatch):
    """No processes for peak memory: that of a form is made up."""
    monkeypatch.setattr(measure, "peak_memory", lambda case, *_: {"plain": 3000.0, "fast": 900.0}[case.form])


@pytest.fixture
def benchmark_tool(config_file, command, tmp_path):
    """``benchmark_tool(*options)``: exit status, rows that it wrote, output, errors."""

    def call(*options):
        out = tmp_path / "out" / "benchmark.json"
        status, printed, errors = command("benchmark", "--config", config_file, "--repeats", 2, "--json", out, *options)
        return status, json.loads(out.read_text()) if out.exists() else None, printed, errors

    return call
