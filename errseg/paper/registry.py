"""The tables and figures, a record each: what it shows, what it needs, and what makes it."""

from collections.abc import Callable
from typing import NamedTuple

from detectron2.data import DatasetCatalog, MetadataCatalog
from tabulate import tabulate

from errseg.data.benchmarks import require_dataset
from errseg.errors import UsageError
from errseg.mini.ablate import folder_of

from .ablations import ablation, curve
from .pictures import alike_things, attention, few_things, panels, severance
from .request import Request
from .runs import rows_of
from .scores import SPLIT_SETS, at_kept, at_sizes, main_results, zero_shot
from .sheet import Sheet
from .speed import FILE, frames, latency, over_latency, reductions
from .words import redundancy, similarity

__all__ = ["ITEMS", "Item", "find", "lacks", "listing"]

ROMAN = ("I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII", "XIII", "XIV")
DATA, WEIGHTS, TOWER, RUNS, QUIET, PICTURES, FILES = (
    "data", "weights", "a text tower", "training runs", "a quiet machine", "pictures", "evaluations and benchmarks",
)  # fmt: skip

REMEDIES = {  # by the last words of what is missing
    "data sets": "errseg data prepare makes them; DETECTRON2_DATASETS is their folder",
    WEIGHTS: "--checkpoint NAME=FILE; the authors' are at huggingface.co/lchen1019/ERR-Seg",
    RUNS: "--gpus N trains them, into --runs",
    PICTURES: "--images FILE… --classes NAMES",
    FILES: "--evaluation NAME=evaluation.json --benchmark NAME=rows.json, of errseg evaluate and benchmark --json",
}


class Item(NamedTuple):
    """A table or a figure.

    Attributes:
        kind: "table" or "figure".
        number: as on the command line, such as "4" or "deop-1".
        content: what it shows.
        needs: words of the constants above.
        make: makes it.
        rows: the prefix of its rows' configuration files, where it needs training runs.
        sets: the paper names of its data sets where they are not the paper's five.
    """

    kind: str
    number: str
    content: str
    needs: tuple[str, ...]
    make: Callable[[Request], Sheet]
    rows: str = ""
    sets: tuple[str, ...] = ()

    @property
    def stem(self) -> str:
        """The stem of its files."""
        return f"{self.kind}_{self.number}"

    @property
    def label(self) -> str:
        """Its name in the paper, such as "Table IV"."""
        if self.number.isdigit():
            return f"Table {ROMAN[int(self.number) - 1]}" if self.kind == "table" else f"Fig. {self.number}"
        number = self.number.rpartition("-")[2]
        return f"DeOP, {'Fig.' if self.kind == 'figure' else 'table'} {number}" if number.isdigit() else "DeOP, table 1"


def _trained(number: int, content: str) -> Item:
    prefix, title = f"table{number}", f"Table {ROMAN[number - 1]}: {content}"
    return Item("table", str(number), content, (DATA, RUNS), ablation(prefix, title), prefix)


def _curve(number: int, key: str, content: str) -> Item:
    prefix = f"fig{number}"
    return Item("figure", str(number), content, (DATA, RUNS), curve(prefix, key, f"Fig. {number}: {content}"), prefix)


MAIN = "Table II: mIoU beside other methods"
CROSS = "DeOP: trained on COCO-Stuff-156, tested on other data sets"
ITEMS = (
    Item("table", "1", "classes per image and redundant classes", (DATA,), redundancy),
    Item("table", "2", "mIoU beside other methods", (DATA, WEIGHTS), main_results("ERR-Seg", "II", MAIN)),
    Item("table", "3", "latency and multiply-adds", (QUIET,), latency),
    Item("table", "4", "similarity of names with the training set's", (TOWER,), similarity),
    _trained(5, "without HSM, CRM, ESCF, GUD"),
    _trained(6, "what trains stage 4"),
    _trained(7, "top categories of a location"),
    _trained(8, "SFM, CFM, both"),
    _trained(9, "star operation"),
    Item("table", "10", "sequence reductions: multiply-adds, memory, mIoU", (QUIET, DATA, RUNS), reductions, "table10"),
    _trained(11, "guidance, its gradient, kernel size"),
    _trained(12, "architecture of CLIP"),
    Item("table", "13", "names kept at test", (DATA, WEIGHTS), at_kept),
    Item("table", "14", "size of the input at test", (DATA, WEIGHTS), at_sizes),
    Item("figure", "1", "mIoU over latency", (FILES,), over_latency),
    Item("figure", "2", "spatial attention with and without CRM", (DATA, WEIGHTS), attention),
    _curve(6, "MODEL.CRM.SCORE_COEFFICIENT", "score coefficient of CRM"),
    _curve(7, "MODEL.CRM.NUM_CLASSES_TRAIN", "names kept in training"),
    Item("figure", "8", "predictions on A-150 and A-847", (DATA, WEIGHTS), panels(8, "predictions", (2, 0))),
    Item("figure", "9", "one rare name in many styles", (PICTURES, WEIGHTS), panels(9, "a rare name", (), few_things)),
    Item("figure", "10", "names with attributes", (PICTURES, WEIGHTS), panels(10, "attributes", (), alike_things)),
    Item("table", "deop-1", "zero-shot splits", (DATA, WEIGHTS), zero_shot, sets=tuple(SPLIT_SETS)),
    Item("table", "deop-2", "transfer to other data sets", (DATA, WEIGHTS), main_results("DeOP", "cross-data", CROSS)),
    Item("table", "deop-fps", "frames per second", (QUIET,), frames),
    Item("figure", "deop-2", "patch severance", (DATA, WEIGHTS), severance),
)


def find(kind: str, number: str) -> Item:
    """The record of "table 4", "table IV" or "figure 2".

    Raises:
        UsageError: there is none.
    """
    wanted = number.lower()
    if kind == "table" and number.upper() in ROMAN:
        wanted = str(ROMAN.index(number.upper()) + 1)
    for item in ITEMS:
        if (item.kind, item.number) == (kind, wanted):
            return item
    known = ", ".join(item.number for item in ITEMS if item.kind == kind)
    raise UsageError(f"There is no {kind} {number!r}; give one of {known}. errseg paper lists them.")


def lacks(item: Item, request: Request) -> list[str]:
    """What an item needs and what is not there, such as "weights"; empty: it can be made."""
    checks = {DATA: _data, WEIGHTS: _weights, RUNS: _runs, PICTURES: _pictures, FILES: _files}
    needs = [need for need in item.needs if not request.mini or need == FILES]
    return [text for need in needs if need in checks for text in checks[need](item, request)]


def _data(item: Item, request: Request) -> list[str]:
    names = [name for name in DatasetCatalog.list() if MetadataCatalog.get(name).get("paper_name") in item.sets]
    names, missing = names or request.sets, 0
    if item.kind == "figure" and request.images:  # they take the place of the data sets' pictures
        return []
    for name in names:
        try:
            require_dataset(name)
        except UsageError:
            missing += 1
    return [f"{missing} of {len(names)} data sets"] if missing else []


def _weights(item: Item, request: Request) -> list[str]:
    return [] if request.checkpoints else [WEIGHTS]


def _runs(item: Item, request: Request) -> list[str]:
    places = [folder_of(request.runs, row, seed) for row in rows_of(item.rows) for seed in range(request.seeds)]
    missing = sum(not (place / "evaluation.json").is_file() for place in places)
    return [f"{missing} of {len(places)} training runs"] if missing else []


def _pictures(item: Item, request: Request) -> list[str]:
    return [] if request.images else [PICTURES]


def _files(item: Item, request: Request) -> list[str]:
    kept = (request.out / FILE).is_file()
    return [] if kept or request.evaluations.keys() & request.benchmarks.keys() else [FILES]


def listing(request: Request) -> str:
    """The items: command, name in the paper, content, what it needs, what is missing; and the remedies."""
    lines, missing = [], []
    for item in ITEMS:
        found = lacks(item, request)
        missing += found
        state = f"lacks {', '.join(found)}" if found else "ready"
        lines.append((f"{item.kind} {item.number}", item.label, item.content, ", ".join(item.needs), state))
    header = ("errseg paper …", "in the paper", "content", "needs", "state")
    table = tabulate(lines, header, tablefmt="plain", disable_numparse=True)
    remedies = [f"  {what}: {how}" for what, how in REMEDIES.items() if any(text.endswith(what) for text in missing)]
    return "\n".join([table, *([""] if remedies else []), *remedies])
