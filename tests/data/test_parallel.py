"""One function over many items, in this process or in several."""

import itertools
import os
import signal
import time
from functools import partial

import pytest

from errseg.data.parallel import default_workers, parallel_map
from errseg.errors import UsageError
from tests.warm import context


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


def stay(folder):
    (folder / str(os.getpid())).touch()
    time.sleep(60)


def in_two_processes(folder):
    list(parallel_map(stay, [folder] * 2, 2, "staying"))


def test_workers_end_with_their_parent(tmp_path):
    run = context().Process(target=in_two_processes, args=(tmp_path,))
    run.start()
    deadline = time.monotonic() + 60
    while len(list(tmp_path.iterdir())) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    workers = [int(path.name) for path in tmp_path.iterdir()]
    assert len(workers) == 2
    run.kill()
    run.join()
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
