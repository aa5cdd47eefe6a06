"""Compare two evaluations: the differences in scores and class IoUs, and warnings where they are not comparable."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tabulate import tabulate

from errseg.config.settings import changed_settings, decides_scores, flatten, is_of_model_or_data
from errseg.errors import UsageError, short
from errseg.modeling import systems
from errseg.safe_files import read_json

from .metrics import INTEREST_SCORES, REGION_SCORES, SCORES, SPLIT_SCORES, shown_scores
from .paired import Spread, are_intervals, paired, span, verdict
from .report import place_of

__all__ = ["Run", "changed_keys", "class_table", "compare", "load_run", "score_table", "warnings_of"]

FILE = "evaluation.json"
# Sections and keys that belong to the measurement, not to the model; keys that only training reads do not count
TEST_SECTIONS = ("TEST.", "INPUT.", "MODEL.PROMPT.", "MODEL.PRECISION")  # and the systems' test_keys
TRAINING_DATA = "DATASETS.TRAIN"
Result = Mapping[str, Any]


class Run(NamedTuple):
    """The content of the file of an evaluation."""

    path: Path
    results: dict[str, Result]  # by registered name
    settings: dict[str, Any]  # the configuration by dotted keys; empty where the file has none
    versions: dict[str, str]
    weights: dict[str, Any]
    date: str


def load_run(path: Path) -> Run:
    """Read an evaluation.

    Args:
        path: an ``evaluation.json``, or the folder that holds it.

    Raises:
        UsageError: there is no such file, or it is no evaluation.
    """
    file = path / FILE if os.path.isdir(path) else path
    if not os.path.isfile(file):  # os.path raises no error for a path that is too long
        raise UsageError(f"{file} does not exist; give an {FILE}, or the OUTPUT_DIR of an evaluation.")
    try:
        content = read_json(file, "evaluation")
        wrong = _what_is_wrong(content)
        settings = {} if wrong else flatten(content.get("config") or {})
    except RecursionError:
        wrong = "its config nests its values too deeply"
    except UsageError as error:
        wrong = str(error).rstrip(".")
    if wrong:
        raise UsageError(f"{file} is no evaluation of errseg ({wrong}); evaluate again.")
    versions, weights = (content.get(key) or {} for key in ("versions", "weights"))
    return Run(file, content["results"], settings, versions, weights, str(content.get("date", "no date")))


def _what_is_wrong(content: Any) -> str:
    """Why the content of a file is no evaluation; "" where it is one."""
    if not isinstance(content, dict) or not _is_mapping_of(content.get("results"), dict):
        return "it has no results by data set"
    for name, result in content["results"].items():
        if REGION_SCORES[0] in result:
            return f"{short(name)} has the accuracy of regions, which is no score of label maps"
        scores, classes, iou = [result.get(key, ...) for key in SCORES], result.get("classes"), result.get("iou")
        if not isinstance(result.get("paper_name"), str) or not isinstance(result.get("checksum", ""), str):
            return f"the paper_name or the checksum of {short(name)} is no text"
        if not isinstance(classes, list) or not all(isinstance(each, str) for each in classes):
            return f"the classes of {short(name)} are no list of names"
        if not isinstance(iou, list) or len(iou) != len(classes):
            return f"{short(name)} does not have one IoU for each class"
        split = [result.get(key) for key in (*SPLIT_SCORES, *INTEREST_SCORES)]
        if not all(_is_number_or_none(each) for each in scores + split + iou):
            return f"{short(name)} lacks scores"
        if not are_intervals(result.get("intervals") or {}):
            return f"the intervals of {short(name)} are no pairs of percentages"
    for key in ("config", "versions", "weights"):
        if not isinstance(content.get(key) or {}, dict):
            return f"its {key} is no mapping"
    weights = content.get("weights") or {}
    if not isinstance(weights.get("state_sha256") or "", str):
        return "the state_sha256 of its weights is no text"
    return ""


def _is_mapping_of(value: Any, kind: type) -> bool:
    return isinstance(value, dict) and all(isinstance(each, kind) for each in value.values())


def _is_number_or_none(value: Any) -> bool:
    """Whether a value is a score in percent, or None (no score)."""
    return value is None or (type(value) in (int, float) and 0 <= value <= 100)


def compare(a: Run, b: Run, top: int) -> str:
    """The whole comparison as text.

    Args:
        a, b: two runs; a difference is ``b``'s value minus ``a``'s.
        top: for each data set, how many classes with the largest losses and with the largest gains; 0: all classes.

    Raises:
        UsageError: the runs have no data set in common.
    """
    names = [name for name in a.results if name in b.results]
    if not names:
        raise UsageError(
            f"{a.path} and {b.path} have no data set in common ({', '.join(a.results) or 'none'}; "
            f"{', '.join(b.results) or 'none'}); evaluate both on one."
        )
    names.sort(key=lambda name: place_of(a.results[name]))
    blocks = [_headline("A", a) + "\n" + _headline("B", b)]
    warnings = warnings_of(a, b)
    if warnings:
        blocks.append("\n".join(f"WARNING: {warning}" for warning in warnings))
    changes = [f"{key}: {old!r} -> {new!r}" for key, (old, new) in changed_keys(a, b).items()]
    if changes:
        blocks.append("\n".join(["The configurations differ in:", *(f"  {change}" for change in changes)]))
    spreads = {name: paired(a.results[name], b.results[name]) for name in names}
    blocks.append(score_table(a, b, names, spreads))
    blocks.append("\n".join(verdict(a.results[name], b.results[name], spreads[name]) for name in names))
    for name in names:
        if a.results[name]["classes"] == b.results[name]["classes"]:
            blocks.append(class_table(a.results[name], b.results[name], top))
    return "\n\n".join(blocks)


def warnings_of(a: Run, b: Run) -> list[str]:
    """Reasons, other than the model, why the scores of two runs may differ."""
    found = []
    of_test = TEST_SECTIONS + tuple(key for system in systems() for key in system.test_keys)
    for key, (old, new) in changed_keys(a, b).items():
        if key.startswith(of_test) and decides_scores(key):
            found.append(f"the test option {key} is {old!r} in A and {new!r} in B.")
    if not a.settings or not b.settings:
        found.append(f"{(b if a.settings else a).path} holds no configuration; evaluate again to compare it.")
    for name in sorted(a.results.keys() ^ b.results.keys()):
        found.append(f"{name} is only in {'A' if name in a.results else 'B'}.")
    for name in filter(b.results.get, a.results):
        found += _data_warnings(a.results[name], b.results[name])
    return found


def changed_keys(a: Run, b: Run) -> dict[str, tuple[Any, Any]]:
    """The keys of model, test and training data in which the runs differ, with both values."""
    if not a.settings or not b.settings:
        return {}
    old, new = (
        {key: value for key, value in run.settings.items() if is_of_model_or_data(key) or key == TRAINING_DATA}
        for run in (a, b)
    )
    return changed_settings(old, new)


def score_table(a: Run, b: Run, names: list[str], spreads: Mapping[str, Spread]) -> str:
    """A Markdown table: for each score the rows A, B, difference and its interval; a column for each data set."""
    rows = []
    for score in shown_scores(run.results[name] for run in (a, b) for name in names):
        pairs = [(a.results[name].get(score), b.results[name].get(score)) for name in names]
        rows.append([f"{score} A", *(_number(old) for old, _ in pairs)])
        rows.append([f"{score} B", *(_number(new) for _, new in pairs)])
        rows.append(["difference", *(_difference(*pair) for pair in pairs)])
        bounds = [spreads[name].get(score) for name in names]
        if any(bounds):
            rows.append(["95 % interval", *("–" if each is None else span(each) for each in bounds)])
    header = ["", *(a.results[name]["paper_name"] for name in names)]
    return tabulate(rows, header, tablefmt="pipe", stralign="right", disable_numparse=True)


def class_table(a: Result, b: Result, top: int) -> str:
    """A Markdown table of the classes whose IoU differs, from the largest loss to the largest gain."""
    rows = []
    for i, (name, old, new) in enumerate(zip(a["classes"], a["iou"], b["iou"], strict=True)):
        if old is not None and new is not None and old != new:
            rows.append((new - old, i, name, old, new))
    rows.sort(key=lambda row: row[:2])
    title = f"{a['paper_name']}: {len(rows)} of {len(a['classes'])} classes differ in IoU"
    if not rows:
        return f"{title}."
    if top and len(rows) > 2 * top:
        title += f"; the {top} largest losses and the {top} largest gains"
        rows = rows[:top] + rows[-top:]
    cells = [[i, name, _number(old), _number(new), f"{difference:+.2f}"] for difference, i, name, old, new in rows]
    align = ("right", "left", "right", "right", "right")
    header = ("id", "name", "A", "B", "difference")
    return f"{title}\n\n" + tabulate(cells, header, tablefmt="pipe", colalign=align, disable_numparse=True)


def _data_warnings(a: Result, b: Result) -> list[str]:
    """The differences between the data of one data set in two evaluations."""
    name, found = a["paper_name"], []
    if a["classes"] != b["classes"]:
        found.append(
            f"{name}: the vocabularies differ ({len(a['classes'])} names in A, {len(b['classes'])} in B), "
            "so that the classes are not compared."
        )
    if a.get("num_classes_test") != b.get("num_classes_test"):
        found.append(f"{name}: K is {a.get('num_classes_test')} in A and {b.get('num_classes_test')} in B.")
    if a.get("unseen") != b.get("unseen"):
        counts = [len(x["unseen"]) if isinstance(x.get("unseen"), list) else "no" for x in (a, b)]
        found.append(f"{name}: the unseen classes differ ({counts[0]} classes in A, {counts[1]} in B).")
    if (a.get("classes_of_interest") or []) != (b.get("classes_of_interest") or []):
        found.append(f"{name}: the classes of interest differ, and so CoI-mIoU and CoI-mACC are over other classes.")
    if "checksum" not in a or "checksum" not in b:
        found.append(f"{name}: a file without checksum cannot tell whether the data are the same.")
    elif a["checksum"] != b["checksum"]:
        found.append(
            f"{name}: the data differ: {a.get('images')} images of checksum {a['checksum'][:12]} in A, "
            f"{b.get('images')} of {b['checksum'][:12]} in B; errseg data check tells which are right."
        )
    return found


def _headline(letter: str, run: Run) -> str:
    digest = run.weights.get("state_sha256")
    weights = f"weights {digest[:12]} ({run.weights.get('file') or 'no file'})" if digest else "weights not recorded"
    versions = ", ".join(f"{name} {run.versions[name]}" for name in ("torch", "detectron2") if name in run.versions)
    return f"{letter}: {run.path}, {run.date}, {weights}" + (f", {versions}" if versions else "")


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _difference(old: float | None, new: float | None) -> str:
    return "–" if old is None or new is None else f"{new - old:+.2f}"
