"""What a report measures in DeOP's parts."""

import pytest
import torch

from errseg.modeling import system_of_model
from errseg.modeling.deop.measures import mask_recall, true_mask_classes
from errseg.modeling.deop.proposals import Proposals


class Answers(torch.nn.Module):
    """In place of the proposal network: the same mask logits for every image."""

    def __init__(self, masks):
        super().__init__()
        self.answer = masks

    def forward(self, images):
        return Proposals(self.answer, torch.zeros(1, self.answer.shape[1], 8))


@pytest.fixture
def scene():
    """An image of 60 x 64 pixels, four classes in quarters of unequal size, the first rows without a class."""
    labels = torch.zeros(60, 64, dtype=torch.long)
    labels[:32, 32:] = 1
    labels[32:, :32] = 2
    labels[32:, 32:] = 5
    labels[:4] = -1
    image = torch.randint(0, 256, (3, 60, 64), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    return {"image": image, "height": 60, "width": 64}, labels


def quarter_masks(model, *quarters):
    """Logits (1, N, 16, 16): the given quarters of 8 x 8, then empty masks."""
    masks = torch.full((1, model.anchors.anchors.num_embeddings, 16, 16), -9.0)
    for n, (row, column) in enumerate(quarters):
        masks[0, n, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8] = 9
    return masks


def test_recall_counts_the_regions_that_a_proposal_covers(deop, scene):
    model = deop()
    model.proposals = Answers(quarter_masks(model, (0, 0), (1, 1)))
    assert mask_recall(model, *scene) == (2, 4)
    masks = quarter_masks(model, (0, 0), (0, 1), (1, 0), (1, 1))
    model.proposals = Answers(masks)
    assert mask_recall(model, *scene) == (4, 4)  # the rows without a class, and the padding, count in no union
    masks[0, 0] = 9  # all of the image: IoU 1/4
    assert mask_recall(model, *scene) == (3, 4)


def test_recall_of_a_picture_of_another_size(deop, scene):
    model, (inputs, labels) = deop(), scene
    model.proposals = Answers(quarter_masks(model, (0, 0), (0, 1), (1, 0)))
    large = labels.repeat_interleave(2, 0).repeat_interleave(2, 1)
    assert mask_recall(model, {**inputs, "height": 120, "width": 128}, large) == (3, 4)


def test_true_masks_take_the_place_of_proposals(deop, scene, monkeypatch):
    model, (inputs, labels) = deop(), scene
    model.proposals, seen = Answers(quarter_masks(model, (0, 1), (1, 1))), []
    right = model.text_embeddings[[1, 5, 3, 3, 3]].clone()  # proposals 0 and 1 overlap with classes 1 and 5

    def anchors(dense, masks):
        seen.append(masks)
        return right.unsqueeze(0)

    monkeypatch.setattr(model.anchors, "forward", anchors)
    assert true_mask_classes(model, inputs, labels) == (2, 4)
    [masks] = seen
    assert masks[0, 0].sigmoid()[1:8, 8:].min() > 0.99 and masks[0, 0, 0].max() < 0  # rows 0 to 3 have no class
    covered = masks.sigmoid().sum(1)[0]  # four true masks cover all that has a class; the fifth proposal is empty
    assert covered[1:15].min() > 0.95
    monkeypatch.undo()
    with torch.no_grad():
        model.classifier.no_object.copy_(right[:1])  # no-object is no answer
    monkeypatch.setattr(model.anchors, "forward", anchors)
    assert true_mask_classes(model, inputs, labels) == (2, 4)


def test_nothing_to_find(deop, scene):
    model, (inputs, labels) = deop(), scene
    nothing = torch.full_like(labels, -1)
    assert mask_recall(model, inputs, nothing) == (0, 0) == true_mask_classes(model, inputs, nothing)


def test_more_regions_than_proposals(deop, scene):
    model, (inputs, labels) = deop("MODEL.PROPOSALS.NUM_QUERIES", 2), scene
    found, number = true_mask_classes(model, inputs, labels)
    assert found <= 2 and number == 4


def test_the_record_has_them(deop):
    assert set(system_of_model(deop()).measures) == {"mask recall", "classes of true masks"}
