"""One optimisation step: accumulation, keyed randomness, and losses that are not finite."""

import pytest
import torch
from detectron2.utils.events import EventStorage
from torch import nn

from errseg.engine import StepTrainer


class Regressor(nn.Module):
    """A mean-squared error over a batch, with a pinch of dropout on demand."""

    def __init__(self, dropout=0.0):
        super().__init__()
        self.layer = nn.Linear(3, 1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, batch):
        x = torch.stack([x["image"] for x in batch])
        y = torch.stack([x["target"] for x in batch])
        return {"loss": (self.dropout(self.layer(x)).squeeze(1) - y).square().mean()}


def images(count):
    generator = torch.Generator().manual_seed(0)
    return [
        {
            "image": torch.randn(3, generator=generator),
            "target": torch.randn((), generator=generator),
            "file_name": f"{i}.jpg",
        }
        for i in range(count)
    ]


def trainer_of(parts, batches, dropout=0.0, seed=0):
    torch.manual_seed(0)
    model = Regressor(dropout)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    trainer = StepTrainer(model, optimizer, lambda parameters: None, accumulation_steps=parts, seed=seed)
    trainer.set_data_loader(batches)
    return trainer


def run(trainer, iterations, start=0):
    losses = []
    for trainer.iter in range(start, iterations):
        with EventStorage(trainer.iter) as storage:
            trainer.run_step()
            losses.append(storage.latest()["total_loss"][0])
    return losses


def test_accumulation_equals_one_batch():
    data = images(16)
    whole = trainer_of(1, [data[:8], data[8:]])
    parts = trainer_of(4, [data[i : i + 2] for i in range(0, 16, 2)])
    assert run(whole, 2) == pytest.approx(run(parts, 2), rel=1e-6)
    for a, b in zip(whole.model.parameters(), parts.model.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-7)


def test_randomness_is_keyed_by_seed_and_iteration():
    data = images(8)
    first = run(trainer_of(1, [data] * 3, dropout=0.5), 3)
    torch.rand(11)  # whatever else draws random numbers
    assert run(trainer_of(1, [data] * 3, dropout=0.5), 3) == first
    assert run(trainer_of(1, [data] * 3, dropout=0.5, seed=1), 3) != first


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_names_iteration_and_files_and_leaves_the_weights(bad):
    data = images(4)
    data[3]["target"] = torch.tensor(bad)
    trainer = trainer_of(2, [data[:2], data[2:]])
    before = [p.clone() for p in trainer.model.parameters()]
    trainer.iter = 41
    with EventStorage(41), pytest.raises(FloatingPointError, match="iteration 41.*2.jpg, 3.jpg") as error:
        trainer.run_step()
    assert "0.jpg" not in str(error.value) and "SOLVER.BASE_LR" in str(error.value)
    assert all(torch.equal(a, b) for a, b in zip(before, trainer.model.parameters(), strict=True))
