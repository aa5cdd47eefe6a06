"""Configuration keys that have changed since the run that is resumed: which are refused, and what the others do."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from detectron2.config import CfgNode

from errseg.config.settings import flatten, plain
from errseg.errors import UsageError

__all__ = ["Change", "changes", "describe", "refuse", "settings_to_save", "sets_optimizer"]

LONGEST = 80  # characters of a value in a message
UNTOLD = ("OUTPUT_DIR", "VERSION")  # not compared: a folder may have been moved
ELSEWHERE = "start a new run from its weights (MODEL.WEIGHTS, without --resume, another OUTPUT_DIR)"
ANOTHER_ORDER = "takes effect: from here on the images come in another order, so that an epoch is not seen evenly"
# By key, or by the beginning of keys: what happens with a change. The first entry that fits counts.
REFUSED = {
    "SOLVER.OPTIMIZER": "the checkpoint has the other optimizer's state",
    "MODEL.CLIP.FINETUNE_": "the checkpoint has the optimizer's state of other parameters",
}
WEIGHTS_STAY = "has no effect: the weights are the checkpoint's"
WEIGHTS = "WEIGHTS"  # the end of the keys of MODEL that name files of weights
EFFECTS = {
    "MODEL.CLIP.PRETRAINED": WEIGHTS_STAY,
    "MODEL.DEVICE": "takes effect",
    "MODEL.": "takes effect on the weights as they are, which were trained with the other value",
    "SEED": ANOTHER_ORDER,
    "DATASETS.TRAIN": ANOTHER_ORDER,
    "DATASETS.REGIONS_": ANOTHER_ORDER,
    "SOLVER.IMS_PER_BATCH": "takes effect: the images go on where the run was, by the number of images seen",
    "SOLVER.MAX_ITER": "takes effect: the run ends there, and the learning rate follows the schedule of that length",
    "SOLVER.ACCUMULATION_STEPS": "takes effect: an iteration has the same images, divided into other batches",
    "": "takes effect",
}
# Keys that the optimizer and the schedule read; a checkpoint restores both as they were.
OPTIMIZER_KEYS = (
    "SOLVER.BASE_LR",  # and BASE_LR_END
    "SOLVER.GAMMA",
    "SOLVER.LR_SCHEDULER_NAME",
    "SOLVER.MAX_ITER",
    "SOLVER.MOMENTUM",
    "SOLVER.NESTEROV",
    "SOLVER.NUM_DECAYS",
    "SOLVER.POLY_LR_",
    "SOLVER.RESCALE_INTERVAL",
    "SOLVER.STEPS",
    "SOLVER.WARMUP_",
    "SOLVER.WEIGHT_DECAY",  # and WEIGHT_DECAY_NORM, WEIGHT_DECAY_EMBED
)
FACTORS = "_MULTIPLIER"  # the end of the keys of SOLVER that are factors of the learning rate of some parameters


class Change(NamedTuple):
    """A key whose value differs from that of the run."""

    key: str
    before: Any
    now: Any


def settings_to_save(cfg: CfgNode) -> dict[str, Any]:
    """The values of a configuration by their dotted keys, of types that a checkpoint may hold."""
    return flatten(cfg)


def changes(saved: Any, cfg: CfgNode) -> list[Change]:
    """The keys whose value is not that of the run. Keys that only one of the two has are not compared.

    Args:
        saved: the result of ``settings_to_save``, read from a checkpoint. Anything else gives no changes.
        cfg: the present configuration.
    """
    if not isinstance(saved, Mapping):
        return []
    return [
        Change(key, saved[key], value)
        for key, value in settings_to_save(cfg).items()
        if key in saved and key not in UNTOLD and plain(saved[key]) != value
    ]


def refuse(found: list[Change]) -> None:
    """Refuse changes that the state of a run cannot follow.

    Raises:
        UsageError: there is such a change.
    """
    for change in found:
        for start, reason in REFUSED.items():
            if change.key.startswith(start):
                raise UsageError(f"--resume: {_values(change)}, but {reason}; give the run's value, or {ELSEWHERE}.")


def sets_optimizer(found: list[Change]) -> bool:
    """Whether the optimizer or the schedule must be set again after it was restored."""
    return any(_is_of_optimizer(change.key) for change in found)


def describe(found: list[Change], checkpoint_iteration: int, keeps_schedule: bool = False) -> str:
    """A line for each change: both values, and what happens with it.

    Args:
        found: at least one change.
        checkpoint_iteration: the last iteration of the checkpoint.
        keeps_schedule: the restored schedule is of a type that cannot be set again.
    """
    lines = [f"{len(found)} configuration keys differ from those of the run until iteration {checkpoint_iteration}:"]
    for change in found:
        effect = next(effect for start, effect in EFFECTS.items() if change.key.startswith(start))
        if change.key.startswith("MODEL.") and change.key.endswith(WEIGHTS):
            effect = WEIGHTS_STAY
        if keeps_schedule and _is_of_optimizer(change.key) and change.key != "SOLVER.MAX_ITER":
            effect = "has no effect: the optimizer and the schedule are the checkpoint's"
        lines.append(f"  {_values(change)}: {effect}.")
    return "\n".join(lines)


def _is_of_optimizer(key: str) -> bool:
    return key.startswith(OPTIMIZER_KEYS) or (key.startswith("SOLVER.") and key.endswith(FACTORS))


def _values(change: Change) -> str:
    before, now = (
        text if len(text) <= LONGEST else f"{text[:LONGEST]}…" for text in map(repr, (change.before, change.now))
    )
    return f"{change.key} was {before}, now {now}"
