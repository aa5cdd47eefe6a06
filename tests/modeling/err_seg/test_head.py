"""The head as a whole."""

import torch


def test_seeded_weights_are_those_of_earlier_versions(build):
    """The order in which ESCF, GUD and HSM are built decides their random weights, and with them seeded figures."""
    head = build().sem_seg_head
    for weight, recorded in (
        (head.escf.layers[0].attention.q.weight, (-0.016044959, -0.005776652, -0.021012116)),
        (head.gud.head.weight, (-0.317667544, -0.499543309, -0.491965592)),
        (head.hsm.fuse.weight, (0.018962308, -0.013008878, -0.006323710)),
    ):
        torch.testing.assert_close(weight.detach().flatten()[:3], torch.tensor(recorded), atol=1e-7, rtol=1e-5)
