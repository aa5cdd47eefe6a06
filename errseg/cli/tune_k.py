"""Find the threshold of a K that fits the image, and compare it with fixed K.

  errseg tune-k --weights output/run --dataset mini_large_sem_seg

The threshold is the number of CRM points per location from which a name is
kept: one for all vocabularies, with the best mIoU, the mean over the data sets
(and over the models, of several --weights). Of equal ones, that of fewer names
is taken. With --hold-out, every second image chooses it, and the table is of
the other images. The encoder sees each image once. Writes to --out: tune_k.md
and tune_k.json, and auto_k.yaml, the configuration with this threshold.
"""

import argparse
from collections.abc import Mapping, Sequence
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any

from errseg.errors import UsageError, short

from .options import add_config, add_device, add_out, add_precision, listed, model_of, positive
from .parser import Parser

if TYPE_CHECKING:
    from errseg.evaluation.tune_kept import Choice, Outcome

FIGURES = {"kept": ("kept", 1), "largest": ("largest", 0), "decoder_s": ("decoder, ms", 1)}  # over all data sets


def add_arguments(parser: Parser) -> None:
    """Declare the options."""
    add = parser.add_argument
    help = "checkpoints or the folders of runs, such as several seeds (default: the quickstart's model)"
    add("--weights", nargs="+", metavar="FILE", help=help)
    add_config(parser, help="a YAML file or the name of a packaged configuration (default: the one beside the weights)")
    add("--dataset", nargs="+", metavar="SET", help="validation data (default: DATASETS.TEST)")
    add("--thresholds", type=_numbers, metavar="X,…", help="points per location (default: 0.001 to 0.03)")
    add("--fixed", type=_whole_numbers, default=(), metavar="K,…", help="fixed K to compare with")
    add("--hold-out", action="store_true", help="choose by every second image, and measure on the others")
    add("--limit", type=positive, metavar="N", help="images of each data set (default: all)")
    add_device(parser)
    add_precision(parser)
    add_out(parser, "output/tune_k", metavar="DIR")


def run(args: argparse.Namespace) -> int:
    """Measure, print the table, write the files."""
    import logging

    from errseg.api import load
    from errseg.atomic import replacing
    from errseg.evaluation.report import write_json
    from errseg.evaluation.tune_kept import THRESHOLDS, best_threshold, choices_of, halves, measure_kept
    from errseg.failures import explained
    from errseg.modeling.num_kept import AUTO, AutoKept, as_plain

    logging.basicConfig(format="%(message)s", level=logging.ERROR)  # to stderr
    parts = halves(args.limit) if args.hold_out else (slice(args.limit),)
    choices, cfg = [], None
    runs: list[list[dict]] = [[] for _ in parts]  # of each part, for each model, the outcomes by data set
    for weights in args.weights or [None]:
        config, file = model_of(weights, args.config)
        segmenter = load(config, file, args.device, args.precision, args.opts, verbose=False)
        cfg = segmenter.cfg.clone() if cfg is None else cfg
        segmenter.model.chosen_kept(AUTO)  # refuses a model that keeps every name
        auto = segmenter.model.auto_kept or AutoKept()
        choices = choices_of(auto, args.thresholds or THRESHOLDS, args.fixed)
        names = args.dataset or list(segmenter.cfg.DATASETS.TEST)
        if not names:
            raise UsageError("DATASETS.TEST names no data set; give --dataset SET.")
        for part, some in zip(parts, runs, strict=True):
            some.append({each: measure_kept(segmenter.cfg, segmenter.model, each, choices, part) for each in names})
    best = best_threshold(choices, runs[0])
    text = f"{table(choices, runs[-1])}\n\n{summary(choices, runs, best)}"
    print(text)
    with explained(args.out):
        rows = [
            {"choice": choice.label, "K": None if choice.num_kept is None else as_plain(choice.num_kept)}
            | {
                key: [{name: outcomes[i].as_data() for name, outcomes in sets.items()} for sets in part]
                for key, part in zip(("runs",) if len(runs) == 1 else ("chosen_by", "runs"), runs, strict=True)
            }
            for i, choice in enumerate(choices)
        ]
        about = {"weights": args.weights, "best": as_plain(best), "held_out": args.hold_out}
        write_json(args.out / "tune_k.json", {**about, "rows": rows})
        for file, content in (("tune_k.md", text + "\n"), ("auto_k.yaml", _with_threshold(cfg, best.threshold))):
            with replacing(args.out / file) as temporary:
                temporary.write_text(content, encoding="utf-8")
            print(args.out / file)
    return 0


def table(choices: "Sequence[Choice]", runs: "Sequence[Mapping[str, Sequence[Outcome]]]") -> str:
    """A Markdown table: a row for each choice; of several models, mean ± standard deviation."""
    from tabulate import tabulate

    from errseg.paper.request import title_of

    names = list(runs[0])
    titles = [title_of(name) for name in names]
    header = ["", *(f"{title} {score}" for score in ("mIoU", "recall") for title in titles), "mean mIoU"]
    cells = []
    for place, choice in enumerate(choices):
        data = [{name: outcomes[place].as_data() for name, outcomes in sets.items()} for sets in runs]
        line = [choice.label]
        line += [_cell([sets[name][score] for sets in data], 1) for score in ("mIoU", "recall") for name in names]
        line.append(_cell([mean(each["mIoU"] for each in sets.values()) for sets in data], 2))
        for key, (_, digits) in FIGURES.items():
            values = [[each[key] for each in sets.values()] for sets in data]
            factor, over = (1000, mean) if key == "decoder_s" else (1, max if key == "largest" else mean)
            line.append(_cell([factor * over(some) for some in values], digits))
        cells.append(line)
    header += [title for title, _ in FIGURES.values()]
    align = ["left"] + ["right"] * (len(header) - 1)
    return tabulate(cells, header, tablefmt="pipe", colalign=align, disable_numparse=True)


def summary(choices: "Sequence[Choice]", runs: "Sequence[Sequence[Mapping[str, Sequence[Outcome]]]]", best: Any) -> str:
    """Sentences about the best threshold, and the best fixed K of each data set, chosen by the same images.

    Args:
        choices: the rows.
        runs: of the images that choose, and of the held-out images where there are any: see ``table``.
        best: the ``AutoKept`` with the threshold.
    """
    from errseg.modeling.num_kept import AutoKept
    from errseg.paper.request import title_of

    def score(part: "Sequence[Mapping[str, Sequence[Outcome]]]", name: str, place: int) -> float:
        return mean(sets[name][place].mIoU for sets in part)

    count = sum(isinstance(choice.num_kept, AutoKept) for choice in choices)
    where = "every second image, and the table is of the others" if len(runs) > 1 else "the images of the table"
    text = f"AUTO_THRESHOLD = {best.threshold:g} is the best of {count} thresholds by {where}."
    fixed = [place for place, choice in enumerate(choices) if isinstance(choice.num_kept, int)]
    chosen = next(place for place, choice in enumerate(choices) if choice.num_kept == best)
    if fixed:
        parts = []
        for name in runs[0][0]:
            place = max(fixed, key=lambda place: score(runs[0], name, place))
            difference = score(runs[-1], name, chosen) - score(runs[-1], name, place)
            parts.append(f"{title_of(name)} {difference:+.2f} ({choices[place].label})")
        text += f"\nIts mIoU against the best fixed K of each data set: {', '.join(parts)}."
    return text


def _cell(values: Sequence[float], digits: int) -> str:
    text = f"{mean(values):.{digits}f}"
    return text if len(values) == 1 else f"{text} ± {stdev(values):.{digits}f}"


def _with_threshold(cfg: Any, threshold: float) -> str:
    cfg.defrost()
    cfg.MODEL.CRM.NUM_CLASSES_TEST = "auto"
    cfg.MODEL.CRM.AUTO_THRESHOLD = threshold
    return cfg.dump()


def _numbers(text: str) -> list[float]:
    try:
        numbers = [float(word) for word in listed(text)]
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{short(text)!r} has a part that is no number") from error
    if not numbers or not all(0 <= number <= 2 for number in numbers):
        raise argparse.ArgumentTypeError(f"{short(text)!r} has no thresholds from 0 to 2")
    return numbers


def _whole_numbers(text: str) -> list[int]:
    return [positive(word) for word in listed(text)]
