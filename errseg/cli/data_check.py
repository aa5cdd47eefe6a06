"""Check data sets on disk: files, sizes, ids, names; with a checksum to compare.

  errseg data check ade20k_150_test_sem_seg my.yaml --samples 8

Without SETS, checks every registered set that is on disk; sets that read the
same labels as the same ids are checked once. Exit status 1: a
problem that would change a score, such as a wrong number of images, a missing
or unreadable file, sizes that differ between image and label, an unknown id,
8-bit labels where 16 bits are needed, one id in all labels, or images that EXIF
rotates.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from errseg.errors import UsageError

from .options import add_out
from .parser import Parser

if TYPE_CHECKING:
    from errseg.data.check import DatasetReport


def add_arguments(parser: Parser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add("names", nargs="*", metavar="SETS", help="registered names or data-set files (*.yaml)")
    add("--root", metavar="DIR", help="folder of the registered sets (default: $DETECTRON2_DATASETS, or datasets)")
    add("--workers", type=int, metavar="N", help="processes that read files (default: one for each CPU)")
    add("--max-pixels", type=int, metavar="N", help="most pixels of a file, as INPUT.MAX_PIXELS")
    add("--samples", type=int, default=0, metavar="N", help="draw a contact sheet of N images of each set")
    add_out(parser, "output/check_datasets", "folder of the contact sheets", metavar="DIR")
    add("--json", type=Path, metavar="FILE", help="also write everything to this file")


def run(args: argparse.Namespace) -> int:
    """Check the requested sets; the exit status is 1 where one has a problem."""
    from errseg.config import MAX_PIXELS
    from errseg.data import register_all
    from errseg.data.check import check_dataset
    from errseg.mini import register_mini

    try:
        if args.root:
            register_all(args.root)
            register_mini(args.root)
        names, missing = choose(args.names)
        max_pixels = MAX_PIXELS if args.max_pixels is None else args.max_pixels
        reports = [check_dataset(name, args.workers, max_pixels) for name in names]
        print_reports(reports, missing)
        for report in reports:
            if args.samples > 0 and report.images:
                print(f"Samples: {draw(report.name, args.samples, args.out)}")
        if args.json:
            write_json(args.json, reports)
    except OSError as error:  # of --out and --json; errors of reading are in the reports
        print(f"{args.program}: cannot write: {error}; correct --out or --json.", file=sys.stderr)
        return 2
    return 1 if any(report.problems for report in reports) else 0


def choose(names: list[str]) -> tuple[list[str], list[str]]:
    """The sets to check, and the registered sets that are not on disk.

    Raises:
        UsageError: a requested set is unknown or not one of errseg's, or no set is on disk.
    """
    from detectron2.data import DatasetCatalog, MetadataCatalog

    from errseg.data import BENCHMARKS, register_dataset_files, require_dataset
    from errseg.mini import DATASET_NAMES

    register_dataset_files(names)
    for name in names:
        if name not in DatasetCatalog.list():
            require_dataset(name)  # its message lists the known sets
        if not MetadataCatalog.get(name).get("paper_name"):
            raise UsageError(
                f"{name} is not one of errseg's data sets; describe it in a YAML file, and give that file."
            )
    if names:
        return list(dict.fromkeys(names)), []
    there: list[str] = []
    missing: list[str] = []
    seen: list[tuple[object, ...]] = []  # sets that differ only in names or in their split give the same report
    for name in (*(row.name for row in BENCHMARKS), *DATASET_NAMES.values()):
        metadata = MetadataCatalog.get(name)
        folders = (metadata.image_root, metadata.sem_seg_root)
        content = (*folders, len(metadata.stuff_classes), metadata.label_map)
        if content in seen:
            continue
        seen.append(content)
        (there if all(Path(folder).is_dir() for folder in folders) else missing).append(name)
    if not there:
        raise UsageError(
            f"None of the registered sets is on disk; there is no {MetadataCatalog.get(missing[0]).image_root}; "
            "see datasets/README.md for how to get them, or give their folder with --root or DETECTRON2_DATASETS."
        )
    return there, missing


def print_reports(reports: "list[DatasetReport]", missing: list[str]) -> None:
    """Print a table, and below it a sentence for each problem and each note."""
    from tabulate import tabulate

    header = ["set", "images", "expected", "names", "seen", "ids", "ignored", "bits", "problems", "checksum"]
    print(tabulate([row_of(report) for report in reports], header, disable_numparse=True))
    for kind in ("problems", "notes"):
        sentences = [f"{report.name}: {sentence}" for report in reports for sentence in getattr(report, kind)]
        if sentences:
            print("\n".join([f"\n{kind.capitalize()}", *sentences]))
    if missing:
        print(f"\nNot there: {', '.join(missing)}")


def row_of(report: "DatasetReport") -> list[str]:
    """The cells of a report in the table."""
    seen = report.seen
    return [
        report.name,
        str(report.images),
        "" if report.expected is None else str(report.expected),
        str(report.num_classes),
        str(len(seen)),
        f"{seen[0]} to {seen[-1]}" if seen else "",
        f"{100 * report.ignored_share:.1f} %",
        ", ".join(map(str, sorted(report.bits))),
        str(len(report.problems)),
        report.checksum[:16],
    ]


def draw(name: str, count: int, folder: Path) -> Path:
    """Write the contact sheet of a data set; returns its path."""
    from PIL import Image

    from errseg.atomic import replacing
    from errseg.data import is_dataset_file
    from errseg.data.samples import contact_sheet

    path = folder / f"{Path(name).stem if is_dataset_file(name) else name}.png"
    with replacing(path) as temporary:
        Image.fromarray(contact_sheet(name, count)).save(temporary, format="PNG")
    return path


def write_json(path: Path, reports: "list[DatasetReport]") -> None:
    """Write the reports, by name."""
    from errseg.atomic import replacing

    content = {report.name: report.as_json() for report in reports}
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
