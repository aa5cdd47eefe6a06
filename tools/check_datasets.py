"""Check that data sets are on disk as they should be: files, sizes, ids, names; with a checksum to compare machines by.

    python tools/check_datasets.py                                   # every registered set that is there
    python tools/check_datasets.py ade20k_150_test_sem_seg my.yaml --samples 8

Exit status 1 where something would change a score: a number of images that is not the whole set's, a missing or
unreadable file, sizes that disagree, an unknown id, an 8-bit label where 16 bits are due, masks of two values, one id
in all labels, speckled labels, images that EXIF turns.
"""

import argparse
import json
import sys
from pathlib import Path

from PIL import Image
from tabulate import tabulate

import errseg  # noqa: F401  makes detectron2 importable

# isort: split
from detectron2.data import DatasetCatalog, MetadataCatalog

from errseg.atomic import replacing
from errseg.config import MAX_PIXELS
from errseg.data import BENCHMARKS, is_dataset_file, register_all, register_dataset_files, require_dataset
from errseg.data.check import DatasetReport, check_dataset
from errseg.data.samples import contact_sheet
from errseg.errors import UsageError
from errseg.mini import DATASET_NAMES, register_mini


def main() -> int:
    """Check the sets asked for; the exit status is 1 where one has a problem."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="registered names or data-set files (*.yaml)")
    parser.add_argument("--root", help="folder of the registered sets (default: $DETECTRON2_DATASETS, or datasets)")
    parser.add_argument("--workers", type=int, help="processes that read files (default: one for each CPU)")
    bound = "of a file, as INPUT.MAX_PIXELS (default: %(default)s)"
    parser.add_argument("--max-pixels", type=int, default=MAX_PIXELS, metavar="N", help=bound)
    parser.add_argument("--samples", type=int, default=0, metavar="N", help="draw a contact sheet of N images per set")
    parser.add_argument("--out", type=Path, default=Path("output/check_datasets"), help="folder of the sheets")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there too")
    args = parser.parse_args()
    try:
        if args.root:
            register_all(args.root)
            register_mini(args.root)
        names, missing = choose(args.names)
        reports = [check_dataset(name, args.workers, args.max_pixels) for name in names]
        print_reports(reports, missing)
        for report in reports:
            if args.samples > 0 and report.images:
                print(f"Samples: {draw(report.name, args.samples, args.out)}")
        if args.json:
            write_json(args.json, reports)
    except UsageError as error:
        print(f"check_datasets.py: {error}", file=sys.stderr)
        return 2
    except OSError as error:  # of --out and --json: reading has sentences of its own
        print(f"check_datasets.py: cannot write: {error}; correct --out or --json.", file=sys.stderr)
        return 2
    return 1 if any(report.problems for report in reports) else 0


def choose(names: list[str]) -> tuple[list[str], list[str]]:
    """The sets to check, and those that are registered but not there.

    Raises:
        UsageError: one that is asked for is not known or not errseg's, or none is there.
    """
    register_dataset_files(names)
    for name in names:
        if name not in DatasetCatalog.list():
            require_dataset(name)  # says which there are
        if not MetadataCatalog.get(name).get("paper_name"):
            raise UsageError(f"{name} is none of errseg's data sets; describe it in a YAML file, and name that.")
    if names:
        return list(dict.fromkeys(names)), []
    there, missing = [], []
    for name in (*(row.name for row in BENCHMARKS), *DATASET_NAMES.values()):
        metadata = MetadataCatalog.get(name)
        folders = (metadata.image_root, metadata.sem_seg_root)
        (there if all(Path(folder).is_dir() for folder in folders) else missing).append(name)
    if not there:
        raise UsageError(
            f"None of the registered sets is there, not even {MetadataCatalog.get(missing[0]).image_root}; "
            "datasets/README.md says how to get them, and DETECTRON2_DATASETS or --root where they are."
        )
    return there, missing


def print_reports(reports: list[DatasetReport], missing: list[str]) -> None:
    """One table; below it a sentence for each problem and each note."""
    header = ["set", "images", "expected", "names", "seen", "ids", "ignored", "bits", "problems", "checksum"]
    print(tabulate([row_of(report) for report in reports], header, disable_numparse=True))
    for kind in ("problems", "notes"):
        sentences = [f"{report.name}: {sentence}" for report in reports for sentence in getattr(report, kind)]
        if sentences:
            print("\n".join([f"\n{kind.capitalize()}", *sentences]))
    if missing:
        print(f"\nNot there: {', '.join(missing)}")


def row_of(report: DatasetReport) -> list[str]:
    """A report's cells in the table."""
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
    path = folder / f"{Path(name).stem if is_dataset_file(name) else name}.png"
    with replacing(path) as temporary:
        Image.fromarray(contact_sheet(name, count)).save(temporary, format="PNG")
    return path


def write_json(path: Path, reports: list[DatasetReport]) -> None:
    """Write the reports, by name."""
    content = {report.name: report.as_json() for report in reports}
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
