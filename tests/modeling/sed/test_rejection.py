"""Category early rejection: at each of the three stages, for each image of a batch, by heads that are set by hand."""

import pytest
import torch

from errseg.modeling import system_of_model
from errseg.modeling.sed.rejection import Rejection
from errseg.modeling.taps import watch
from tests.conftest import NAMES


class Ranks(torch.nn.Module):
    """An auxiliary head set by hand: every location ranks the names in a fixed order, whatever their maps are."""

    def __init__(self, order):
        super().__init__()
        self.order, self.names = order, None

    def forward(self, x):
        score = {name: -place for place, name in enumerate(self.order)}
        values = torch.tensor([float(score[name]) for name in self.names])
        return values.view(-1, 1, 1, 1).expand(-1, 1, *x.shape[-2:])


@pytest.fixture
def ranked(sed, monkeypatch):
    """A model with k = 5, whose heads reject names at each stage: 8 -> 5 -> 5 - ... by ``top_k`` of each stage."""

    def make(orders, top_ks):
        model = sed("MODEL.REJECTION.ENABLED", True)
        heads = [Ranks(order) for order in orders]
        model.decoder.aux_heads = torch.nn.ModuleList(heads)
        reject = Rejection.forward

        def forward(self, kept, x, costs, head):
            head.names = kept.tolist()
            self.top_k = top_ks[heads.index(head)]
            return reject(self, kept, x, costs, head)

        monkeypatch.setattr(Rejection, "forward", forward)
        return model

    return make


def test_names_leave_before_each_stage(ranked, make_batch):
    model = ranked([(3, 1, 7, 0, 5, 2, 4, 6), (7, 0, 5, 1, 3), (7, 0, 5)], [5, 3, 2])
    batch = make_batch(1)
    with torch.no_grad(), watch(model, ["spatial1", "spatial2", "spatial3"]) as seen:
        [scores] = model(batch)
    assert [len(seen[f"spatial{i}"][0]) for i in (1, 2, 3)] == [5, 3, 2]
    assert scores["sem_seg"].flatten(1).amax(1).nonzero().flatten().tolist() == [0, 7]
    # The stages compute what they compute for a vocabulary of those names alone, one after the other
    decoder, encoded = model.decoder, model.encoded()
    with torch.no_grad():
        features = model.backbone(model.preprocess(batch[0]["image"], (64, 64)))
        costs = model.costs(features["E32"], encoded.text)[0]
        x, kept = decoder.embed(costs), torch.arange(len(NAMES))
        for stage, name, stay in zip(
            decoder.stages, ("os16", "os8", "os4"), ([0, 1, 3, 5, 7], [0, 5, 7], [0, 7]), strict=True
        ):
            places = torch.isin(kept, torch.tensor(stay))
            kept, x, costs = kept[places], x[places], costs[places]
            x = stage(x, costs, features[name])
            costs = stage.skip.costs(costs)
        expected = torch.nn.functional.interpolate(
            decoder.head(x).sigmoid().transpose(0, 1), (64, 64), mode="bilinear"
        )[0]
    torch.testing.assert_close(scores["sem_seg"][[0, 7]], expected, atol=1e-5, rtol=1e-4)


def test_each_image_of_a_batch_keeps_names_of_its_own(sed, make_batch):
    model, batch = sed("MODEL.REJECTION.ENABLED", True, "MODEL.REJECTION.TOP_K", 1), make_batch(2)
    batch[1]["image"] = batch[1]["image"] // 4
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for head in model.decoder.aux_heads:
            head.weight.normal_(generator=generator)
        ours, literal = model(batch), system_of_model(model).plain_form(model)(batch)
    kept = [scores["sem_seg"].flatten(1).any(1) for scores in ours]
    assert all(0 < each.sum() < len(NAMES) for each in kept) and not torch.equal(*kept)
    for mine, theirs in zip(ours, literal, strict=True):
        torch.testing.assert_close(mine["sem_seg"], theirs["sem_seg"], atol=1e-5, rtol=1e-4)
        assert torch.equal(mine["sem_seg"].flatten(1).any(1), theirs["sem_seg"].flatten(1).any(1))


def test_a_location_votes_for_its_best_names():
    logits = torch.randn(12, 1, 2, 3, generator=torch.Generator().manual_seed(0))
    kept, x, costs = torch.arange(12) * 2, torch.rand(12, 4, 2, 3), torch.rand(12, 2, 2, 3)
    with torch.no_grad():
        stay, its_x, its_costs = Rejection(2)(kept, x, costs, lambda maps: logits)
    places = sorted(
        {place for votes in logits.flatten(1).T.tolist() for place in sorted(range(12), key=votes.__getitem__)[-2:]}
    )
    assert 0 < len(places) < 12 and stay.tolist() == [2 * place for place in places]
    assert torch.equal(its_x, x[places]) and torch.equal(its_costs, costs[places])


def test_fewer_names_than_k_all_stay():
    kept, x, costs = torch.arange(3), torch.rand(3, 4, 2, 2), torch.rand(3, 2, 2, 2)
    head = torch.nn.Conv2d(4, 1, 3, padding=1)
    with torch.no_grad():
        assert all(torch.equal(a, b) for a, b in zip(Rejection(3)(kept, x, costs, head), (kept, x, costs), strict=True))
        assert len(Rejection(1)(kept, x, costs, lambda x: x[:, :1])[0]) <= 3


def test_rejection_is_for_tests_alone(sed, make_batch):
    batch = make_batch(1)
    losses = [sed("MODEL.REJECTION.ENABLED", on, "MODEL.REJECTION.TOP_K", 1).train()(batch) for on in (True, False)]
    assert losses[0] == losses[1]
