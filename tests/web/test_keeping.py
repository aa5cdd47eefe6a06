import os
import signal
import time

import pytest

from errseg.web.keeping import LEAST, LOCK, claim, remove_abandoned, stored, sweep, sweeping
from tests.warm import context
from tests.web.browser import wait_for


def claim_and_die(folder):
    lock = claim(folder)
    os.kill(os.getpid(), signal.SIGKILL)
    lock.close()


def write(path, content=b"x", age=0.0):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, (time.time() - age,) * 2)
    return path


def test_small_files_count_too(tmp_path):
    assert stored(tmp_path) == 0
    write(tmp_path / "a/b/small", b"x")
    write(tmp_path / "large", b"x" * (LEAST + 5))
    assert stored(tmp_path) == 2 * LEAST + 5


def test_sweep_deletes_what_is_old(tmp_path):
    """Broken-off uploads lie in the folder itself, whole ones in folders of their own."""
    old = [write(tmp_path / name, age=100) for name in ("tmp_broken_off", "hash/photo.png")]
    new = write(tmp_path / "other/photo.png", age=10)
    example = write(tmp_path / "examples/scene.png", age=10**6)
    sweep(tmp_path, 50, tmp_path / "examples")
    assert not any(path.exists() for path in old)
    assert new.exists() and example.exists()
    assert (tmp_path / "hash").exists()  # it has just been written into: an upload may be about to
    sweep(tmp_path, -1, tmp_path / "examples")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["examples"]


def test_sweep_follows_no_link(tmp_path):
    kept = write(tmp_path / "kept/file")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "link").symlink_to(kept)
    (folder / "away").symlink_to(kept.parent)
    sweep(folder, -1, folder / "examples")
    assert kept.exists() and not (folder / "link").is_symlink()


def test_sweeping_ends_with_its_block(tmp_path):
    path = write(tmp_path / "file", age=100)
    with sweeping(tmp_path, 0.1, tmp_path / "examples"):
        wait_for(lambda: not path.exists(), 20)
    path = write(tmp_path / "file", age=100)
    time.sleep(0.5)
    assert path.exists()


@pytest.mark.skipif(os.name != "posix", reason="folders are locked on POSIX alone")
def test_folders_of_killed_processes_go(tmp_path):
    """Those of a process that runs, of one that is about to claim its folder and of other programs stay."""
    killed, running, beginning, other = (tmp_path / name for name in ("web_1", "web_2", "web_3", "other_1"))
    pictures = [write(folder / "hash/photo.png") for folder in (killed, running, beginning, other)]
    process = context().Process(target=claim_and_die, args=(killed,))
    process.start()
    process.join()
    assert process.exitcode == -9 and (killed / LOCK).exists()
    (tmp_path / "web_4").symlink_to(killed)
    lock = claim(running)
    remove_abandoned(tmp_path, "web_")
    assert [picture.exists() for picture in pictures] == [False, True, True, True]
    lock.close()
    remove_abandoned(tmp_path, "web_")
    assert [picture.exists() for picture in pictures] == [False, False, True, True]


def test_sweep_spares_the_lock(tmp_path):
    lock = write(tmp_path / LOCK, age=10**6)
    sweep(tmp_path, 1, tmp_path / "examples", lock)
    assert lock.exists()
