"""The tag that names a run's newest checkpoint is the name of a file beside it, and nothing else."""

import os
import re

import pytest

from errseg.checkpoint import ERRSegCheckpointer, last_checkpoint
from errseg.errors import UsageError


def test_the_newest_checkpoint(tmp_path):
    assert last_checkpoint(tmp_path) == ""
    (tmp_path / "model_0000003.pth").touch()
    (tmp_path / "last_checkpoint").write_text("model_0000003.pth\n")
    assert last_checkpoint(str(tmp_path)) == str(tmp_path / "model_0000003.pth")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"../x.pth", "must hold the name of a checkpoint"),
        (b"/etc/hosts", "must hold the name"),
        (b"a\\x.pth", "must hold the name"),
        (b"..", "must hold the name"),
        (b"", "must hold the name"),
        (b"x.pth\0", "must hold the name"),
        (b"x.pth\nx.pth", "must hold the name"),
        (b"\x80\x02\xff\x00", "must hold the name"),
        (b"http://x.pth", "must hold the name"),
        (b"x" * 5000, "larger than 1024 bytes"),
        (b"none.pth", "names 'none.pth', which is not there"),
    ],
)
def test_another_content_is_a_sentence(tmp_path, content, words):
    (tmp_path / "x.pth").touch()
    (tmp_path / "run").mkdir()
    (tmp_path / "run/last_checkpoint").write_bytes(content)
    with pytest.raises(UsageError, match=f"last_checkpoint .*{re.escape(words)}"):
        ERRSegCheckpointer(None, str(tmp_path / "run")).get_checkpoint_file()


def test_a_tag_that_is_no_regular_file(tmp_path):
    os.mkfifo(tmp_path / "last_checkpoint")
    with pytest.raises(UsageError, match="not a regular file"):
        last_checkpoint(tmp_path)
