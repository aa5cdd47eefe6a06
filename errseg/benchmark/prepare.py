"""From a case to a job: the model's vocabulary, the images, and for training the optimizer."""

from collections.abc import Sequence

import torch
from detectron2.config import CfgNode
from torch import Tensor, nn

from ..modeling import system_of
from .cases import Case
from .inputs import image_batches, training_batch
from .jobs import Encoding, Job, Prediction, TrainingStep
from .models import random_embeddings, set_embeddings


def make_job(
    case: Case,
    cfg: CfgNode,
    model: nn.Module,
    files: Sequence[str] = (),
    embeddings: Tensor | None = None,
    optimizer: torch.optim.Optimizer | None = None,
) -> Job:
    """The job of a case.

    Args:
        case: what to do.
        cfg: of the model.
        model: the job's own, which is changed; a case of the plain form runs that of the model.
        files: test images; none: drawn scenes.
        embeddings: (T, D) of the names; None: random ones.
        optimizer: for training, of parameters that several models share; None: one of its own.
    """
    if case.form == "plain":
        model = system_of(cfg).plain_form(model)
    if case.kind == "predict":
        if embeddings is None:
            embeddings = random_embeddings(model, case.vocabulary.names)
        set_embeddings(model, case.vocabulary, embeddings)
        return Prediction(case, model, image_batches(case.batch, files, cfg.INPUT.RESOLUTION_TEST))
    if case.kind == "set_vocabulary":
        return Encoding(case, model)
    # Only here, for it brings libraries that a process which predicts does without
    from ..engine.optimizer import build_gradient_clipper, build_optimizer

    names = case.vocabulary.names
    model.num_kept_train = case.vocabulary.num_classes or len(names)
    model.train().set_vocabulary(names)
    batch = training_batch(case.batch, cfg.INPUT.RESOLUTION_TRAIN, len(names), model.ignore_label)
    return TrainingStep(case, model, optimizer or build_optimizer(cfg, model), build_gradient_clipper(cfg), batch)
