"""Files that are given as checkpoints: what they are is found out and said, and what is read is what was written."""

import argparse
import gzip
import io
import os
import pickle
import re
import struct
import tarfile
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from errseg.errors import UsageError
from errseg.weight_files import read_weight_file

WEIGHTS = {"a.weight": torch.arange(12.0).view(4, 3), "a.bias": torch.ones(3)}
CONTENT = {"model": WEIGHTS, "iteration": 3}


def saved(content, **options) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream, **options)
    return stream.getvalue()


def members(data: bytes) -> list[tuple[str, bytes]]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return [(name, archive.read(name)) for name in archive.namelist()]


def packed(files, compression=zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        for name, data in files:
            archive.writestr(name, data)
    return stream.getvalue()


def with_index(index: bytes) -> bytes:
    """A checkpoint whose table of contents is another pickle."""
    return packed((name, index if name.endswith("data.pkl") else data) for name, data in members(saved(CONTENT)))


def with_flipped_bit(data: bytes, part: bytes) -> bytes:
    changed = bytearray(data)
    changed[data.index(part) + 2] ^= 16
    return bytes(changed)


def tar() -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("model.pth"))
    return stream.getvalue()


class Act:
    def __reduce__(self):
        return os.system, ("exit 1",)


@pytest.fixture
def refusal(tmp_path):
    """``refusal(bytes)``: the sentence that says why a file is no checkpoint."""

    def read(data: bytes) -> str:
        path = tmp_path / "x.pth"
        path.write_bytes(data)
        with pytest.raises(UsageError, match=r"x\.pth ") as caught:
            read_weight_file(str(path))
        return str(caught.value)

    return read


# ---- what is read ----


@pytest.mark.parametrize("legacy", [False, True])
def test_files_of_torch_save(tmp_path, legacy):
    extras = {
        "n": 1,
        "x": 0.5,
        "t": (1, None),
        "set": {1},
        "bytes": b"ab",
        "parameter": torch.nn.Parameter(torch.ones(2)),
    }
    torch.save(CONTENT | extras, tmp_path / "x.bin", _use_new_zipfile_serialization=not legacy)
    content = read_weight_file(str(tmp_path / "x.bin"))
    assert content.keys() == CONTENT.keys() | extras.keys() and content["set"] == {1} and content["bytes"] == b"ab"
    assert all(torch.equal(content["model"][name], WEIGHTS[name]) for name in WEIGHTS)


def test_bytes_tell_the_format_not_the_ending(tmp_path):
    save_file(WEIGHTS, tmp_path / "x.pth")
    torch.save(WEIGHTS, tmp_path / "x.safetensors")
    for name in ("x.pth", "x.safetensors"):
        assert torch.equal(read_weight_file(str(tmp_path / name))["a.weight"], WEIGHTS["a.weight"])


def test_a_file_without_checksums_is_read_with_a_warning(tmp_path, caplog):
    from torch.serialization import set_crc32_options

    set_crc32_options(False)
    try:
        torch.save(CONTENT, tmp_path / "x.pth")
    finally:
        set_crc32_options(True)
    assert read_weight_file(str(tmp_path / "x.pth"))["iteration"] == 3
    assert "x.pth was written without checksums" in caplog.text


# ---- what is something else ----


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"<!DOCTYPE html><html><title>Google Drive - Virus scan warning</title>", "a web page .*gdown"),
        (b"\n <html lang='de'>\xc3\xa4", "a web page"),
        (b"\xef\xbb\xbf<html>", "a web page"),
        (b"<html>\xe4 in latin-1", "a web page"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "an XML text"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 2\n", "a Git-LFS pointer.*git lfs pull"),
        (b'{"error": "not found"}', "a JSON text"),
        (b'{"metadata": {}, "weight_map": {}}', "index .*several files"),
        (b"Not Found", "a text that begins with 'Not Found'"),
        (b"", "an empty file"),
        (b"\0" * 5000, "zero bytes"),
        (bytes(range(128, 256)) * 20, "no kind of file that holds weights"),
        (gzip.compress(b"x", mtime=0), "a gzip archive.*unpack"),
        (tar(), "a tar archive.*unpack"),
        (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
        (packed([("model.pth", b"x")]), "holds 'model.pth'; unpack"),
        (packed([("a.npy", b"x")]), "numpy arrays"),
        (pickle.dumps({"model": {"a": np.ones(2)}, "__author__": "x"}, 2), "a pickle.*model zoo.*as_tensor"),
        (pickle.dumps({"model": 1}, 0), "a pickle"),
        (pickle.dumps({"model": 1}, 4), "a pickle"),
        (saved(CONTENT, pickle_protocol=4), "another pickle protocol.*torch.save"),
    ],
)
def test_what_is_no_checkpoint_is_called_by_its_name(refusal, data, words):
    assert re.search(words, refusal(data))


def test_only_regular_files_are_opened(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", tmp_path, "/dev/zero"):
        with pytest.raises(UsageError, match="not a regular file"):
            read_weight_file(str(path))
    with pytest.raises(UsageError, match="address"):
        read_weight_file("https://example.com/x.pth")


# ---- what is damaged ----


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (saved(CONTENT)[:700], "cut off"),
        (saved(CONTENT)[:-5], "cut off"),
        (saved(CONTENT) + b"xx", "after its end"),
        (with_flipped_bit(saved(CONTENT), WEIGHTS["a.weight"].numpy().tobytes()), "'model.a.weight' differ"),
        (with_flipped_bit(saved(CONTENT), b"iteration"), "its table of contents differs"),
        (packed((n, d[:4] if n.endswith("data/0") else d) for n, d in members(saved(CONTENT))), "4 of the 48 bytes"),
        (packed((n, d) for n, d in members(saved(CONTENT)) if not n.endswith("data/0")), "0 of the 48 bytes"),
        (saved(CONTENT, _use_new_zipfile_serialization=False)[:-7], "cut off within the values at 'model.a."),
        (saved(CONTENT, _use_new_zipfile_serialization=False)[:60], "is damaged"),
    ],
)
def test_damage_is_found_and_placed(refusal, data, words):
    assert words in refusal(data)


@pytest.mark.parametrize("size", [-3, 60])
def test_a_safetensors_file_that_is_cut_off(tmp_path, refusal, size):
    save_file(WEIGHTS, tmp_path / "x")
    assert "get or write the file again" in refusal((tmp_path / "x").read_bytes()[:size])


# ---- what takes more than it has ----

PAIRS = b"".join(
    b"q" + bytes([i]) + b"h" + bytes([i]) + b"\x86" for i in range(60)
)  # a tuple of itself twice, 60 times


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (
            with_index(b"\x80\x02}X\5\0\0\0modelcbuiltins\nbytearray\nJ\0\0\0\x70\x85Rs."),
            "bytes that are not in the file",
        ),
        (
            with_index(b"\x80\x02}X\5\0\0\0modelctorch\nFloatTensor\nJ\0\0\0\x70\x85Rs."),
            "an object of torch.FloatTensor",
        ),
        (with_index(b"\x80\x02})" + PAIRS + b"K\1s."), "a tuple within a key"),
        (with_index(b"\x80\x02}r\xff\xff\xff\x7f."), "out of order"),
        (
            with_index(
                b"\x80\x02((" + b"NN\x86" * 9000 + b"lq\0" + b"ccollections\nOrderedDict\nh\0\x85R" * 50 + b"e."
            ),
            "copies",
        ),
        (with_index(b"\x80\x02" + b"]" * 500 + b"a" * 499 + b"."), "deeper than 50 levels"),
        (with_index(b"\x80\x02](X" + struct.pack("<I", 65 << 20) + bytes(65 << 20) + b"e."), "more than 64 MB"),
        (packed(members(saved(CONTENT)), zipfile.ZIP_DEFLATED), "members are compressed"),
        (struct.pack("<Q", 40 << 20) + b"{" + b" " * 90, "header of 41943040 bytes"),
    ],
)
def test_bombs_are_refused(refusal, data, words):
    assert words in refusal(data)


def test_a_pickle_of_too_many_instructions_is_not_followed(monkeypatch, refusal):
    monkeypatch.setattr("errseg.pickled.trace.__defaults__", (1000,))
    assert "more than 1000 instructions" in refusal(with_index(b"\x80\x02](" + b"]" * 2000 + b"e."))


# ---- what is neither a tensor nor plain ----


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            {"model": WEIGHTS, "best": np.float64(3)},
            ["a numpy scalar at 'best'", "weights_only=False)['model'], 'weights.pth')"],
        ),
        ({"model": WEIGHTS, "args": argparse.Namespace(x=1)}, ["argparse.Namespace at 'args'"]),
        ({"model": {"a": np.ones(2)}}, ["a numpy array at 'model.a'", "torch.as_tensor(v)"]),
        (torch.nn.Linear(1, 1), ["Linear in place of a state dict", ".state_dict()"]),
        ({"epoch": 1, "model": torch.nn.Linear(1, 1)}, ["Linear at 'model'", "['model'].state_dict()"]),
        ({"model": {"a": torch.eye(2).to_sparse()}}, ["a sparse tensor at 'model.a'"]),
        ({"model": {"a": torch.empty(2, device="meta")}}, ["a tensor without values"]),
        ({"model": Act()}, ["system at 'model'", "get another file"]),
    ],
)
def test_other_objects_are_named_with_the_way_out(refusal, content, words):
    message = refusal(saved(content))
    assert all(word in message for word in words) and "safe_globals" not in message
