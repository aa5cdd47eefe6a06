"""The fuzzer: inputs of the cheap kinds show no fault, and a fault that is planted is found."""

import mmap
import os
import random
import signal
import socket
import time
from pathlib import Path

import pytest
import torch
from tqdm import tqdm

from errseg.errors import UsageError
from errseg.fuzz import KINDS, Case, try_case
from errseg.fuzz.bench import Bench
from errseg.fuzz.case import ACCEPT, EITHER, REFUSE
from errseg.fuzz.judge import MARK

CHEAP = ("configuration", "CLIP JSON", "data-set file", "label", "names file", "index", "picture", "evaluation.json")


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield Bench(tmp_path_factory.mktemp("bench"))
    torch.set_num_threads(threads)


@pytest.mark.parametrize("kind", CHEAP)
def test_no_fault(bench, tmp_path, kind):
    outcomes = []
    for number in range(6):
        folder = tmp_path / str(number)
        folder.mkdir()
        case = KINDS[kind](random.Random(f"{kind} 0 {number}"), bench, folder)
        outcomes.append(try_case(case, folder))
    assert [outcome for outcome in outcomes if outcome.kind not in ("sentence", "right")] == []
    assert any(outcome.kind == "sentence" for outcome in outcomes)


def touch():
    Path(MARK).touch()


def connect():
    with pytest.raises(OSError, match="no connection"):
        socket.create_connection(("127.0.0.1", 9))


def take_memory():
    """New pages from the system: what malloc gives may have been this process's all along."""
    pages = mmap.mmap(-1, 100 << 20)
    for place in range(0, len(pages), mmap.PAGESIZE):
        pages[place] = 1


def two_lines():
    raise UsageError("One line.\nAnd another.")


def sentence():
    raise UsageError("The key x is wrong; correct it.")


def spin():
    while True:
        pass


@pytest.mark.parametrize(
    ("kind", "run", "right"),
    [
        ("code", touch, EITHER),
        ("code", connect, EITHER),
        ("crash", lambda: os.kill(os.getpid(), signal.SIGKILL), EITHER),
        ("hang", spin, EITHER),
        ("hang", lambda: time.sleep(60), EITHER),
        ("memory", take_memory, EITHER),
        ("traceback", lambda: [][1], EITHER),
        ("silent", lambda: 5, REFUSE),
        ("silent", lambda: 6, EITHER),
        ("wrongly refused", sentence, ACCEPT),
        ("wording", two_lines, EITHER),
        ("sentence", sentence, REFUSE),
        ("right", lambda: 5, ACCEPT),
    ],
)
def test_outcomes(tmp_path, kind, run, right):
    case = Case("door", "planted", right, run, lambda result: "is 6" if result == 6 else None)
    limits = {"hang": {"seconds": 0.3}, "memory": {"max_bytes": 60 << 20}}.get(kind, {})
    assert try_case(case, tmp_path, **limits).kind == kind


def test_a_case_that_is_killed_while_it_draws_a_bar_blocks_no_other(tmp_path):
    def run():
        tqdm.get_lock().acquire()
        os.kill(os.getpid(), signal.SIGKILL)

    locks = tqdm.get_lock().locks  # of a thread, and of a process with its forks
    assert try_case(Case("door", "planted", EITHER, run, lambda result: None), tmp_path).kind == "crash"
    for lock in locks:
        assert lock.acquire(False)
        lock.release()
