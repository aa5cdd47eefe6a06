"""What each of two processes finds, for test_launch.py: ``two_processes.py FOLDER`` writes one JSON file for each."""

import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.samplers import InferenceSampler
from detectron2.engine import SimpleTrainer, create_ddp_model, launch
from detectron2.evaluation import SemSegEvaluator
from detectron2.utils import comm
from PIL import Image
from torch import nn


def communicate():
    rank = comm.get_rank()
    return {
        "world": [comm.get_world_size(), comm.get_local_size()],
        "rank": [rank, comm.get_local_rank()],
        "main": comm.is_main_process(),
        "backend": dist.get_backend(),
        "gather": comm.gather({"rank": rank}),
        "all_gather": comm.all_gather("x" * (rank + 1)),
        "shared": comm.shared_random_seed(),
    }


class Square(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.ones(2) * (1 + comm.get_rank()))  # rank 0's goes to both

    def forward(self, x):
        return {"loss": (self.w * x).square().sum()}


def train(folder):
    on_gpu = torch.cuda.is_available()
    device = f"cuda:{comm.get_local_rank()}" if on_gpu else "cpu"
    model = create_ddp_model(
        Square().to(device), broadcast_buffers=False, device_ids=[comm.get_local_rank()] if on_gpu else None
    )

    def read():
        time.sleep(0.05 * comm.get_rank())
        return torch.full((2,), 1.0 + comm.get_rank(), device=device)

    data = iter(read, None)
    trainer = SimpleTrainer(model, data, torch.optim.SGD(model.parameters(), lr=0.05))
    trainer.train(0, 2)
    DetectionCheckpointer(model, str(folder / "checkpoints")).save("model")
    comm.synchronize()
    history = trainer.storage.histories()
    reported = {k: [v for v, _ in history[k].values()] for k in ("total_loss", "data_time") if k in history}
    return {"w": model.module.w.tolist(), **reported}


def evaluate(folder):
    records = []
    for index in range(5):
        name = str(folder / f"{index}.png")
        records.append({"file_name": name, "sem_seg_file_name": name})
        if comm.is_main_process():
            Image.fromarray(np.full((2, 2), index % 2, np.uint8)).save(name)
    comm.synchronize()
    DatasetCatalog.register("two", lambda: records)
    MetadataCatalog.get("two").set(stuff_classes=["a", "b"], ignore_label=255)
    evaluator = SemSegEvaluator("two", distributed=True)
    evaluator.reset()
    indices = list(InferenceSampler(5))
    for index in indices:  # always class 0
        output = torch.stack([torch.ones(2, 2), torch.zeros(2, 2)])
        evaluator.process([records[index]], [{"sem_seg": output}])
    results = evaluator.evaluate()
    return {"indices": indices, "pACC": float(results["sem_seg"]["pACC"]) if results else None}


def main(folder):
    (folder / "checkpoints").mkdir(exist_ok=True)
    found = {**communicate(), "train": train(folder), "evaluate": evaluate(folder)}
    (folder / f"rank{comm.get_rank()}.json").write_text(json.dumps(found))
    # The real launch leaves the group as it is, and one process's exit may then break the other's.
    comm.synchronize()
    dist.destroy_process_group()


if __name__ == "__main__":
    launch(main, 2, dist_url="auto", args=(Path(sys.argv[1]),))
