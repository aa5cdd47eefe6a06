"""The files of the formats."""

import numpy as np
import pytest
import torch

from errseg.export.formats import runner_of, write_program


class Doubled(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.arange(4096.0))

    def forward(self, images):
        best = (images.float() * self.weight).sort(dim=1, descending=True, stable=True)
        return best.indices.to(torch.uint16), best.values


@pytest.mark.parametrize("limit", (0, 1 << 30))
def test_weights_that_one_file_cannot_hold_go_beside_it(tmp_path, monkeypatch, limit):
    monkeypatch.setattr("errseg.export.formats.ONE_FILE", limit)
    images = torch.ones(2, 4096, dtype=torch.uint8)
    images[1] = 0  # all are equal
    with torch.no_grad():
        program = torch.export.export(Doubled(), (images,))
    write_program(program, "onnx", tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"model.onnx"} | ({"model.onnx.data"} if limit == 0 else set())
    order, values = runner_of(tmp_path / "model.onnx", 1)(images.numpy())
    assert values[0, 0] == 4095 and order[0, 0] == 4095
    assert (order[1] == np.arange(4096)).all()  # the lower index first, as torch's stable sort
