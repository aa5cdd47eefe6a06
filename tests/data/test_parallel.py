"""One function over many items, in this process or in several."""

import itertools
import os
import signal
import subprocess
import sys
import time
from functools import partial

import pytest

from errseg.data.parallel import default_workers, parallel_map
from errseg.errors import UsageError


def double(item: int) -> tuple[int, int]:
    return 2 * item, os.getpid()


def refuse(limit: int, item: int) -> int:
    if item == limit:
        raise UsageError(f"Item {item} is bad.")
    return item


def die(item: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_results_come_in_order(workers):
    results = list(parallel_map(double, range(200), workers, "doubling"))
    assert [value for value, _ in results] == list(range(0, 400, 2))
    assert (os.getpid() in {pid for _, pid in results}) == (workers < 2)


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_keeps_its_sentence(workers):
    with pytest.raises(UsageError, match=r"^Item 7 is bad\.$"):
        list(parallel_map(partial(refuse, 7), range(100), workers, "refusing"))


def test_items_are_asked_for_as_results_are_taken():
    class Items(list):
        def __iter__(self):
            for self.taken in itertools.count(1):
                if self.taken > len(self):
                    return
                yield self.taken

    items = Items(range(1000))
    results = parallel_map(double, items, 2, "slowly")
    next(results)
    assert items.taken < 100
    results.close()


def test_a_killed_worker_is_named():
    with pytest.raises(UsageError, match="killed, perhaps for lack of memory; use fewer workers"):
        list(parallel_map(die, range(4), 2, "dying"))


def test_workers_end_with_their_parent(tmp_path):
    script = tmp_path / "run.py"
    script.write_text(
        "import os, sys, time\n"
        "from errseg.data.parallel import parallel_map\n"
        "def stay(item):\n"
        "    os.write(1, b'%d\\n' % os.getpid())  # at once: the lines of two processes could mix\n"
        "    time.sleep(60)\n"
        "list(parallel_map(stay, range(2), 2, 'staying'))\n"
    )
    run = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True)
    workers = [int(run.stdout.readline()) for _ in range(2)]
    run.kill()
    run.wait()
    deadline = time.monotonic() + 20
    while any(is_running(worker) for worker in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(is_running(worker) for worker in workers)


def is_running(process: int) -> bool:
    try:
        with open(f"/proc/{process}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"  # Z: it has ended
    except OSError:
        return False


def test_default_workers():
    assert 1 <= default_workers() <= 16
