"""Command lines with odd words."""

import json
import sys
from pathlib import Path
from random import Random

from PIL import Image

from errseg.cli import main

from ..bench import Bench
from ..case import EITHER, Case

__all__ = ["command", "run_command"]

COMMANDS = (
    ("predict", "photo.png", "--classes", "cat, dog", "--config", "run.yaml", "--out", "out", "--batch", "1"),
    ("data", "check", "set.yaml", "--workers", "0", "--samples", "1", "--out", "sheets", "--json", "report.json"),
    ("compare", "a.json", "a.json", "--top", "3"),
    ("parity", "a.json"),
    ("train", "--config", "run.yaml", "--resume", "--dataset", "set.yaml", "OUTPUT_DIR", "out"),
    ("evaluate", "--config", "run.yaml", "--weights", "a.json", "--dataset", "set.yaml", "OUTPUT_DIR", "out"),
    ("convert", "a.json", "b.pth", "--to", "ours"),
    ("render", "out", "--out", "rendered"),
    ("inspect", "photo.png", "--classes", "cat, dog", "--config", "run.yaml", "--out", "figures"),
)
WORDS = [
    *("", " ", "-1", "0", "1", "nan", "1e9", "9" * 25, "x", "none.png", "/dev/zero", "http://127.0.0.1:9/x", "\udcff"),
    *("a\nb", "--", "--unknown", "--help", "*", "**", "[", "pipe", "🐈", "a" * 5000, "cat,cat", '"', ",,,"),
]


def command(random: Random, bench: Bench, folder: Path) -> Case:
    """A command in which a word is replaced, left out or inserted."""
    bench.training_cfg(folder)
    (folder / "run.yaml").write_text(json.dumps(bench.tree))
    (folder / "a.json").write_text(random.choice(["{}", "[]", '{"results": {}}', '{"results": {"a": 5}}']))
    Image.new("RGB", (20, 20)).save(folder / "photo.png")
    words = list(random.choice(COMMANDS))
    place = random.randrange(len(words))
    words[place : place + random.choice([0, 1, 1, 1, 2])] = random.choice([[], *[[random.choice(WORDS)]] * 4])
    return Case("errseg", f"{words!r:.150}", EITHER, lambda: run_command(*words))


def run_command(*words: str) -> None:
    """Run a command line in this process; it ends with SystemExit."""
    sys.exit(main(words))
