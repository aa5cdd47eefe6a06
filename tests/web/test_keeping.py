import os
import time

from errseg.web.keeping import LEAST, stored, sweep, sweeping
from tests.web.browser import wait_for


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
