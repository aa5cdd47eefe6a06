"""Several processes: ``launch``, communication, data parallel training."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.engine import launch
from detectron2.utils import comm

from tests.warm import run_script

HERE = Path(__file__).parents[1]


def test_a_world_of_one():
    assert (comm.get_world_size(), comm.get_rank(), comm.get_local_rank(), comm.get_local_size()) == (1, 0, 0, 1)
    assert comm.is_main_process()
    assert comm.gather(3) == comm.all_gather(3) == [3]
    comm.synchronize()
    np.random.seed(3)
    assert comm.shared_random_seed() == 218175338


def test_one_process_is_this_one():
    seen = []
    launch(seen.append, 1, args=("here",))
    assert seen == ["here"]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    if torch.cuda.is_available() and torch.cuda.device_count() < 2:
        pytest.skip("launch gives each process a GPU of its own where there is CUDA, and there are not two")
    folder = tmp_path_factory.mktemp("two")
    done = run_script(HERE / "two_processes.py", [folder], folder, folder / "log.txt")
    assert done.wait(120) == 0, done.log.read_text()
    return folder, [json.loads((folder / f"rank{rank}.json").read_text()) for rank in range(2)]


def test_communication(found):
    _, ranks = found
    for rank, answers in enumerate(ranks):
        assert answers["world"] == [2, 2] and answers["rank"] == [rank, rank] and answers["main"] == (rank == 0)
        assert answers["backend"] == ("nccl" if torch.cuda.is_available() else "gloo")
        assert answers["gather"] == ([{"rank": 0}, {"rank": 1}] if rank == 0 else [])
        assert answers["all_gather"] == ["x", "xx"]
        assert answers["shared"] == ranks[0]["shared"]
    assert [answers["share"] for answers in ranks] == [[0, 1, 2], [3, 4]]


def test_data_parallel_training(found):
    folder, ranks = found
    w = 1.0
    for _ in range(2):  # the mean over processes of 2 w x^2 with x = 1 and 2
        w -= 0.05 * (2 * w + 2 * 4 * w) / 2
    for answers in ranks:
        assert answers["w"] == pytest.approx([w, w])
    state = torch.load(folder / "checkpoints" / "model.pth", weights_only=True)["model"]
    assert list(state) == ["w"] and state["w"].tolist() == pytest.approx([w, w])


def test_an_error_in_one_process_ends_all(tmp_path):
    if torch.cuda.is_available():
        pytest.skip("needs two processes on the CPU")
    script = tmp_path / "broken.py"
    script.write_text(
        "import time\nfrom detectron2.engine import launch\nfrom detectron2.utils import comm\n"
        "def main():\n    if comm.get_rank() == 1:\n        raise ValueError('from rank one')\n    time.sleep(60)\n"
        "if __name__ == '__main__':\n    launch(main, 2, dist_url='auto')\n"
    )
    done = run_script(script, [], tmp_path, tmp_path / "log.txt")
    assert done.wait(60) != 0 and "from rank one" in done.log.read_text()
