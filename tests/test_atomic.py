import pytest

from errseg.atomic import replacing


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "made" / "file.txt"
    with replacing(path) as temporary:
        temporary.write_text("first")
    with pytest.raises(OSError, match="full"), replacing(path) as temporary:
        temporary.write_text("sec")
        raise OSError("disk full")
    assert path.read_text() == "first" and list(path.parent.iterdir()) == [path]
