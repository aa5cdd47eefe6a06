"""Files that errseg writes or compares itself with: predict.json, evaluation.json, the fixtures of parity."""

import io
import json
import pickle
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image

from errseg.batch import Settings, find_sources, predict
from errseg.evaluation.compare import compare, load_run
from errseg.evaluation.metrics import SCORES

from ..bench import Bench
from ..case import EITHER, REFUSE, Case
from ..mutate import Payload, damage, odd_tree
from .commands import run_command

__all__ = ["evaluation_record", "fixture", "batch_ledger"]

RESULT = {"paper_name": "A", "classes": ["cat"], "iou": [50.0], **dict.fromkeys(SCORES, 50.0), "checksum": "0" * 64}
EVALUATION = {"results": {"a": RESULT}, "config": {"a": 1}, "versions": {}, "weights": {}, "date": "today"}


def batch_ledger(random: Random, bench: Bench, folder: Path) -> Case:
    """The ledger of an output folder, in either format; no output may be written outside the folder."""
    Image.new("RGB", (16, 16)).save(folder / "photo.png")
    entry = {"place": "photo", "stamp": [1, 2, 1], "formats": ["json"], "request": "x"}
    entries = {str(folder / "photo.png"): entry}
    ledger = random.choice([{"format": 2, "entries": entries}, {"done": entries}]) | {"requests": {"x": {"names": []}}}
    if random.random() < 0.2:
        entry["place"] = random.choice(["../../x", "/tmp/x", "a/../../x", "..", 5, None, ""])
        data, right = json.dumps(ledger), REFUSE
    else:
        data, right = json.dumps(odd_tree(ledger, random), default=repr), EITHER
    (folder / "out").mkdir()
    encoded = data.encode(errors="surrogatepass")
    (folder / "out/predict.json").write_bytes(damage(encoded, random) if random.random() < 0.3 else encoded)
    before = {*folder.iterdir()} | {folder / "printed.txt"}

    def run():
        return predict(bench.segmenter, find_sources(["photo.png"], Path("out")), Settings(Path("out"), ("json",)))

    def wrong(outcome):
        outside = {*folder.iterdir()} - before
        return f"files outside of --out: {outside}" if outside else None

    return Case("predict", repr(encoded[:120]), right, run, wrong)


def evaluation_record(random: Random, bench: Bench, folder: Path) -> Case:
    """Two evaluations that are compared."""
    data = json.dumps(odd_tree(EVALUATION, random), default=repr).encode(errors="surrogatepass")
    if random.random() < 0.3:
        data = random.choice([damage(data, random), b"[" * 100_000])
    (folder / "a.json").write_bytes(data)
    (folder / "b.json").write_text(json.dumps(EVALUATION))
    run = lambda: len(compare(load_run(Path("a.json")), load_run(Path("b.json")), 3))  # noqa: E731
    return Case("compare_runs", repr(data[:120]), EITHER, run)


def fixture(random: Random, bench: Bench, folder: Path) -> Case:
    """The recorded numbers of a released model, given to the command."""
    stream = io.BytesIO()
    arrays = {"model": np.array("large?"), "K": np.array(4), "resolution": np.array(64)}
    arrays.pop(random.choice(list(arrays)))
    if random.random() < 0.3:
        arrays["x"] = np.array([Payload()], dtype=object)
    np.savez(stream, **arrays)
    good = stream.getvalue()
    data = random.choice([good, damage(good, random), pickle.dumps(Payload()), b"", b"<html>"])
    (folder / "a.npz").write_bytes(data)
    return Case("parity", repr(data[:40]), REFUSE, lambda: run_command("parity", "a.npz"))
