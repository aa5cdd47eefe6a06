"""A training of the least size, for tests and for the recorded checkpoints."""

import errseg  # noqa: F401  isort: skip  makes detectron2 importable
import torch
from detectron2.config import get_cfg
from detectron2.engine import DefaultTrainer
from detectron2.evaluation import DatasetEvaluator
from detectron2.modeling import META_ARCH_REGISTRY
from torch import nn

NAME = "TinyForInterfaceTests"


class TinyModel(nn.Module):
    """Two losses of a linear layer."""

    def __init__(self, cfg):
        super().__init__()
        self.norm = nn.BatchNorm1d(3)
        self.linear = nn.Linear(3, 1)

    def forward(self, batch):
        values = self.linear(self.norm(torch.stack(batch)))
        if self.training:
            return {"loss_a": values.square().mean(), "loss_b": values.abs().mean()}
        return [{"value": value} for value in values]


if NAME not in META_ARCH_REGISTRY:
    META_ARCH_REGISTRY._do_register(NAME, TinyModel)


class Counter(DatasetEvaluator):
    """Counts outputs."""

    def reset(self):
        self.count = 0

    def process(self, inputs, outputs):
        self.count += len(outputs)

    def evaluate(self):
        return {"sem_seg": {"count": float(self.count), "count-class": 1.0}}


class TinyTrainer(DefaultTrainer):
    """Two vectors of three numbers for each iteration as data."""

    @classmethod
    def build_optimizer(cls, cfg, model):
        norm = {"params": list(model.norm.parameters()), "weight_decay": 0.0}
        return torch.optim.SGD([norm, {"params": list(model.linear.parameters())}], cfg.SOLVER.BASE_LR, 0.9, 0, 1e-4)

    @classmethod
    def build_train_loader(cls, cfg):
        return ([torch.full((3,), 1.0 + i % 3), torch.arange(3.0) * (i % 2)] for i in range(10**6))

    @classmethod
    def build_test_loader(cls, cfg, dataset_name):
        return [[torch.ones(3), torch.zeros(3)]] * 7

    @classmethod
    def build_evaluator(cls, cfg, dataset_name):
        return Counter()


def tiny_cfg(output_dir, **solver):
    """Its configuration; keyword arguments are keys of SOLVER."""
    cfg = get_cfg()
    cfg.MODEL.META_ARCHITECTURE = NAME
    cfg.MODEL.DEVICE = "cpu"
    cfg.OUTPUT_DIR = str(output_dir)
    cfg.SEED = 1
    cfg.DATASETS.TEST = ("tiny",)
    defaults = {"MAX_ITER": 6, "BASE_LR": 0.01, "STEPS": (), "WARMUP_ITERS": 2, "CHECKPOINT_PERIOD": 3}
    for key, value in {**defaults, **solver}.items():
        cfg.SOLVER[key] = value
    return cfg
