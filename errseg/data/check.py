"""Check the files of a data set on disk: whether all of them are there, and whether their content is right."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

from detectron2.data import DatasetCatalog, MetadataCatalog

from errseg.config import MAX_PIXELS
from errseg.errors import UsageError

from .checksum import DataChecksum
from .findings import Findings
from .labels import LabelReader
from .pair import PairReport, look_at_pair
from .parallel import default_workers, parallel_map
from .vocabularies import equal_names, load_vocabulary, vocabulary_names

__all__ = ["DatasetReport", "check_dataset", "duplicate_names"]

Record = dict[str, str]

LARGEST_8_BIT_ID = 255  # that a label file of 8 bits can hold
SUSPICIOUS_SHARE = 0.01  # of class 255 among all pixels of a set whose ignore label is another id


@dataclass
class DatasetReport:
    """The result of checking a whole data set."""

    name: str
    paper_name: str
    domain: str
    num_classes: int
    expected: int | None  # images, where the number is known
    images: int = 0
    pixels: list[int] = field(default_factory=list)  # of each class
    ignored: int = 0  # pixels
    bits: dict[int, int] = field(default_factory=dict)  # label files of each depth
    bad_files: dict[str, int] = field(default_factory=dict)  # by kind of problem
    checksum: str = ""  # of the pairs without a problem
    problems: list[str] = field(default_factory=list)  # what changes a score, one sentence each
    notes: list[str] = field(default_factory=list)  # what is worth knowing, one sentence each

    @property
    def seen(self) -> list[int]:
        """The ids of the classes that occur in some label."""
        return [index for index, count in enumerate(self.pixels) if count]

    @property
    def ignored_share(self) -> float:
        """The share of ignored pixels among all pixels."""
        return self.ignored / max(self.ignored + sum(self.pixels), 1)

    def as_json(self) -> dict[str, Any]:
        """The whole report as plain data for a JSON file."""
        return {**asdict(self), "ignored_share": self.ignored_share, "seen": len(self.seen)}


def check_dataset(name: str, workers: int | None = None, max_pixels: int = MAX_PIXELS) -> DatasetReport:
    """Read every image and label of a registered data set.

    Args:
        name: registered name.
        workers: processes that read; None: one for each CPU.
        max_pixels: larger files are a problem.
    """
    metadata, reader = MetadataCatalog.get(name), LabelReader(name)
    report = DatasetReport(
        name,
        metadata.get("paper_name", name),
        metadata.get("domain", ""),
        reader.num_classes,
        metadata.get("num_images"),
    )
    _note_names(report, metadata.get("prompts", metadata.stuff_classes))
    try:
        records = DatasetCatalog.get(name)
    except UsageError as error:
        report.problems.append(str(error))
        return report
    look = partial(look_at_pair, reader, max_pixels=max_pixels)
    findings = Findings(reader, tuple(metadata.stuff_classes))
    _read_files(report, look, records, default_workers() if workers is None else workers, findings)
    if report.expected not in (None, len(records)):
        few = "too few" if len(records) < report.expected else "too many"
        report.problems.insert(
            0, f"There are {len(records)} labels, {few}: the whole set has {report.expected}; prepare it again."
        )
    return report


def duplicate_names(names: Sequence[str]) -> dict[str, list[int]]:
    """The first synonyms that several names share, with the ids of these names."""
    return {names[ids[0]].split(",")[0].strip(): ids for ids in equal_names(names)}


def _note_names(report: DatasetReport, names: Sequence[str]) -> None:
    duplicates = duplicate_names(names)
    if duplicates:
        later = sum(len(ids) - 1 for ids in duplicates.values())
        listed = ", ".join(f"{name} ({', '.join(map(str, ids))})" for name, ids in duplicates.items())
        published = tuple(names) in [load_vocabulary(name).prompts for name in vocabulary_names()]
        accepted = "the paper's rule accepts" if published else "training and evaluation refuse"
        report.notes.append(
            f"{later} of the {len(names)} names have the first synonym of an earlier one and can never win over it, "
            f"which {accepted}: {listed}."
        )


def _read_files(
    report: DatasetReport,
    look: Callable[[Record], PairReport],
    records: Sequence[Record],
    workers: int,
    findings: Findings,
) -> None:
    """Read every pair of files, and add the findings to the report."""
    checksum, reader = DataChecksum(), findings.reader
    first: dict[str, str] = {}
    for file in parallel_map(look, records, workers, report.name):
        findings.add(file)
        if file.problem:
            report.bad_files[file.kind] = report.bad_files.get(file.kind, 0) + 1
            first.setdefault(file.kind, file.problem)
        if file.bits:
            report.bits[file.bits] = report.bits.get(file.bits, 0) + 1
        if file.checksum:
            checksum.merge(DataChecksum(file.checksum))
    report.images, report.pixels, report.ignored = len(records), findings.pixels.tolist(), findings.ignored
    report.checksum = checksum.hexdigest() if checksum.num_images else ""
    for kind, sentence in first.items():
        count = report.bad_files[kind]
        report.problems.append(sentence + (f" It is the first of {count}." if count > 1 else ""))
    report.problems += [*findings.errors(), *findings.warnings()]
    if findings.turned():  # a data-set file can say how its labels are drawn
        (report.problems if reader.from_file else report.notes).append(findings.turned())
    _judge_depth(report, reader)
    _judge_ignored(report, reader)


def _judge_depth(report: DatasetReport, reader: LabelReader) -> None:
    if 8 in report.bits and reader.largest_id > LARGEST_8_BIT_ID:
        report.problems.append(
            f"{report.bits[8]} labels are 8-bit files, which cannot hold the ids of this set, up to "
            f"{reader.largest_id}; convert them again, to 16-bit PNG or TIFF."
        )


def _judge_ignored(report: DatasetReport, reader: LabelReader) -> None:
    """Find labels that mark ignored pixels with 255, as 8-bit files do, although 255 is a class of this set."""
    if report.expected is None or report.ignored or len(report.pixels) <= LARGEST_8_BIT_ID:
        return
    share = report.pixels[LARGEST_8_BIT_ID] / max(sum(report.pixels), 1)
    if share >= SUSPICIOUS_SHARE:
        report.problems.append(
            f"No pixel is ignored ({reader.ignore_label}), but {100 * share:.1f} % are of the class "
            f"{LARGEST_8_BIT_ID}, as happens where 255 was used as the ignore label; convert the labels again."
        )
