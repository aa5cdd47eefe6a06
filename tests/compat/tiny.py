"""A training of the least size by errseg's trainer, for tests and for the recorded checkpoints."""

import json
from pathlib import Path

import torch
from torch import nn

import errseg
from errseg.engine import Trainer


class TinyModel(nn.Module):
    """Two losses of a linear layer behind a batch norm."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(3)
        self.linear = nn.Linear(3, 1)

    def forward(self, batch):
        values = self.linear(self.norm(torch.stack([x["image"] for x in batch])))
        return {"loss_a": values.square().mean(), "loss_b": values.abs().mean()}


class TinyTrainer(Trainer):
    """Two vectors of three numbers for each iteration as data."""

    @classmethod
    def build_model(cls, cfg):
        return TinyModel()

    @classmethod
    def build_optimizer(cls, cfg, model):
        norm = {"params": list(model.norm.parameters()), "weight_decay": 0.0}
        return torch.optim.SGD([norm, {"params": list(model.linear.parameters())}], cfg.SOLVER.BASE_LR, 0.9, 0, 1e-4)

    @classmethod
    def build_train_loader(cls, cfg, start_iteration=0):
        vectors = ((torch.full((3,), 1.0 + i % 3), torch.arange(3.0) * (i % 2)) for i in range(start_iteration, 99))
        return [[{"image": vector} for vector in pair] for pair in vectors]


def tiny_cfg(output_dir):
    """Its configuration: eight iterations, and a checkpoint after four."""
    cfg = errseg.get_cfg()
    cfg.merge_from_list(["OUTPUT_DIR", str(output_dir), "SEED", 1, "MODEL.DEVICE", "cpu", "MODEL.CLIP.PRETRAINED", ""])
    cfg.merge_from_list(["SOLVER.MAX_ITER", 8, "SOLVER.CHECKPOINT_PERIOD", 4, "SOLVER.BASE_LR", 0.01])
    cfg.merge_from_list(["SOLVER.WARMUP_ITERS", 2, "SOLVER.STEPS", (6,), "SOLVER.CLIP_GRADIENTS.ENABLED", False])
    return cfg


def read_records(folder, name="metrics.json"):
    """Losses and learning rate of each iteration."""
    lines = (Path(folder) / name).read_text(encoding="utf-8").splitlines()
    return [{key: record[key] for key in ("iteration", "lr", "loss_a", "loss_b")} for record in map(json.loads, lines)]
