"""Make the job of a case: set the model's vocabulary, load the images, and make the optimizer for training."""

from collections.abc import Sequence

import torch
from detectron2.config import CfgNode
from torch import Tensor, nn

from ..modeling import system_of
from .cases import Case
from .inputs import image_batches, loaded_side, training_batch
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
        case: the case.
        cfg: the configuration of the model.
        model: used by this job only, and changed; a case of the plain form runs the plain form of this model.
        files: test images; empty: drawn scenes.
        embeddings: (T, D) of the names; None: random embeddings.
        optimizer: for training, the optimizer of parameters that several models share; None: a new one.
    """
    if case.form == "plain":
        model = system_of(cfg).plain_form(model)
    if case.kind == "predict":
        if not case.encode_names:
            if embeddings is None:
                embeddings = random_embeddings(model, case.vocabulary.names)
            set_embeddings(model, case.vocabulary, embeddings)
        batches = image_batches(case.batch, files, loaded_side(cfg, case.picture))
        if case.picture and not files:  # the label map has the size of the picture
            batches = [[x | {"height": case.picture, "width": case.picture} for x in batch] for batch in batches]
        return Prediction(case, model, batches)
    if case.kind == "set_vocabulary":
        return Encoding(case, model)
    # Imported here: it loads libraries that a process that only predicts does not need
    from ..engine.optimizer import build_gradient_clipper, build_optimizer

    names = case.vocabulary.names
    model.num_kept_train = case.vocabulary.num_classes or len(names)
    model.train().set_vocabulary(names)
    batch = training_batch(case.batch, cfg.INPUT.RESOLUTION_TRAIN, len(names), model.ignore_label)
    return TrainingStep(case, model, optimizer or build_optimizer(cfg, model), build_gradient_clipper(cfg), batch)
