"""The Python entry as the README gives it, in a process that has imported errseg alone."""

import subprocess
import sys

PROGRAM = """
import errseg, torch
cfg = errseg.config.get_cfg()
cfg.merge_from_file("configs/errseg_convnext_base.yaml")
cfg.MODEL.DEVICE, cfg.INPUT.RESOLUTION_TRAIN, cfg.INPUT.RESOLUTION_TEST = "cpu", 64, 64
model = errseg.build_model(cfg)
sd = {errseg.checkpoint.to_official(key): value.clone() for key, value in model.state_dict().items()}
model.load_state_dict(errseg.checkpoint.from_official(sd))
model.set_vocabulary(["cat", "grass", "sky", "sea"], num_classes=2)
image = torch.randint(0, 256, (3, 50, 70), dtype=torch.uint8)
with torch.no_grad():
    scores = model([{"image": image, "height": 50, "width": 70}])[0]["sem_seg"]
assert scores.shape == (4, 50, 70) and (scores.amax((1, 2)) > 1e-30).sum() == 2
losses = model.train()([{"image": image, "sem_seg": torch.zeros(50, 70, dtype=torch.long)}])
assert losses["loss_sem_seg"].isfinite()
"""


def test_every_line_works(request):
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=request.config.rootpath, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "RANDOM" in done.stderr  # the weights that base.yaml names were neither there nor asked to be left out
