"""The same on a GPU as on the CPU; skipped where there is none."""

import pytest
import torch

from errseg.engine import Trainer, load_config

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU")


def test_predictions_and_losses_agree(build, make_batch):
    model, batch = build("MODEL.ESCF.DROP_PATH", 0.0), make_batch(2)
    with torch.no_grad():
        scores = model(batch)[1]["sem_seg"]
        loss = model.train()(batch)["loss_sem_seg"]
        model = model.to("cuda").eval()
        torch.testing.assert_close(model(batch)[1]["sem_seg"].cpu(), scores, atol=1e-4, rtol=1e-3)
        torch.testing.assert_close(model.train()(batch)["loss_sem_seg"].cpu(), loss, atol=1e-4, rtol=1e-3)


def test_a_run_with_amp_ends_and_its_losses_are_finite(tiny_config_file):
    cfg = load_config(str(tiny_config_file), ["MODEL.DEVICE", "cuda", "SOLVER.AMP.ENABLED", "True"])
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=False)
    trainer.train()
    losses = [value for value, _ in trainer.storage.history("total_loss").values()]
    assert len(losses) == cfg.SOLVER.MAX_ITER and torch.tensor(losses).isfinite().all()
