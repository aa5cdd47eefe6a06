"""Zero-shot splits: a test set may name the classes that training did not use, for seen, unseen and harmonic mIoU.

The metadata ``unseen_classes`` of a test set hold the ids of these classes. Such scores mean nothing for a model that
was trained on the unseen classes, so that they are refused where DATASETS.TRAIN has one of their names.
"""

import logging
from collections.abc import Sequence

from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog

from errseg.data import dataset_vocabulary
from errseg.data.vocabularies import canonical
from errseg.errors import UsageError

__all__ = ["check_split", "unseen_classes"]

SHOWN = 5  # names in a message
logger = logging.getLogger(__name__)


def unseen_classes(name: str) -> list[int]:
    """The ids of the classes of a registered test set that training did not use; empty where the set has no split."""
    return list(MetadataCatalog.get(name).get("unseen_classes") or ())


def check_split(cfg: CfgNode, names: Sequence[str]) -> None:
    """Check that the training data of a configuration have none of the classes that a test set counts as unseen.

    Names are compared, with all of their synonyms, in lower case. A training set that is neither registered nor on disk
    cannot be checked; the log says so.

    Args:
        cfg: the configuration; its DATASETS.TRAIN is what the model was trained on.
        names: registered test sets; unregistered ones are not checked.

    Raises:
        UsageError: a training set has an unseen class.
    """
    for name in names:
        vocabulary = dataset_vocabulary(name)
        unseen = unseen_classes(name) if vocabulary else []
        if vocabulary and unseen:
            _check(cfg.DATASETS.TRAIN, name, [vocabulary.classes[i] for i in unseen])


def _check(training_sets: Sequence[str], name: str, unseen: list[str]) -> None:
    unknown = [] if training_sets else ["DATASETS.TRAIN is empty"]
    for training in training_sets:
        try:
            vocabulary = dataset_vocabulary(training)
        except UsageError as error:  # its file has gone since the training
            vocabulary, reason = None, str(error).rstrip(".")
        else:
            reason = f"{training} is not registered"
        if vocabulary is None:
            unknown.append(reason)
            continue
        trained = {word for each in vocabulary.prompts for word in _words(each)}
        both = [each for each in unseen if _words(each) & trained]
        if both:
            some = ", ".join(both[:SHOWN]) + (", …" if len(both) > SHOWN else "")
            raise UsageError(
                f"{name} counts {len(unseen)} classes as unseen in training, but DATASETS.TRAIN {training} has "
                f"{len(both)} of them ({some}); evaluate on a set without a split, or set DATASETS.TRAIN to the data "
                "that the model was trained on."
            )
    if unknown:
        logger.warning(
            "%s: whether the model was trained on its %d unseen classes cannot be checked (%s); its seen, unseen and "
            "harmonic mIoU hold only for a model that was not.",
            name,
            len(unseen),
            "; ".join(unknown),
        )


def _words(name: str) -> set[str]:
    """The synonyms of a name."""
    return {canonical(part) for part in name.split(",") if part.strip()}
