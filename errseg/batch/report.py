"""The summary that a batch job prints at its end."""

import shlex
import sys
import unicodedata

from errseg.api import Result

from .places import outputs
from .run import Outcome, Settings

__all__ = ["classes_table", "counts", "summary"]

WIDEST = 48  # most columns of a name
ROWS = 30
VIEWERS = {"darwin": "open", "win32": "start"}


def counts(outcome: Outcome, out: object, listed: str = "") -> list[str]:
    """Lines with the number of inputs that are done, kept and failed, and with the folder of the outputs.

    Args:
        outcome: of the job.
        out: the folder.
        listed: the file in it that lists the inputs that failed; "": there is none.
    """
    lines = [f"done    {outcome.done}"]
    if outcome.kept:
        lines.append(f"kept    {outcome.kept} (done before; --overwrite does them again)")
    if outcome.problems:
        lines.append(f"failed  {len(outcome.problems)}" + (f" (listed in {listed})" if listed else ""))
    return [*lines, f"folder  {out}"]


def summary(outcome: Outcome, settings: Settings) -> str:
    """The counts of a job, the files that it wrote, and a command to view the outputs."""
    lines = counts(outcome, settings.out)
    lines += [f"wrote   {path}" for path in outcome.annotations]
    if outcome.annotations and any(source.is_video for source in outcome.places):
        lines.append("videos  are not in these annotations, which are of pictures")
    moved = [(source, place) for source, place in outcome.places.items() if place != source.place]
    for source, place in moved[:3]:
        lines.append(f"named   {source.path} is {place}, because another input has {source.place}")
    if len(moved) > 3:
        lines.append(f"named   {len(moved) - 3} more; predict.json has all places")
    if outcome.done + outcome.kept:
        lines.append(f"look    {_look(outcome, settings)}")
    return "\n".join(lines)


def classes_table(result: Result) -> str:
    """A table of the names in a picture, with shares and mean confidences, largest share first."""
    shown = result.classes[:ROWS]
    names = [_shorten(each.name) for each in shown]
    width = max(map(_columns, [*names, "name"]))
    lines = [f"{_pad('name', width)}   share   confidence"]
    for name, each in zip(names, shown, strict=True):
        share = f"{100 * each.share:.1f} %" if each.share >= 0.0005 else "< 0.1 %"
        lines.append(f"{_pad(name, width)}  {share:>7}        {each.score:.2f}")
    if len(result.classes) > ROWS:
        rest = result.classes[ROWS:]
        lines.append(f"and {len(rest)} more, {100 * sum(each.share for each in rest):.1f} %")
    return "\n".join(lines)


def _look(outcome: Outcome, settings: Settings) -> str:
    """The command that shows the overlay of a single input, or the output folder."""
    shown = settings.out
    if len(outcome.places) == 1 and "overlay" in settings.formats:
        ((source, place),) = outcome.places.items()
        shown = settings.out / outputs(place, source.is_video, ["overlay"])[0]
    return f"{VIEWERS.get(sys.platform, 'xdg-open')} {shlex.quote(str(shown))}"


def _columns(text: str) -> int:
    """The number of columns of a text in a terminal: a wide letter has two columns, and an accent none."""
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in text)
    return len(text) + wide - sum(unicodedata.combining(letter) > 0 for letter in text)


def _pad(text: str, width: int) -> str:
    return text + " " * (width - _columns(text))


def _shorten(text: str) -> str:
    if _columns(text) <= WIDEST:
        return text
    while _columns(text) >= WIDEST:
        text = text[: -max((_columns(text) - WIDEST) // 2, 1)]
    return f"{text.rstrip()}…"
