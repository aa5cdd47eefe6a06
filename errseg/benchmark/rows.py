"""Turn results into rows of plain numbers and words, for JSON and for tables."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from detectron2.config import CfgNode

from ..modeling import system_of
from .cases import kept_classes
from .inputs import loaded_side
from .macs import count_macs, count_text_macs
from .measure import Result

Row = dict[str, Any]


def make_rows(results: Sequence[Result], cfg: CfgNode) -> list[Row]:
    """A row for each result, in the order of the results.

    Multiply-adds are in 10^9, times in seconds, memory in 10^6 bytes. ``auto_threshold`` is the threshold of a K that
    fits the image; ``num_classes_kept`` is then the largest of the batch (in training, its limit). ``gmacs`` is for one
    image; where names alone are encoded, for all of them, and where a prediction encodes them, with an image's share of
    them. ``ratio`` is the speed relative to the plain form in float32 with the same vocabulary and batch size, and
    precomputed text embeddings. ``latency_over_smallest`` is the time divided by that of the smallest vocabulary with
    the same K.
    """
    counts: dict[tuple, dict[str, float]] = {}
    machine = describe_machine(cfg.MODEL.DEVICE)
    rows = [_measured(result, cfg, counts) | machine for result in results]
    for row in rows:
        row["ratio"] = _ratio(_first(rows, row, _is_baseline), row)
        smallest = _first(sorted(rows, key=lambda each: each["num_names"]), row, _differs_in_names)
        if smallest is not None and smallest["num_names"] < row["num_names"]:
            row["latency_over_smallest"] = _ratio(row, smallest)
    return rows


def describe_machine(device: str) -> Row:
    """The machine and the software that the figures were measured with."""
    on_gpu = device.startswith("cuda")
    name = torch.cuda.get_device_name(device) if on_gpu else _cpu_name()
    return {"device": device, "device_name": name, "threads": torch.get_num_threads(), "torch": torch.__version__}


def _cpu_name() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return "CPU"


def _measured(result: Result, cfg: CfgNode, counts: dict[tuple, dict[str, float]]) -> Row:
    case, seconds = result.case, result.median
    row = {
        "kind": case.kind,
        "form": case.form,
        "compiled": case.compile_mode or None,
        "encodes_names": case.encode_names,
        "vocabulary": case.vocabulary.label,
        "num_names": len(case.vocabulary.names),
        "num_classes_kept": _kept(result, cfg),
        "auto_threshold": getattr(case.vocabulary.num_classes, "threshold", None),
        "precision": case.precision,
        "batch": case.batch,
        "resolution": cfg.INPUT.RESOLUTION_TRAIN if case.kind == "train" else cfg.INPUT.RESOLUTION_TEST,
        "latency_s": seconds,
        "latency_min_s": min(result.seconds, default=None),
        "latency_max_s": max(result.seconds, default=None),
        "repeats": len(result.seconds),
        "images_per_second": case.batch / seconds if seconds and case.kind != "set_vocabulary" else None,
        "ratio": None,
        "latency_over_smallest": None,
        **_macs(result, cfg, counts),
        "peak_memory_mb": result.peak_mb,
        "agreement": result.agreement,
        "agreement_with": result.reference,
        "set_vocabulary_s": result.encode_s,
        "parts_s": result.median_parts if result.parts else {},
    }
    return row | _floor(result)


def _macs(result: Result, cfg: CfgNode, counts: dict[tuple, dict[str, float]]) -> Row:
    case = result.case
    if case.kind != "predict" or system_of(cfg).varies(cfg):
        images = 1 if case.kind == "set_vocabulary" else case.batch
        gmacs = result.work.macs / 1e9 / images if result.work else None
        return {"gmacs": gmacs, "escf_gmacs": None, "decoder_gmacs": None}
    key = (case.form, len(case.vocabulary.names), _kept(result, cfg))
    if key not in counts:
        counts[key] = count_macs(cfg, key[1], key[2], key[0], loaded_side(cfg, case.picture))
    text = count_text_macs(cfg, case.vocabulary.names, case.form) / case.batch if case.encode_names else 0
    apart = {f"{each}_gmacs": counts[key].get(part) for each, part in (("escf", "escf_layers"), ("decoder", "decoder"))}
    return {"gmacs": counts[key]["total"] + text, **apart}


def _kept(result: Result, cfg: CfgNode) -> int:
    """The number of names that the decoder sees: of a K that fits the image, the largest of the batch."""
    return kept_classes(cfg, result.case.vocabulary) if result.kept is None else result.kept


def _floor(result: Result) -> Row:
    if result.work is None or result.rates is None:
        return {"floor_macs_s": None, "floor_bytes_s": None, "floor_parts_s": {}}
    rates = result.rates
    macs, moved = rates.floor(result.work)
    return {
        "floor_macs_s": macs,
        "floor_bytes_s": moved,
        "floor_parts_s": {name: rates.floor(work) for name, work in result.part_work.items()},
        "tera_macs_per_s": rates.macs / 1e12,
        "gigabytes_per_s": rates.bytes / 1e9,
    }


def _ratio(numerator: Row | None, denominator: Row) -> float | None:
    if numerator is None or not numerator["latency_s"] or not denominator["latency_s"]:
        return None
    return numerator["latency_s"] / denominator["latency_s"]


def _first(rows: Sequence[Row], row: Row, matches: Callable[[Row, Row], bool]) -> Row | None:
    return next((each for each in rows if matches(each, row)), None)


def _is_baseline(each: Row, row: Row) -> bool:
    keys = ("kind", "vocabulary", "num_classes_kept", "batch")
    is_plain = each["form"] == "plain" and each["precision"] == "fp32" and not each["encodes_names"]
    return is_plain and all(each[key] == row[key] for key in keys)


def _differs_in_names(each: Row, row: Row) -> bool:
    keys = ("kind", "form", "compiled", "encodes_names", "precision", "num_classes_kept", "batch")
    return row["kind"] == "predict" and all(each[key] == row[key] for key in keys)
