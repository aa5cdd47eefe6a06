"""The launcher's processes end with it."""

import multiprocessing
import os
import signal
import time

import pytest

from errseg.engine.launch import _ending_children


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_signal_to_the_launcher_alone_ends_its_processes(number):
    started, before = [], signal.getsignal(signal.SIGTERM)
    with pytest.raises((KeyboardInterrupt, SystemExit)) as caught:
        with _ending_children():
            started.append(multiprocessing.get_context("spawn").Process(target=time.sleep, args=(60,)))
            started[0].start()
            os.kill(os.getpid(), number)
            time.sleep(10)
    assert not started[0].is_alive() and signal.getsignal(signal.SIGTERM) == before
    assert number == signal.SIGINT or caught.value.code == 143


def test_processes_of_others_stay():
    other = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(60,))
    other.start()
    with pytest.raises(KeyboardInterrupt):
        with _ending_children():
            raise KeyboardInterrupt
    assert other.is_alive()
    other.kill()
    other.join()
