"""Parameter groups of the recipe, and gradient clipping."""

import pytest
import torch
from torch import nn

import errseg
from errseg.engine import build_gradient_clipper, build_optimizer, load_config, parameter_groups
from errseg.errors import UsageError


class Model(nn.Module):
    """Has what counts: CLIP's names and the head's, norms of several kinds, a frozen and a shared parameter."""

    def __init__(self):
        super().__init__()
        self.backbone = nn.Module()
        self.backbone.clip = nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2))
        self.backbone.other = nn.Linear(2, 2)
        self.head = nn.Sequential(nn.Conv2d(2, 4, 1), nn.GroupNorm(2, 4), nn.BatchNorm2d(4))
        self.frozen = nn.Linear(2, 2).requires_grad_(False)
        self.shared = self.head[0]
        self.queries = nn.Embedding(3, 2)


DECAYS = {"weight_decay": 0.1, "weight_decay_norm": 0.0, "weight_decay_embed": 0.05}


def groups_of(model):
    factors = {"backbone.clip.1.": 0.5, "backbone.clip.": 0.01}  # the first that fits counts
    groups = parameter_groups(model, base_lr=1e-2, factors=factors, **DECAYS)
    return {id(p): (group["lr"], group["weight_decay"]) for group in groups for p in group["params"]}, groups


def test_learning_rates_and_decays():
    model = Model()
    settings, groups = groups_of(model)
    assert sum(len(group["params"]) for group in groups) == len(settings)  # each once
    assert set(settings) == {id(p) for p in model.parameters() if p.requires_grad}
    rates = {"backbone.clip.0": 1e-4, "backbone.clip.1": 5e-3}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            is_norm = name.startswith(("backbone.clip.1.", "head.1.", "head.2."))
            assert settings[id(parameter)] == (
                pytest.approx(rates.get(name.rpartition(".")[0], 1e-2)),
                0.0 if is_norm else 0.05 if name.startswith("queries.") else 0.1,
            ), name


def test_every_trainable_parameter_of_the_model_is_there_once(tiny_config_file):
    cfg = load_config(str(tiny_config_file))
    model = errseg.build_model(cfg)
    optimizer = build_optimizer(cfg, model)
    assert isinstance(optimizer, torch.optim.AdamW)
    listed = [id(p) for group in optimizer.param_groups for p in group["params"]]
    assert sorted(listed) == sorted(id(p) for p in model.parameters() if p.requires_grad)
    names = {id(p): name for name, p in model.named_parameters()}
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            name = names[id(parameter)]
            clip = name.startswith("backbone.clip.")
            assert group["lr"] == pytest.approx(cfg.SOLVER.BASE_LR * (cfg.SOLVER.CLIP_MULTIPLIER if clip else 1)), name
            is_norm = "norm" in name.split(".")[-2].lower()
            assert not is_norm or group["weight_decay"] == cfg.SOLVER.WEIGHT_DECAY_NORM, name
    tables = [module.weight for module in model.modules() if isinstance(module, nn.Embedding)]
    assert tables and not any(table.requires_grad for table in tables)  # WEIGHT_DECAY_EMBED does not change ERR-Seg


def test_unknown_optimizer_and_nothing_to_train(tiny_config_file):
    cfg = load_config(str(tiny_config_file), ["SOLVER.OPTIMIZER", "Adam"])
    with pytest.raises(UsageError, match="SOLVER.OPTIMIZER is 'Adam'"):
        build_optimizer(cfg, Model())
    with pytest.raises(UsageError, match="no trainable parameter"):
        build_optimizer(cfg, nn.Linear(2, 2).requires_grad_(False))


def test_gradient_clipping(tiny_config_file):
    def clipped(**settings):
        cfg = load_config(str(tiny_config_file))
        for key, value in settings.items():
            cfg.SOLVER.CLIP_GRADIENTS[key] = value
        parameters = [nn.Parameter(torch.zeros(2)) for _ in range(2)]
        parameters[0].grad, parameters[1].grad = torch.tensor([3.0, 4.0]), torch.tensor([0.0, 12.0])
        build_gradient_clipper(cfg)(parameters)
        return torch.stack([p.grad for p in parameters])

    assert clipped(ENABLED=False).tolist() == [[3, 4], [0, 12]]
    on = {"ENABLED": True, "CLIP_VALUE": 1.0}
    assert clipped(CLIP_TYPE="value", **on).tolist() == [[1, 1], [0, 1]]
    assert torch.allclose(clipped(CLIP_TYPE="norm", **on), torch.tensor([[0.6, 0.8], [0, 1]]), atol=1e-5)
    assert torch.allclose(clipped(CLIP_TYPE="full_model", **on), torch.tensor([[3.0, 4], [0, 12]]) / 13, atol=1e-5)
    with pytest.raises(UsageError, match="CLIP_TYPE is 'sum'"):
        clipped(CLIP_TYPE="sum", **on)
