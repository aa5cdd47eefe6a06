"""Tables III and X and Fig. 1: latency, multiply-adds and memory, and mIoU over latency."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from errseg.benchmark.cases import make_cases
from errseg.benchmark.measure import measure
from errseg.benchmark.names import name_list
from errseg.benchmark.paper import TABLE3, TABLE3_VOCABULARIES, TABLE10
from errseg.benchmark.protocols import BOTH, NOTE, OWN
from errseg.benchmark.rows import make_rows
from errseg.benchmark.systems import compare, configurations
from errseg.benchmark.tables import heading
from errseg.config import load_config
from errseg.config.settings import flatten
from errseg.data.benchmarks import BENCHMARKS
from errseg.errors import UsageError, short
from errseg.evaluation.compare import load_run
from errseg.evaluation.report import write_json
from errseg.inspection.figures import add_caption, new_figure, plain_style, save_figure
from errseg.mini.ablate import FULL
from errseg.modeling import systems
from errseg.safe_files import read_json

from .ablations import cells_of
from .request import FIGURES, MINI, REAL, Request, title_of
from .runs import label_of, results_of
from .sheet import PAPER, Cell, Row, Sheet, cell_of
from .systems import OF_FILES, contenders, score_of, scored

__all__ = ["frames", "latency", "over_latency", "reductions"]

SPLIT_TITLES = {"coco_stuff_171": "COCO-Stuff 156/15", "voc_20": "VOC 15/5"}  # the names of DeOP's zero-shot sets
SPLIT_VOCABULARIES = tuple(SPLIT_TITLES)
MINI_VOCABULARIES = ("mini_large_sem_seg", "mini_seen_sem_seg")
TABLE10_ROWS = ("table10_none", "table10_ssr_only", "table10_csr_only", FULL)  # in the order of TABLE10
REPEATS = {"cpu": 5, "cuda": 30}
FILE = "systems.json"  # in the folder of the results: the rows of Table III


def latency(request: Request) -> Sheet:
    """Table III: time, multiply-adds, parameters and memory of several systems, by their own and a common protocol.

    All are measured in one run, and take turns. The rows are kept in ``FILE``, for Fig. 1.
    """
    vocabularies = MINI_VOCABULARIES if request.mini else TABLE3_VOCABULARIES
    device, missing, models = "cuda" if request.device == "cuda" else "cpu", [], []
    if request.mini or request.checkpoints:
        models, missing = contenders(request)
    if models:
        cfgs = {each.name: each.cfg.clone() for each in models}
    else:
        given = [request.config] if request.config else [system.config for system in systems() if system.config]
        cfgs = configurations(given, request.opts, device)
    for cfg in cfgs.values():
        cfg.defrost()
        cfg.MODEL.DEVICE = device
        _without_files(cfg)
    found = compare(cfgs, vocabularies, REPEATS[device])
    scores: dict[str, dict[str, Cell]] = {}
    if request.mini:
        for each in scored(request, models, [name for name in request.sets if name in vocabularies]):
            scores[each.label] = {title_of(name): score_of(x) for name, x in each.results.items()}
    for name, path in request.evaluations.items():
        results = load_run(path).results.values()
        scores |= {f"{name}, {x}": {r["paper_name"]: cell_of([r]) for r in results} for x in (OWN, BOTH)}
    ours: dict[str, dict[str, Cell]] = {}
    for row in found:
        label, title = f"{row['system']}, {row['protocol']}", _title(row["vocabulary"])
        cells = ours.setdefault(label, {"views": Cell(row["views"], 0), "side of a view": Cell(row["view_side"], 0)})
        time, score = row["latency_s"], scores.get(label, {}).get(title, Cell(None))  # None: out of memory
        cells |= {"parameters (M)": Cell(row["parameters"] / 1e6), f"{title} mIoU": score}
        cells |= {f"{title} ms": Cell(time and 1000 * time, 0), f"{title} GFLOPs": Cell(row["gmacs"])}
        cells |= {f"{title} MB": Cell(row["peak_memory_mb"], 0)}
        row["mIoU"] = score._asdict()
        row["paper_name"] = title
    write_json(request.out / FILE, found)
    rows = [Row(f"{each.name}{PAPER}", _method(each)) for each in TABLE3]
    rows += [Row(name, cells) for name, cells in ours.items()]
    titles = [_title(each) for each in vocabularies] + (["A-847", "A-150"] if request.mini else [])
    columns = ["views", "side of a view", "parameters (M)"]
    columns += [f"{title} {what}" for title in titles for what in ("ms", "GFLOPs", "MB", "mIoU")]
    columns = [name for name in columns if any(name in row.cells for row in rows)]
    notes = [heading(found[0], "one picture"), *missing]
    notes += ["GFLOPs are multiply-adds, as in the paper, of all views. Its latencies are of its own GPU."]
    notes.append(NOTE)
    if not scores:
        notes.append("Our mIoU is not measured here; --evaluation SYSTEM=evaluation.json adds it.")
    return Sheet("Table III: latency and multiply-adds", columns, rows, notes)


def frames(request: Request) -> Sheet:
    """DeOP's frames per second on its two zero-shot sets, in the three ways in which its function can be computed."""
    vocabularies = MINI_VOCABULARIES if request.mini else SPLIT_VOCABULARIES
    titles = [_title(name) if request.mini else SPLIT_TITLES[name] for name in vocabularies]
    measured = _measured(request, _config(request, "deop_vit_b16", "mini/deop_mini"), vocabularies, "both", names=True)
    ours: dict[str, dict[str, Cell]] = {}
    for row in measured:
        title = titles[vocabularies.index(row["vocabulary"])]
        way = f"{row['form']} form" + (", names encoded for every picture" if row["encodes_names"] else "")
        cells = {f"{title} FPS": Cell(row["images_per_second"], 2)}
        time = row["latency_s"]
        ours.setdefault(way, {}).update(cells | {f"{title} ms": Cell(time and 1000 * time, 0)})
    paper = [f"{title} FPS" for title in SPLIT_TITLES.values()]
    rows = [
        Row(f"{name}{PAPER}", {column: Cell(x, 2) for column, x in zip(paper, values, strict=True)})
        for name, values in FIGURES["DeOP"]["frames per second"]
    ]
    rows += [Row(way, cells) for way, cells in ours.items()]
    columns = [*(paper if request.mini else ()), *(f"{title} {what}" for title in titles for what in ("FPS", "ms"))]
    notes = [
        heading(measured[0], "one picture"),
        "The paper's figures are of its own GPU, and comparable with each other alone: its DeOP is 3.9 and 2.5 times "
        "as fast as SimBaseline. The plain form is the literal one. The authors' code encodes the names for every "
        "picture.",
    ]
    return Sheet("DeOP: frames per second", columns, rows, notes)


def reductions(request: Request) -> Sheet:
    """Table X: multiply-adds of ESCF, memory and mIoU with and without the sequence reductions."""
    vocabularies, rows, missing = MINI_VOCABULARIES[:1] if request.mini else TABLE3_VOCABULARIES[1:], [], []
    own = ("ESCF GFLOPs", "peak memory (MB)")
    for each, stem in zip(TABLE10, TABLE10_ROWS, strict=True):
        [row] = _measured(request, each.apply(_config(request)), vocabularies, "plain", memory=True)
        runs = results_of(request, stem)
        missing += [] if runs else [label_of(stem)]
        cells = {own[0]: Cell(row["escf_gmacs"]), own[1]: Cell(row["peak_memory_mb"], 0)}
        cells |= {f"GFLOPs{PAPER}": Cell(each.gflops), f"memory, GiB{PAPER}": Cell(each.gib)}
        label = " and ".join(name for name, on in (("SSR", each.ssr), ("CSR", each.csr)) if on)
        rows.append(Row(label or "neither", cells | cells_of(request, stem, runs)))
    columns = [*own, f"GFLOPs{PAPER}", f"memory, GiB{PAPER}", *(title_of(name) for name in request.sets)]
    columns += [name for row in rows for name in row.cells if name not in columns]
    notes = [
        "GFLOPs are multiply-adds of ESCF's layers, in the plain form, as the paper counts them. Memory is that of a "
        "process that predicts one image; the paper does not say which memory it means."
    ]
    if missing:
        notes.append(f"mIoU without training runs of: {'; '.join(missing)}. {request.command} --gpus N trains them.")
    return Sheet("Table X: sequence reductions", list(dict.fromkeys(columns)), rows, notes)


def over_latency(request: Request) -> Sheet:
    """Fig. 1: mIoU over latency, from files of evaluations and benchmarks of one name, or else from Table III's."""
    both = [name for name in request.evaluations if name in request.benchmarks]
    title = "mini large" if request.mini else "A-847"
    kept = request.out / FILE
    if not both and (not kept.is_file() or request.evaluations or request.benchmarks):
        raise UsageError(
            f"{request.command} needs an evaluation and a benchmark of one name: --evaluation NAME=evaluation.json "
            f"(errseg evaluate) and --benchmark NAME=rows.json (errseg benchmark --json); or {kept}, which "
            f"{request.command.replace('figure 1', 'table 3')} writes."
        )
    rows = [_point(request, name, title) for name in both] if both else _kept_points(kept, title)
    if not request.mini:
        rows += [Row(f"{x.name}{PAPER}", {"ms": Cell(x.a847[0], 0), "mIoU": Cell(x.a847[2])}) for x in TABLE3]
    notes = [f"On {title}. The paper's latencies are of its own GPU, and comparable with each other alone."]
    return Sheet(
        "Fig. 1: mIoU over latency", ["ms", "mIoU"], rows, notes, lambda path: _draw(path, rows, f"mIoU of {title} (%)")
    )


def _kept_points(path: Path, title: str) -> list[Row]:
    """The points of the rows that ``latency`` kept."""
    try:
        rows = [row for row in read_json(path, "file of Table III") if row["paper_name"] == title and row["latency_s"]]
        rows = [row for row in rows if row["mIoU"]["value"] is not None]
        points = [
            Row(
                f"{row['system']}, {row['protocol']}",
                {"ms": Cell(1000 * float(row["latency_s"]), 0), "mIoU": Cell(**row["mIoU"])},
            )
            for row in rows
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"{path} holds no rows of Table III ({short(error)}); make the table again.") from error
    if not points:
        raise UsageError(f"{path} has no mIoU of {title}; make Table III with --mini, or with --evaluation.")
    return points


def _point(request: Request, name: str, title: str) -> Row:
    """The fastest measured time of a benchmark's fast form, and the mIoU of an evaluation, on one data set."""
    path = request.benchmarks[name]
    rows = read_json(path, "benchmark file")
    try:
        times = [r["latency_s"] for r in rows if _title(r["vocabulary"]) == title and r["form"] == "fast"]
        time = min(1000 * float(each) for each in times if each)
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(
            f"{path} has no time of the fast form on {title} ({short(error)}); errseg benchmark --json measures it."
        ) from error
    results = load_run(request.evaluations[name]).results.values()
    score = next((x["mIoU"] for x in results if x["paper_name"] == title), None)
    if score is None:
        raise UsageError(f"{request.evaluations[name]} has no mIoU of {title}; errseg evaluate measures it.")
    return Row(name, {"ms": Cell(time, 0), "mIoU": Cell(score)})


def _draw(path: Path, rows: Sequence[Row], label: str) -> None:
    with plain_style([row.label for row in rows]):
        figure = new_figure(3.2, 4.6)
        axes, names = figure.subplots(), []
        for row in rows:
            x, y = row.cells["ms"].value, row.cells["mIoU"].value
            theirs = row.label.endswith(PAPER)
            cell, color = row.cells["mIoU"], "0.6" if theirs else "#d55e00"
            bars = None if cell.low is None else [[y - cell.low], [cell.high - y]]
            axes.errorbar(x, y, bars, fmt="o", ms=4, lw=0.8, capsize=2, color=color, zorder=3)
            name = axes.annotate(row.label, (x, y), (4, 4), textcoords="offset points", fontsize=6)
            names.append((name, x))
        axes.set(xscale="log", xlabel="latency (ms)", ylabel=label)
        axes.margins(0.18)
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        middle = math.sqrt(math.prod(axes.get_xlim()))
        for name, x in names:  # to the middle of the figure, so that none leaves it
            name.set(ha="left" if x <= middle else "right", position=(4 if x <= middle else -4, 4))
        axes.grid(alpha=0.3, which="both")
        axes.spines[["top", "right"]].set_visible(False)
        if any(row.cells["mIoU"].low is not None for row in rows):
            add_caption(figure, "Bars: the 95 % interval over images.")
        save_figure(figure, path)


def _config(request: Request, real: str = REAL, mini: str = MINI) -> CfgNode:
    cfg = load_config(request.config or (mini if request.mini else real), request.opts)
    cfg.MODEL.DEVICE = "cuda" if request.device == "cuda" else "cpu"
    return _without_files(cfg)


def _without_files(cfg: CfgNode) -> CfgNode:
    """The configuration without its weights, which change neither time nor multiply-adds."""
    cfg.merge_from_list([x for key in flatten(cfg) if key.endswith(OF_FILES) for x in (key, "")])
    return cfg


def _measured(
    request: Request, cfg: CfgNode, vocabularies: Sequence[str], form: str, memory: bool = False, names: bool = False
) -> list[dict[str, Any]]:
    lists = [name_list(label, None, cfg) for label in vocabularies]
    cases = make_cases("predict", form, ["fp32"], lists, [1], device=cfg.MODEL.DEVICE, encode_names=names)
    repeats = 1 if memory else REPEATS[cfg.MODEL.DEVICE]
    return make_rows(measure(cases, cfg, repeats, "", request.images, memory), cfg)


def _method(method: Any) -> Mapping[str, Cell]:
    cells: dict[str, Cell] = {}
    for title, (ms, flops, score) in (("A-847", method.a847), ("A-150", method.a150)):
        cells |= {f"{title} ms": Cell(ms, 0), f"{title} GFLOPs": Cell(flops, 0), f"{title} mIoU": Cell(score)}
    return cells


def _title(vocabulary: str) -> str:
    """The name in tables of the data set that a benchmark's vocabulary belongs to."""
    row = next((row for row in BENCHMARKS if row.vocabulary == vocabulary), None)
    return row.paper_name if row else title_of(vocabulary)
