"""The tables that a benchmark prints, as Markdown."""

from collections.abc import Sequence

from tabulate import tabulate

from .rows import Row

WHAT = {
    "predict": "Prediction, text embeddings precomputed",
    "train": "One training step",
    "set_vocabulary": "Encoding the names of a vocabulary",
}


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]], words: int = 1) -> str:
    """A table: the first ``words`` columns are aligned left, the others, which are numbers, right."""
    sides = ["left"] * words + ["right"] * (len(header) - words)
    return tabulate(rows, header, tablefmt="pipe", colalign=sides, disable_numparse=True)


def report(rows: Sequence[Row]) -> str:
    """All tables of the rows, below a heading."""
    parts = [heading(rows[0]), main_table(rows), *compiled_notes(rows), parts_table(rows), floor_table(rows)]
    return "\n\n".join(part for part in parts if part)


def heading(row: Row, size: str | None = None) -> str:
    """A line that says what was measured, and on which machine.

    Args:
        row: of ``make_rows``.
        size: the size of the images in words; None: the row's test resolution.
    """
    size = f"{row['resolution']} × {row['resolution']}" if size is None else size
    size = "" if row["kind"] == "set_vocabulary" else f"; {size}"
    threads = "" if row["device"].startswith("cuda") else f", {count(row['threads'], 'thread')}"
    return (
        f"{WHAT[row['kind']]}{size}; {row['device_name']}{threads}, "
        f"torch {row['torch']}; median and range of {count(row['repeats'], 'run')}."
    )


def main_table(rows: Sequence[Row]) -> str:
    """Time, spread, ratio, multiply-adds, memory, images per second, agreement; empty columns are left out."""
    columns = {
        "vocabulary": [row["vocabulary"] for row in rows],
        "form": [form_of(row) for row in rows],
        "precision": [row["precision"] for row in rows],
        "names": [str(row["num_names"]) for row in rows],
        "K": ["auto: " * (row.get("auto_threshold") is not None) + str(row["num_classes_kept"]) for row in rows],
        "batch": [str(row["batch"]) for row in rows],
        "time": [duration(row["latency_s"]) if row["latency_s"] else "out of memory" for row in rows],
        "range": [spread(row) for row in rows],
        "times faster": [number(row["ratio"], 2) for row in rows],
        "over smallest": [number(row["latency_over_smallest"], 3) for row in rows],
        "GMAC": [number(row["gmacs"], 1) for row in rows],
        "ESCF GMAC": [number(row["escf_gmacs"], 1) for row in rows],
        "peak memory": [memory(row["peak_memory_mb"]) for row in rows],
        "images/s": [number(row["images_per_second"], 2) for row in rows],
        "agreement": [number(row["agreement"], 5) for row in rows],
        "encoding": [duration(row["set_vocabulary_s"]) for row in rows],
    }
    shown = {name: cells for name, cells in columns.items() if any(cells)}
    return markdown(list(shown), list(zip(*shown.values(), strict=True)), words=3)


def compiled_notes(rows: Sequence[Row]) -> list[str]:
    """A sentence for each compiled form that was slower than the same form uncompiled on a CPU, with the reason."""
    keys = ("form", "vocabulary", "precision", "batch", "kind", "encodes_names")
    uncompiled = {tuple(row.get(key) for key in keys): row["latency_s"] for row in rows if not row["compiled"]}
    notes = []
    for row in rows:
        before = uncompiled.get(tuple(row.get(key) for key in keys))
        on_cpu = row["compiled"] and not row["device"].startswith("cuda")
        if on_cpu and before and row["latency_s"] and row["latency_s"] > before:
            times = row["latency_s"] / before
            notes.append(
                f"{row['vocabulary']}, {row['precision']}: compiled, the model is {times:.2f} times slower here: a "
                "compiled model works on all sequences at once, which do not fit a CPU's cache; run it "
                "uncompiled on the CPU."
            )
    return notes


def parts_table(rows: Sequence[Row]) -> str:
    """The time of each part, and the floor as a share of that time; empty where there are no parts."""
    rows = [row for row in rows if row["parts_s"]]
    names = parts_of(rows)
    if not names:
        return ""
    cells = [[*label_of(row), *(_part(row, name) for name in names)] for row in rows]
    table = markdown(["vocabulary", "form", "precision", "batch", *names], cells, words=3)
    floors = any(row["floor_parts_s"] for row in rows)
    return f"{table}\n\nIn brackets: the floor's share of the time." if floors else table


def parts_of(rows: Sequence[Row]) -> list[str]:
    """The parts of the rows, in the order in which they run."""
    return list(dict.fromkeys(name for row in rows for name in row["parts_s"]))


def _part(row: Row, name: str) -> str:
    seconds, floors = row["parts_s"].get(name), row["floor_parts_s"].get(name)
    share = f" ({100 * max(floors) / seconds:.0f} %)" if floors and seconds else ""
    return f"{duration(seconds)}{share}"


def floor_table(rows: Sequence[Row]) -> str:
    """The time next to the floor, the least time that the work allows; empty where the floor is not known."""
    rows = [row for row in rows if row["floor_macs_s"] is not None and row["latency_s"]]
    if not rows:
        return ""
    cells = []
    for row in rows:
        floors = (row["floor_macs_s"], row["floor_bytes_s"])
        share = f"{100 * max(floors) / row['latency_s']:.0f} %"
        rates = [f"{row['tera_macs_per_s']:.3g} T/s", f"{row['gigabytes_per_s']:.3g} GB/s"]
        cells.append([*label_of(row), duration(row["latency_s"]), *map(duration, floors), share, *rates])
    header = ["vocabulary", "form", "precision", "batch", "time", "multiply-adds", "bytes", "higher / time"]
    table = markdown([*header, "matrix rate", "bandwidth"], cells, words=3)
    return f"{table}\n\nMultiply-adds, and bytes of every operation (uncompiled), at the rates measured here."


def label_of(row: Row) -> list[str]:
    """Vocabulary, form, precision, batch."""
    return [row["vocabulary"], form_of(row), row["precision"], str(row["batch"])]


def form_of(row: Row) -> str:
    """The form, whether it is compiled, and whether it encodes the names too."""
    how = ", compiled" if row["compiled"] else ", encoding the names" if row.get("encodes_names") else ""
    return f"{row['form']}{how}"


def spread(row: Row) -> str:
    """The fastest and the slowest run."""
    if not row["latency_s"]:
        return ""
    return f"{duration(row['latency_min_s'])} – {duration(row['latency_max_s'])}"


def duration(seconds: float | None) -> str:
    """A time with three digits and a unit."""
    if seconds is None:
        return ""
    unit, factor = ("s", 1.0) if seconds >= 1 else ("ms", 1e3) if seconds >= 1e-3 else ("µs", 1e6)
    value = seconds * factor
    return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f} {unit}"


def memory(megabytes: float | None) -> str:
    """Memory in MB, or in GB from 1 GB on."""
    if megabytes is None:
        return ""
    return f"{megabytes / 1e3:.2f} GB" if megabytes >= 1e3 else f"{megabytes:.0f} MB"


def number(value: float | None, digits: int) -> str:
    """A number with ``digits`` decimals; empty for None."""
    return "" if value is None else f"{value:.{digits}f}"


def count(amount: int, thing: str) -> str:
    """ "1 run", "2 runs"."""
    return f"{amount} {thing}{'' if amount == 1 else 's'}"
