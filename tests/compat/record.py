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
from tiny import TinyTrainer, read_records, tiny_cfg

which = "compat" if "compat" in detectron2.__version__ else "real"
data = Path(__file__).parent / "data"
(data / f"config_{which}.yaml").write_text(get_cfg().dump(), encoding="utf-8")

with tempfile.TemporaryDirectory() as folder:
    torch.manual_seed(0)
    TinyTrainer(tiny_cfg(folder)).train()
    shutil.copy(Path(folder) / "model_0000003.pth", data / f"checkpoint_{which}.pth")
    records = read_records(folder)
    (data / f"records_{which}.json").write_text("\n".join(map(json.dumps, records)) + "\n", encoding="utf-8")
