"""The model card of a saved model: the hub's metadata, data, recipe, scores, licence, citation, and how to load it."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from huggingface_hub import EvalResult, ModelCardData

from errseg.errors import UsageError, short
from errseg.evaluation.metrics import shown_scores
from errseg.evaluation.report import place_of
from errseg.safe_files import parse_yaml, read_bytes

__all__ = ["CARD", "Facts", "card_of", "is_card"]

CARD = "README.md"
LIBRARY = "errseg"
LARGEST = 4 << 20  # bytes of a card
ORIGINS = {  # by the origin of the weights
    "run": "The weights are `{file}` of a training run of errseg.",
    "released": "The weights are those that the authors released as `{file}`, under errseg's names. errseg did not "
    "train them, and this card does not know their recipe; it is in the paper.",
    "unknown": "Where the weights come from is not recorded{of}.",
}


class Facts(NamedTuple):
    """What a card tells."""

    system: str  # the name in its paper
    citation: str  # BibTeX
    parameters: int
    config: dict[str, Any]  # the configuration that is saved
    origin: str  # a key of ORIGINS
    file: str  # the first file of the weights; "" where it is not known
    measured: dict[str, Any] | None  # the content of the evaluation.json of these weights
    left_out: bool  # there was an evaluation, but of other weights


def is_card(path: Path) -> bool:
    """Whether a file is a model card that names errseg as its library."""
    try:
        lines = read_bytes(path, "model card", LARGEST).decode("utf-8").splitlines()
        block = lines[1 : lines.index("---", 1)] if lines[:1] == ["---"] else []
        content = parse_yaml("\n".join(block), str(path))
    except (UsageError, ValueError):
        return False
    return isinstance(content, dict) and content.get("library_name") == LIBRARY


def card_of(facts: Facts, digest: str, license: str | None, name: str) -> str:
    """The text of a card, in Markdown.

    Args:
        facts: about the model.
        digest: SHA-256 of the weights' file.
        license: the id of the licence of the weights; None: not known.
        name: the id on the hub, or the name of the folder.
    """
    results = _results(facts.measured)
    parts = [
        f"---\n{_metadata(facts, results, license, name)}\n---",
        f"# {name.rpartition('/')[2]}",
        f"{facts.system}, a model for open-vocabulary semantic segmentation, saved by errseg: it labels every pixel of "
        "a picture with one of the names that you give.",
        "## How to load it",
        _usage(name),
        "## Model",
        _table(_model(facts)),
        "## Training",
        _training(facts),
        "## Results",
        _scores(facts, results),
        "## Files",
        f"SHA-256 of `model.safetensors`: `{digest}`. `config.yaml` is the configuration, and `preprocessing.json` "
        "tells how pictures are resized and normalised.",
        "## Licence",
        f"The weights: {license}."
        if license
        else "The licence of the weights is not known to this card. Ask whoever published them before you use them.",
        "The licences of the training data and of the CLIP weights that training began with apply too.",
        "## Citation",
        f"```bibtex\n{facts.citation.rstrip()}\n```" if facts.citation else f"Cite the paper of {facts.system}.",
    ]
    return "\n\n".join(parts) + "\n"


def _metadata(facts: Facts, results: Mapping[str, Any], license: str | None, name: str) -> str:
    """The hub's metadata block, in YAML."""
    scores = [
        EvalResult(
            task_type="image-segmentation",
            task_name="Open-vocabulary semantic segmentation",
            dataset_type=each,
            dataset_name=str(result["paper_name"]),
            metric_type="mean_iou",
            metric_name="mIoU",
            metric_value=round(result["mIoU"], 2),
        )
        for each, result in results.items()
        if isinstance(result.get("mIoU"), (int, float))
    ]
    data = ModelCardData(
        library_name=LIBRARY,
        pipeline_tag="image-segmentation",
        license=license,
        tags=["semantic-segmentation", "open-vocabulary", facts.system.lower()],
        model_name=name.rpartition("/")[2] if scores else None,
        eval_results=scores or None,
    )
    return data.to_yaml().rstrip()


def _usage(name: str) -> str:
    return (
        "```python\nimport errseg\n\n"
        f'model = errseg.load("{name}")  # an id on the hub, or the path of this folder\n'
        'model.set_vocabulary(["dog", "grass", "sky, heaven"])\n'
        'result = model("photo.jpg")\nresult.plot().save("overlay.png")\n```'
    )


def _model(facts: Facts) -> Iterator[tuple[str, Any]]:
    model, inputs = facts.config["MODEL"], facts.config["INPUT"]
    yield "system", facts.system
    yield "CLIP", f"`{model['CLIP']['NAME']}` (open_clip)"
    yield "parameters", f"{facts.parameters / 1e6:.1f} million"
    yield (
        "resolution at test",
        f"`INPUT.RESOLUTION_TEST` {inputs['RESOLUTION_TEST']}, `INPUT.MIN_SIZE_TEST` " + str(inputs["MIN_SIZE_TEST"]),
    )


def _training(facts: Facts) -> str:
    said = ORIGINS[facts.origin].format(file=facts.file, of=f"; their file was `{facts.file}`" if facts.file else "")
    return f"{said}\n\n{_table(_recipe(facts.config))}" if facts.origin == "run" else said


def _recipe(config: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    solver, inputs = config["SOLVER"], config["INPUT"]
    yield "data", ", ".join(f"`{name}`" for name in config["DATASETS"]["TRAIN"])
    yield "length", f"at most {solver['MAX_ITER']} iterations of {solver['IMS_PER_BATCH']} images"
    yield (
        "optimiser",
        f"{solver['OPTIMIZER']}, learning rate {solver['BASE_LR']:g}, weight decay " + (f"{solver['WEIGHT_DECAY']:g}"),
    )
    yield "schedule", f"{solver['LR_SCHEDULER_NAME']}, {solver['WARMUP_ITERS']} iterations of warm-up"
    yield "resolution", f"`INPUT.RESOLUTION_TRAIN` {inputs['RESOLUTION_TRAIN']}"
    yield "seed", config["SEED"] if config["SEED"] >= 0 else "drawn at random"


def _results(measured: Mapping[str, Any] | None) -> dict[str, Any]:
    """The results of an evaluation by registered name, in the paper's order."""
    results = measured["results"] if measured else {}
    return {name: results[name] for name in sorted(results, key=lambda each: place_of(results[each]))}


def _scores(facts: Facts, results: Mapping[str, Any]) -> str:
    if not facts.measured or not results:
        why = "The evaluation beside the weights is of other weights." if facts.left_out else ""
        return f"No scores of these weights were at hand. {why}".rstrip()
    shown = shown_scores(list(results.values()))
    head = ["data set", "images", *shown]
    rows = [
        [result["paper_name"], result.get("images", "–"), *(_score(result, score) for score in shown)]
        for result in results.values()
    ]
    versions = facts.measured.get("versions") or {}
    using = (
        f" with errseg {versions['errseg']} and torch {versions['torch']}"
        if {"errseg", "torch"} <= set(versions)
        else ""
    )
    has_intervals = any(_interval(result, score) for result in results.values() for score in shown)
    spread = " In brackets: the 95 % interval over images (bootstrap)." if has_intervals else ""
    return (
        f"In percent, measured{using} on exactly these weights (`state_sha256` of `evaluation.json`) on "
        f"{str(facts.measured.get('date', ''))[:10]}.{spread}\n\n{_grid(head, rows)}"
    )


def _score(result: Mapping[str, Any], score: str) -> str:
    value = result.get(score)
    return "–" if not isinstance(value, (int, float)) else f"{value:.2f}{_interval(result, score)}"


def _interval(result: Mapping[str, Any], score: str) -> str:
    """The interval of a score, " [35.1, 36.5]"; "" where the result has none."""
    intervals = result.get("intervals")
    bounds = intervals.get(score) if isinstance(intervals, dict) else None
    if isinstance(bounds, list) and len(bounds) == 2 and all(isinstance(each, (int, float)) for each in bounds):
        return " [{:.1f}, {:.1f}]".format(*bounds)
    return ""


def _table(rows: Iterator[tuple[str, Any]]) -> str:
    return _grid(["", ""], [list(row) for row in rows])


def _grid(head: list[str], rows: list[list[Any]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(short(cell, 300).replace("|", "\\|") for cell in line) + " |" for line in lines)
