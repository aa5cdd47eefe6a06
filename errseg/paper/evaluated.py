"""Evaluations of given weights, each data set once: a finished one is read from its file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from errseg.api import Segmenter
from errseg.config.settings import changed_settings, decides_scores, flatten
from errseg.errors import UsageError
from errseg.evaluation import evaluate
from errseg.evaluation.compare import load_run
from errseg.evaluation.predictions import folder_of
from errseg.evaluation.provenance import state_digest

__all__ = ["evaluated"]

Result = Mapping[str, Any]


def evaluated(segmenter: Segmenter, sets: Sequence[str], folder: Path, run: Path | None = None) -> dict[str, Result]:
    """The results of a model, by registered name.

    Args:
        segmenter: the model and its configuration.
        sets: registered names of data sets.
        folder: each data set has a folder of its own in it. A finished evaluation of the same weights with the same
            settings is used; any other is made anew.
        run: a folder that may hold a finished evaluation too, such as that of the training run.

    Raises:
        UsageError: see ``errseg.evaluation.evaluate``.
    """
    cfg, digest = segmenter.cfg.clone(), state_digest(segmenter.model.state_dict().items())
    cfg.defrost()
    results = {}
    for name in sets:
        cfg.OUTPUT_DIR = str(folder / folder_of(name))
        places = [Path(cfg.OUTPUT_DIR), *([run] if run else [])]
        done = next((done for place in places if (done := _finished(place, cfg, digest, name))), None)
        results[name] = done or evaluate(cfg, segmenter.model, [name], weights=cfg.MODEL.WEIGHTS or None)[name]
    return results


def _finished(folder: Path, cfg: Any, digest: str, name: str) -> Result | None:
    if not (folder / "evaluation.json").is_file():
        return None
    try:
        run = load_run(folder)
    except UsageError:  # damaged, or of a version that cannot be read
        return None
    old, new = ({key: x for key, x in each.items() if decides_scores(key)} for each in (run.settings, flatten(cfg)))
    same = run.weights.get("state_sha256") == digest and not changed_settings(old, new)
    return run.results.get(name) if same else None
