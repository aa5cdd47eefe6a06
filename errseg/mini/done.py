"""Whether a finished run of the ablations has the requested configuration, so that it can be used."""

from collections.abc import Iterable
from pathlib import Path

from detectron2.config import CfgNode

from errseg.config.settings import changed_settings, flatten
from errseg.config.training_only import COMPARED_APART
from errseg.errors import UsageError
from errseg.evaluation.compare import load_run
from errseg.ledger import in_words

__all__ = ["check_done", "is_done"]

# Keys that change results only by rounding, or that are compared elsewhere
LEFT_OUT = COMPARED_APART | {"OUTPUT_DIR", "DATALOADER.NUM_WORKERS", "CUDNN_BENCHMARK", "SOLVER.CHECKPOINT_PERIOD"}


def is_done(evaluation: Path, names: Iterable[str]) -> bool:
    """Whether a run has evaluated all of some data sets: its file is written after each of them.

    Args:
        evaluation: the run's ``evaluation.json``, which may be missing.
        names: the registered names of the data sets.

    Raises:
        UsageError: the file is no evaluation.
    """
    return evaluation.is_file() and set(names) <= load_run(evaluation).results.keys()


def check_done(evaluation: Path, cfg: CfgNode) -> None:
    """Check that a finished run had the requested configuration.

    Args:
        evaluation: the run's ``evaluation.json``.
        cfg: the requested configuration.

    Raises:
        UsageError: the run had another configuration, or an unknown one.
    """
    done, now = (
        {key: value for key, value in settings.items() if key not in LEFT_OUT}
        for settings in (load_run(evaluation).settings, flatten(cfg))
    )
    changes = in_words(changed_settings(done, now)) if done else "an unknown one"
    if changes:
        raise UsageError(
            f"{evaluation} is of a run with another configuration ({changes}); remove {evaluation.parent}, or give "
            "another --out."
        )
