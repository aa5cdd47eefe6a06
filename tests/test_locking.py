"""One process at a time in an output folder."""

import os
import time

import pytest

from errseg.errors import UsageError
from errseg.locking import locked
from tests.warm import holding


def test_one_user_at_a_time(tmp_path):
    with locked(tmp_path / "out", "--out"):
        with pytest.raises(UsageError, match="--out = .*out is in use by another run of this process"):
            with locked(tmp_path / "x/../out", "--out"):
                pass
        with locked(tmp_path / "other", "--out"):
            pass
    with locked(tmp_path / "out", "--out"):
        pass


def test_another_process_and_its_end(tmp_path):
    """A lock ends with a kill, and a forked child of the holder does not keep it."""
    with holding(tmp_path) as process:
        with pytest.raises(UsageError, match=rf"OUTPUT_DIR = .* is in use by process {process.pid} on "):
            with locked(tmp_path, "OUTPUT_DIR"):
                pass
    with locked(tmp_path, "OUTPUT_DIR"):
        child = os.fork()
        if child == 0:
            time.sleep(5)
            os._exit(0)
    with locked(tmp_path, "OUTPUT_DIR"):
        pass
    os.kill(child, 9)
    os.waitpid(child, 0)


def test_an_error_frees_the_folder(tmp_path):
    with pytest.raises(KeyError):
        with locked(tmp_path, "OUTPUT_DIR"):
            raise KeyError
    with locked(tmp_path, "OUTPUT_DIR"):
        pass
