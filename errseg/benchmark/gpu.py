"""The performance table of a GPU: errseg benchmark --gpu-table PREDICT.json TRAIN.json

The files are those of ``errseg benchmark --json``. They hold predictions of one vocabulary at several batch sizes, and
training steps, in several forms and precisions.
"""

import sys
from collections.abc import Sequence

from ..errors import UsageError
from .rows import Row
from .tables import duration, form_of, markdown, memory

MUST_PREDICT, MUST_MEMORY, MUST_TRAIN = 6.0, 1 / 3, 2.0


def summary(predict: Sequence[Row], train: Sequence[Row], precision: str = "bf16") -> str:
    """The required and the measured figures, as Markdown.

    Args:
        predict: rows of predictions.
        train: rows of training steps; those below float32 use autocast.
        precision: the precision of the fast form in the comparison.

    Raises:
        UsageError: a row that the table needs is missing, or its case ran out of memory.
    """
    baselines = [row for row in predict if row["form"] == "plain" and row["latency_s"]]
    fast = [row for row in predict if row["form"] == "fast" and row["precision"] == precision and row["latency_s"]]
    one = _fastest([row for row in baselines if row["batch"] == 1], "plain fp32 at batch 1")
    fast_one = _fastest([row for row in fast if row["batch"] == 1], f"fast {precision} at batch 1")
    best, fast_best = _fastest(baselines, "plain fp32"), _fastest(fast, f"fast {precision}")
    name = f"{one['vocabulary']} {precision}"
    lines = [
        _times(f"{name}, batch 1", one, fast_one, MUST_PREDICT),
        _times(f"{name}, each at its best batch", best, fast_best, MUST_PREDICT),
        _memory(f"{name}, peak memory at batch 1", one, fast_one),
    ]
    for baseline_precision in dict.fromkeys(row["precision"] for row in train if row["form"] == "plain"):
        plain = _fastest([row for row in train if _is(row, "plain", baseline_precision)], "plain training step")
        amp = [row for row in train if row["form"] == "fast" and row["precision"] != "fp32"]
        step = _fastest(amp, "fast training step with AMP")
        title = f"training step with AMP, batch {step['batch']}, against plain {_with_amp(plain)}"
        lines.append(_times(title, plain, step, MUST_TRAIN))
    header = ["", "baseline", "ours", "ratio", "must", ""]
    tables = [markdown(header, lines), _floors([fast_one, fast_best])]
    return "\n\n".join([f"{one['device_name']}, torch {one['torch']}", *filter(None, tables)])


def _is(row: Row, form: str, precision: str) -> bool:
    return row["form"] == form and row["precision"] == precision


def _with_amp(row: Row) -> str:
    return "fp32" if row["precision"] == "fp32" else f"AMP ({row['precision']})"


def _fastest(rows: Sequence[Row], what: str) -> Row:
    """The row with the most images per second."""
    rows = [row for row in rows if row["images_per_second"]]
    if not rows:
        raise UsageError(f"There is no figure of {what}; measure it with errseg benchmark, or find out why it failed.")
    return max(rows, key=lambda row: row["images_per_second"])


def _times(title: str, baseline: Row, ours: Row, must: float) -> list[str]:
    ratio = ours["images_per_second"] / baseline["images_per_second"]
    return [title, _speed(baseline), _speed(ours), f"{ratio:.2f} ×", f"{must:g} ×", "ok" if ratio >= must else "missed"]


def _speed(row: Row) -> str:
    speed = f"{duration(row['latency_s'])}, {row['images_per_second']:.1f} images/s"
    return f"{speed} ({form_of(row)}, batch {row['batch']})"


def _memory(title: str, baseline: Row, ours: Row) -> list[str]:
    peaks = [row["peak_memory_mb"] for row in (baseline, ours)]
    if None in peaks:
        return [title, *map(memory, peaks), "", f"{MUST_MEMORY:.2f}", "not measured"]
    share = peaks[1] / peaks[0]
    verdict = "ok" if share <= MUST_MEMORY else "missed"
    return [title, *map(memory, peaks), f"{share:.2f}", f"{MUST_MEMORY:.2f}", verdict]


def _floors(rows: Sequence[Row]) -> str:
    cells = []
    for row in rows:
        if row["floor_macs_s"] is not None:
            floors = (row["floor_macs_s"], row["floor_bytes_s"])
            share = f"{100 * max(floors) / row['latency_s']:.0f} %"
            cells.append([f"batch {row['batch']}", duration(row["latency_s"]), *map(duration, floors), share])
    header = ["against the floor", "time", "multiply-adds", "bytes", "higher floor / time"]
    return markdown(header, cells) if cells else ""


if __name__ == "__main__":
    from errseg.cli import main

    sys.exit(main(["benchmark", "--gpu-table", *sys.argv[1:]]))
