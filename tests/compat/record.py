"""Writes tests/compat/data: a dumped configuration and a checkpoint of the Detectron2 that is active.

Run once under each: ``ERRSEG_DETECTRON2=real python tests/compat/record.py``, and ``compat``.
"""

import json
import shutil
import tempfile
from pathlib import Path

import errseg  # noqa: F401  isort: skip  makes detectron2 importable
import detectron2
import torch
from detectron2.config import get_cfg
from tiny import TinyTrainer, tiny_cfg

which = "compat" if "compat" in detectron2.__version__ else "real"
data = Path(__file__).parent / "data"
(data / f"config_{which}.yaml").write_text(get_cfg().dump(), encoding="utf-8")

with tempfile.TemporaryDirectory() as folder:
    torch.manual_seed(0)
    trainer = TinyTrainer(tiny_cfg(folder, MAX_ITER=4))
    trainer.train()
    shutil.copy(Path(folder) / "model_final.pth", data / f"checkpoint_{which}.pth")
    trainer = TinyTrainer(tiny_cfg(folder, MAX_ITER=8))
    trainer.resume_or_load(resume=True)
    trainer.train()
    last = [json.loads(line) for line in (Path(folder) / "metrics.json").read_text().splitlines()][-2:]
    losses = next(line for line in last if "total_loss" in line)
    (data / f"resumed_{which}.json").write_text(json.dumps({k: losses[k] for k in ("iteration", "lr", "total_loss")}))
