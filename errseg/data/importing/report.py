"""What an import says at its end: what is there, what overlapped, was dropped or is empty."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["build_report", "report_text"]

LISTED = 8  # lines of each kind on the screen; the JSON has all


def build_report(
    head: Mapping[str, Any],
    names: Sequence[str],
    rows: Mapping[str, Mapping[str, Any]],
    problems: Sequence[str],
    notes: Sequence[str],
) -> dict[str, Any]:
    """The whole report as plain data.

    Args:
        head: source, format and options.
        names: of the class ids.
        rows: of each picture that was imported, by its place, as :mod:`.paint` makes them.
        problems: a sentence for each picture that is left out.
        notes: what a user should know.
    """
    pixels, regions, pictures, pairs, pair_pictures = Counter(), Counter(), Counter(), Counter(), Counter()
    for row in rows.values():
        pixels.update({int(key): count for key, count in row["pixels"].items()})
        regions.update({int(key): count for key, count in row["regions"].items()})
        pictures.update(int(key) for key in row["pixels"])
        for over, under, count in row["overlaps"]:
            pairs[(over, under)] += count
            pair_pictures[(over, under)] += 1

    def name_of(index: int) -> str:
        return names[index] if 0 <= index < len(names) else "(ignored)"

    total = sum(pixels.values())
    return {
        **head,
        "pictures": len(rows),
        "left_out": list(problems),
        "notes": list(notes),
        "classes": [
            {"id": i, "name": name, "regions": regions[i], "pictures": pictures[i], "pixels": pixels[i]}
            for i, name in enumerate(names)
        ],
        "names_without_pixels": [name for i, name in enumerate(names) if not pixels[i]],
        "ignored_share": sum(count for i, count in pixels.items() if i >= len(names)) / max(total, 1),
        "overlaps": [
            {"over": name_of(over), "under": name_of(under), "pixels": count, "pictures": pair_pictures[over, under]}
            for (over, under), count in pairs.most_common()
        ],
        "overlapped_pixels": sum(row["several"] for row in rows.values()),
        "empty_pictures": [place for place, row in rows.items() if not row["regions"]],
        "dropped_regions": [
            {"picture": place, "name": name, "reason": reason}
            for place, row in rows.items()
            for name, reason in row["dropped"]
        ],
        "hidden_regions": [{"picture": place, "name": name} for place, row in rows.items() for name in row["hidden"]],
    }


def report_text(report: Mapping[str, Any]) -> str:
    """The report for a terminal: a table of the classes, and a paragraph for each thing worth knowing."""
    from tabulate import tabulate

    total = sum(each["pixels"] for each in report["classes"])
    table = [
        [str(c["id"]), c["name"], str(c["regions"]), str(c["pictures"]), f"{100 * c['pixels'] / max(total, 1):.2f} %"]
        for c in report["classes"]
    ]
    header = ["id", "name", "regions", "pictures", "of labelled pixels"]
    right = ("right", "left", "right", "right", "right")
    parts = [tabulate(table, header, disable_numparse=True, colalign=right if table else None)]
    counts = f"{report['pictures']} pictures, {100 * report['ignored_share']:.1f} % of their pixels ignored"
    parts.append(f"{counts}. Overlaps: the {report['overlap']} region wins.")
    overlaps = [
        f"{o['over']} over {o['under']}: {o['pixels']} pixels in {o['pictures']} pictures" for o in report["overlaps"]
    ]
    several = report["overlapped_pixels"]
    _add(parts, f"Overlapped: {several} pixels are in regions of several classes", overlaps)
    dropped = Counter((each["name"], each["reason"]) for each in report["dropped_regions"])
    lines = [
        f"{name}: {reason}" + (f" ({count} times)" if count > 1 else "")
        for (name, reason), count in dropped.most_common()
    ]
    _add(parts, f"Dropped: {len(report['dropped_regions'])} regions", lines)
    hidden = Counter(each["name"] for each in report["hidden_regions"])
    _add(
        parts,
        f"Hidden: {len(report['hidden_regions'])} regions lie below others",
        [f"{n}: {c}" for n, c in hidden.most_common()],
    )
    _add(parts, f"Empty: {len(report['empty_pictures'])} pictures have no region", report["empty_pictures"])
    without = report["names_without_pixels"]
    _add(parts, f"Without a pixel: {len(without)} of {len(report['classes'])} names", without)
    _add(parts, f"Left out: {len(report['left_out'])} pictures", report["left_out"])
    parts += report["notes"]
    return "\n\n".join(parts)


def _add(parts: list[str], title: str, lines: Sequence[str]) -> None:
    if lines:
        more = [f"  and {len(lines) - LISTED} more, see report.json"] if len(lines) > LISTED else []
        parts.append("\n".join([f"{title}:", *(f"  {line}" for line in lines[:LISTED]), *more]))
