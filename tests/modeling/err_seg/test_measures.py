"""What a report measures in ERR-Seg's parts."""

import torch

from errseg.modeling import system_of_model
from tests.conftest import NAMES


def test_crm_recall(build, make_batch):
    model = build("MODEL.CRM.NUM_CLASSES_TEST", 3)
    measure = system_of_model(model).measures["CRM's recall"]
    [inputs] = make_batch(1)
    [[view]] = model.predict_views([inputs])
    kept = view.kept.tolist()
    [dropped] = [i for i in range(len(NAMES)) if i not in kept][:1]
    labels = torch.full((64, 64), -1)
    assert measure(model, inputs, labels) == (0, 0)
    labels[:8], labels[8:16], labels[16:24] = kept[0], kept[2], dropped
    assert measure(model, inputs, labels) == (2, 3)
