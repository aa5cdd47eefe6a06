"""Whether a run of the ablations that is done may stand for the one that is asked for."""

from pathlib import Path

from detectron2.config import CfgNode

from errseg.config.settings import changed_settings, flatten
from errseg.config.training_only import COMPARED_APART
from errseg.errors import UsageError
from errseg.evaluation.compare import load_run
from errseg.ledger import in_words

__all__ = ["check_done"]

# Keys that change no result beyond rounding, or that are compared apart
LEFT_OUT = COMPARED_APART | {"OUTPUT_DIR", "DATALOADER.NUM_WORKERS", "CUDNN_BENCHMARK", "SOLVER.CHECKPOINT_PERIOD"}


def check_done(evaluation: Path, cfg: CfgNode) -> None:
    """Check that a run that is done had the configuration that is asked for.

    Args:
        evaluation: the run's ``evaluation.json``.
        cfg: the configuration.

    Raises:
        UsageError: another, or an unknown one.
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
