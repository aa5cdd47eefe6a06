"""Several systems in one run: each by its own protocol, and all by a common one (``errseg benchmark --systems``)."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from detectron2.config import CfgNode

from ..config import load_config
from ..errors import UsageError
from ..modeling import build_on_meta, system_of, systems
from .cases import make_cases
from .inputs import loaded_side
from .measure import Entry, measure_together
from .names import name_list
from .protocols import BOTH, NOTE, OWN, apply, common_keys, common_side, protocols_of
from .rows import Row, make_rows
from .tables import duration, heading, markdown, memory, number, spread

__all__ = ["PICTURE", "compare", "configurations", "systems_table"]

PICTURE = 640  # side of the drawn picture, in pixels, where loaders resize


def configurations(words: Sequence[str], opts: Sequence[Any], device: str) -> dict[str, CfgNode]:
    """The configurations of systems, by the name of the system or of the configuration.

    Args:
        words: names of systems, such as "err_seg", or configurations.
        opts: KEY VALUE pairs for each.
        device: MODEL.DEVICE.

    Raises:
        UsageError: there is no such system or configuration, or one is given twice.
    """
    known = {_plain(system.name): system for system in systems() if system.config}
    found: dict[str, CfgNode] = {}
    for word in words:
        system = known.get(_plain(word))
        if system is None and not ("/" in word or "_" in word or "." in word):
            raise UsageError(f"--systems has {word!r}; give some of {', '.join(known)}, or configurations.")
        name = system.name if system else word
        if name in found:
            raise UsageError(f"--systems has {word!r} twice; give each system once.")
        cfg = load_config(system.config if system else word, opts)
        cfg.MODEL.DEVICE = device
        found[name] = cfg
    return found


def compare(
    cfgs: Mapping[str, CfgNode],
    vocabularies: Sequence[str],
    repeats: int,
    precisions: Sequence[str] = ("fp32",),
    with_memory: bool = True,
    weights: Mapping[str, str] | None = None,
    files: Sequence[str] = (),
) -> list[Row]:
    """Measure predictions of one picture by several systems, which take turns.

    Args:
        cfgs: the configuration of each system, by name.
        vocabularies: as of ``errseg benchmark``.
        repeats: timed runs of each case.
        precisions: of the model.
        with_memory: measure peak memory.
        weights: a checkpoint of each system; without them, protocols whose work depends on the weights are left out.
        files: pictures as large as the loader makes them; empty: a drawn one of PICTURE x PICTURE.

    Returns:
        Rows of ``make_rows`` with "system", "protocol", "views", "view_side", "parameters", "over_first": the time over
        that of the first system with the same vocabulary and precision.

    Raises:
        UsageError: there is no such vocabulary.
    """
    common = common_keys(cfgs.values())
    resized = any(cfg.INPUT.MIN_SIZE_TEST for cfg in cfgs.values())
    picture = PICTURE if resized else common_side(cfgs.values())
    entries, protocols = [], []
    for name, own in cfgs.items():
        for protocol, keys in protocols_of(own, common).items():
            cfg = apply(own, keys)
            if system_of(cfg).varies(cfg) and not (weights and files):
                continue
            names = [name_list(label, None, cfg) for label in vocabularies]
            cases = make_cases("predict", "fast", precisions, names, [1], device=cfg.MODEL.DEVICE)
            cases = [replace(case, picture=picture) for case in cases]
            entries.append(Entry(f"{name}, {protocol}", cfg, cases, (weights or {}).get(name, ""), files))
            protocols.append((name, protocol))
    rows: list[Row] = []
    measured = measure_together(entries, repeats, with_memory)
    for entry, (name, protocol), results in zip(entries, protocols, measured, strict=True):
        model = build_on_meta(entry.cfg)
        side = loaded_side(entry.cfg, picture)
        views = model.views.of(side, side)
        about = {
            "system": name, "protocol": protocol, "views": len(views), "view_side": max(views[0].size),
            "parameters": sum(each.numel() for each in model.parameters()),
        }  # fmt: skip
        rows += [about | row for row in make_rows(results, entry.cfg)]
    for row in rows:
        row["over_first"] = _over_first(row, rows)
    return rows


def systems_table(rows: Sequence[Row]) -> str:
    """The rows as Markdown, below a line on machine and conditions."""
    cells = [
        [
            row["vocabulary"], row["system"], row["protocol"], row["precision"],
            f"{row['views']} × {row['view_side']}²", str(row["num_classes_kept"]),
            duration(row["latency_s"]) if row["latency_s"] else "out of memory", spread(row),
            number(row["over_first"], 2), number(row["gmacs"], 1), f"{row['parameters'] / 1e6:.1f} M",
            memory(row["peak_memory_mb"]),
        ]
        for row in sorted(rows, key=lambda row: (row["vocabulary"], row["protocol"] not in (OWN, BOTH)))
    ]  # fmt: skip
    header = [
        "vocabulary", "system", "protocol", "precision", "views", "K", "time", "range", "over the first", "GMAC",
        "parameters", "peak memory",
    ]  # fmt: skip
    note = f"{NOTE} The time over the first: that of the first system under the same kind of protocol is 1."
    return f"{heading(rows[0], 'one picture')}\n\n{markdown(header, cells, words=4)}\n\n{note}"


def _over_first(row: Row, rows: Sequence[Row]) -> float | None:
    """The time over that of the first system under its own protocol, or for the common protocol, under that."""
    same = [each for each in rows if each["system"] == rows[0]["system"]]
    same = [each for each in same if all(each[key] == row[key] for key in ("vocabulary", "precision"))]
    fitting = [each for each in same if each["protocol"] in (row["protocol"], BOTH)]
    first = (fitting or [each for each in same if each["protocol"] in (OWN, BOTH)])[0]
    return row["latency_s"] / first["latency_s"] if row["latency_s"] and first["latency_s"] else None


def _plain(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")
