"""What each of two processes finds, for test_launch.py: ``two_processes.py FOLDER`` writes one JSON file for each."""

import json
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.data.samplers import InferenceSampler
from detectron2.engine import create_ddp_model, launch
from detectron2.utils import comm
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
        "share": list(InferenceSampler(5)),
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
    device_ids = [comm.get_local_rank()] if on_gpu else None
    model = create_ddp_model(Square().to(device), broadcast_buffers=False, device_ids=device_ids)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    for _ in range(2):
        optimizer.zero_grad()
        model(torch.full((2,), 1.0 + comm.get_rank(), device=device))["loss"].backward()
        optimizer.step()
    DetectionCheckpointer(model, str(folder / "checkpoints")).save("model")
    return model.module.w.tolist()


def main(folder):
    (folder / "checkpoints").mkdir(exist_ok=True)
    found = {**communicate(), "w": train(folder)}
    (folder / f"rank{comm.get_rank()}.json").write_text(json.dumps(found))
    # The real launch leaves the group as it is, and one process's exit may then break the other's.
    comm.synchronize()
    dist.destroy_process_group()


if __name__ == "__main__":
    launch(main, 2, dist_url="auto", args=(Path(sys.argv[1]),))
