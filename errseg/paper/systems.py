"""Several systems side by side: their runs, and their scores, each by its own protocol and all by a common one."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from detectron2.config import CfgNode

from errseg.api import Segmenter, load
from errseg.benchmark.protocols import common_keys, common_side, protocols_of
from errseg.config import load_config
from errseg.config.settings import changed_settings, flatten
from errseg.errors import UsageError
from errseg.evaluation.paired import averaged
from errseg.ledger import in_words
from errseg.mini.ablate import FULL, folder_of
from errseg.mini.done import LEFT_OUT
from errseg.mini.run import default_output, mini_systems
from errseg.modeling import system_of

from .evaluated import evaluated
from .request import WEIGHTS, Request
from .sheet import Cell, cell_of

__all__ = [
    "OF_FILES",
    "Contender",
    "Scored",
    "contenders",
    "load_of",
    "protocol_note",
    "protocols",
    "score_of",
    "scored",
    "seeds_note",
    "side_by_side",
    "training_note",
]

SEED = "SEED"
PER_RUN = {SEED, "DATASETS.TEST", "TEST.EVAL_PERIOD"}  # keys that may differ between the runs of a system's seeds
OF_FILES = (".WEIGHTS", ".PRETRAINED")  # ends of keys whose values are files


class Contender(NamedTuple):
    """A system, or a model of it, in a comparison.

    Attributes:
        name: its name in tables.
        runs: a file of weights or the folder of a run, for each seed.
        cfg: the configuration of the first run.
    """

    name: str
    runs: tuple[str, ...]
    cfg: CfgNode


class Scored(NamedTuple):
    """The results of a contender by one protocol: for each data set, those of its runs."""

    name: str
    protocol: str
    results: dict[str, list[Mapping[str, Any]]]

    @property
    def label(self) -> str:
        """Its name in tables, such as "SED, own protocol"."""
        return f"{self.name}, {self.protocol}"


def contenders(request: Request) -> tuple[list[Contender], list[str]]:
    """The models of the checkpoints; without any on the mini world, those of its systems that have been run.

    Returns:
        The contenders, and notes about what is missing.

    Raises:
        UsageError: there is none; or the runs of a system's seeds differ in more than the seed.
    """
    if request.checkpoints:
        given = request.checkpoints.items()
        return [Contender(name, (path,), load_of(request, path).cfg) for name, path in given], []
    if not request.mini:
        raise UsageError(f"{request.command} needs weights; {WEIGHTS}.")
    found, notes = [], []
    for word, system in sorted(mini_systems().items(), key=lambda pair: (pair[1].name != FULL, pair[0])):
        runs = [run for seed in range(request.seeds) if (run := _run_of(request, system.name, word, seed))]
        if len(runs) < request.seeds:
            notes.append(_missing(request, system.name, word, len(runs)))
        if runs:
            cfgs = [load_config(str(run / "config.yaml"), request.opts) for run in runs]
            _check_alike(runs, cfgs)
            found.append(Contender(system.name, tuple(map(str, runs)), cfgs[0]))
    if not found:
        raise UsageError(f"{request.command} needs runs on the mini world, and there are none; {notes[0]}")
    return found, notes


def protocols(found: Sequence[Contender]) -> dict[str, dict[str, list[Any]]]:
    """The protocols of each contender: see ``errseg.benchmark.protocols``."""
    common = common_keys(each.cfg for each in found)
    return {each.name: protocols_of(each.cfg, common) for each in found}


def load_of(request: Request, run: str, keys: Sequence[Any] = ()) -> Segmenter:
    """The model of a run by some protocol: its keys come before those of the command line."""
    config, weights = (request.config, run) if request.config else (run, None)
    return load(config, weights, request.device, None, [*keys, *request.opts], False)


def scored(request: Request, found: Sequence[Contender], sets: Sequence[str]) -> Iterator[Scored]:
    """The evaluations of all contenders by each of their protocols; finished ones are read.

    Args:
        request: the request.
        found: the contenders.
        sets: registered names of data sets.
    """
    for each in found:
        for protocol, keys in protocols(found)[each.name].items():
            results: dict[str, list[Mapping[str, Any]]] = {name: [] for name in sets}
            for seed, run in enumerate(each.runs):
                segmenter = load_of(request, run, keys)
                folder = request.out / "evaluations" / each.name / (f"seed{seed}" if seed else "")
                folder = folder / protocol.replace(" ", "_") if keys else folder
                for name, result in evaluated(segmenter, sets, folder, Path(run)).items():
                    results[name].append(result)
            yield Scored(each.name, protocol, results)


def score_of(results: Sequence[Mapping[str, Any]]) -> Cell:
    """mIoU of one data set: of several seeds the mean, its deviation, and its interval over images."""
    cell = cell_of(results)
    interval = averaged(results).get("mIoU") if len(results) > 1 else None
    return cell if interval is None else cell._replace(low=interval.low, high=interval.high)


def training_note(found: Sequence[Contender]) -> str:
    """A sentence on the pictures that the training of each run has seen, over all of its stages."""
    counts = []
    for each in found:
        mini = system_of(each.cfg).mini
        cfgs = [*(load_config(config) for config in (mini.stages if mini else ())), each.cfg]
        steps = [f"{cfg.SOLVER.MAX_ITER} × {cfg.SOLVER.IMS_PER_BATCH}" for cfg in cfgs]
        counts.append(f"{each.name} {' + '.join(steps)}")
    return f"Training, steps × pictures: {', '.join(counts)}."


def side_by_side(request: Request) -> dict[str, Segmenter]:
    """The models of the first runs of all contenders, each by its own protocol.

    Raises:
        UsageError: see ``contenders``.
    """
    return {each.name: load_of(request, each.runs[0]) for each in contenders(request)[0]}


def seeds_note(found: Sequence[Contender]) -> str:
    """A sentence on what the spread of a cell is."""
    numbers = {len(each.runs) for each in found}
    if numbers == {1}:
        return "In brackets: the 95 % interval over images."
    seeds = ", ".join(f"{each.name} {len(each.runs)}" for each in found)
    return (
        "Mean ± standard deviation over seeds of the training; in brackets: the 95 % interval of the mean over images. "
        f"Seeds: {seeds}."
    )


def protocol_note(found: Sequence[Contender]) -> str:
    """Sentences on the protocols: what is equal in the common one, and what is not."""
    cfgs = [each.cfg for each in found]
    side = common_side(cfgs)
    return (
        f"Own protocol: that of the system's configuration. Common protocol: one view of the whole picture at {side} × "
        f"{side}, without windows, and without early rejection where a paper has it as an option. What belongs to a "
        "model stays: ERR-Seg keeps K names, and CAT-Seg aggregates at most MODEL.COST.MAX_CLASSES of them."
    )


def _run_of(request: Request, name: str, word: str, seed: int) -> Path | None:
    """The folder of a finished run of a system; None: there is none."""
    root = _root(request, word)
    places = [root / f"seed{seed}" / word, folder_of(root, name, seed)]
    places = places if seed else [root / word, *places]
    return next((place for place in places if (place / "model_final.pth").is_file()), None)


def _root(request: Request, word: str) -> Path:
    """The folder of a system's run: ``--runs`` takes the place of output/mini, such as in output/mini_sed."""
    mini = mini_systems()[word].mini
    default = default_output(mini).name if mini else ""
    return request.runs.with_name(request.runs.name + default.removeprefix("mini"))


def _missing(request: Request, name: str, word: str, number: int) -> str:
    root, seed = _root(request, word), number
    place = f"{root}/seed{seed}" if seed else f"{root}"
    option = f" --seed {seed}" if seed else ""
    there = f"{number} of {request.seeds} runs" if number else "no run"
    return f"{name} has {there}: errseg mini run {word} --out {place}{option} makes {'the next' if number else 'one'}."


def _check_alike(runs: Sequence[Path], cfgs: Sequence[CfgNode]) -> None:
    """Raise UsageError where runs of a system are not runs of one recipe with different seeds."""
    first, *others = (_recipe(cfg) for cfg in cfgs)
    for run, other in zip(runs[1:], others, strict=True):
        changes = in_words(changed_settings(first, other))
        if changes:
            raise UsageError(f"{runs[0]} and {run} are runs of different recipes ({changes}); give runs of one.")
    for i, cfg in enumerate(cfgs):
        for j in range(i):
            if cfg.SEED == cfgs[j].SEED:
                raise UsageError(f"{runs[j]} and {runs[i]} both have SEED {cfg.SEED}; run one with another --seed.")


def _recipe(cfg: CfgNode) -> dict[str, Any]:
    left_out = LEFT_OUT | PER_RUN
    return {key: value for key, value in flatten(cfg).items() if key not in left_out and not key.endswith(OF_FILES)}
