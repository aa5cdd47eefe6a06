"""Command lines with odd arguments."""

import json
import runpy
import sys
from pathlib import Path
from random import Random

from PIL import Image

from ..bench import Bench
from ..case import EITHER, Case

__all__ = ["command", "run_tool"]

TOOLS = Path(__file__).parents[3] / "tools"
ARGUMENTS = {
    "predict": ["photo.png", "--classes", "cat, dog", "--config-file", "run.yaml", "--out", "out", "--batch", "1"],
    "check_datasets": ["set.yaml", "--workers", "0", "--samples", "1", "--out", "sheets", "--json", "report.json"],
    "compare_runs": ["a.json", "a.json", "--top", "3"],
    "check_parity": ["a.json"],
    "train_net": ["--config-file", "run.yaml", "--eval-only", "DATASETS.TEST", "('set.yaml',)", "OUTPUT_DIR", "out"],
    "render_predictions": ["out", "--out", "rendered"],
    "visualize": ["photo.png", "--classes", "cat, dog", "--config-file", "run.yaml", "--out", "figures"],
}
WORDS = [
    *("", " ", "-1", "0", "1", "nan", "1e9", "9" * 25, "x", "none.png", "/dev/zero", "http://127.0.0.1:9/x", "\udcff"),
    *("a\nb", "--", "--unknown", "--help", "*", "**", "[", "pipe", "🐈", "a" * 5000, "cat,cat", '"', ",,,"),
]


def command(random: Random, bench: Bench, folder: Path) -> Case:
    """A command with a word in place of another, left out, or put in."""
    bench.training_cfg(folder)
    (folder / "run.yaml").write_text(json.dumps(bench.tree))
    (folder / "a.json").write_text(random.choice(["{}", "[]", '{"results": {}}', '{"results": {"a": 5}}']))
    Image.new("RGB", (20, 20)).save(folder / "photo.png")
    tool = random.choice(list(ARGUMENTS))
    words = list(ARGUMENTS[tool])
    place = random.randrange(len(words))
    words[place : place + random.choice([0, 1, 1, 1, 2])] = random.choice([[], *[[random.choice(WORDS)]] * 4])
    return Case(tool, f"{words!r:.150}", EITHER, lambda: run_tool(tool, *words))


def run_tool(tool: str, *words: str) -> None:
    """Run a command line of tools/ in this process; it ends with SystemExit."""
    sys.argv = [f"{tool}.py", *words]
    runpy.run_path(str(TOOLS / f"{tool}.py"), run_name="__main__")
