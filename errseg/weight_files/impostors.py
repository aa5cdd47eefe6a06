"""Recognise a file that holds no weights by its first bytes, and say what to do about it."""

import re

__all__ = ["HEAD_BYTES", "impostor"]

HEAD_BYTES = 4096  # enough to recognise a file

DOWNLOAD = (
    "download the file itself: from Google Drive by the id in the link (gdown), from a model hub by the download link "
    "(resolve, not blob)"
)
PICKLE = "a pickle that torch.save did not write"
UNPACK = "unpack it, and give the checkpoint that was in it"
SIGNATURES = (  # first bytes of a file, what the file is, the remedy
    (b"\x1f\x8b", "a gzip archive", UNPACK),
    (b"BZh", "a bzip2 archive", UNPACK),
    (b"\xfd7zXZ\0", "an xz archive", UNPACK),
    (b"(\xb5/\xfd", "a zstd archive", UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", UNPACK),
    (b"Rar!", "a RAR archive", UNPACK),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file, as Keras writes", "save the PyTorch model's state dict with torch.save"),
    (b"GGUF", "a GGUF file of a language model", "give a checkpoint of ERR-Seg"),
    (b"\x93NUMPY", "a numpy array", "save a state dict with torch.save"),
    (b"\x89PNG", "a PNG picture", "give a checkpoint"),
    (b"\xff\xd8\xff", "a JPEG picture", "give a checkpoint"),
    (b"%PDF", "a PDF document", "give a checkpoint"),
    (
        b"version https://git-lfs",
        "a Git-LFS pointer",
        "run `git lfs pull` in its folder, which gets the file that it stands for",
    ),
    (b"/annex/objects/", "a git-annex pointer", "run `git annex get` in its folder"),
)


def impostor(head: bytes, size: int) -> tuple[str, str] | None:
    """What a file is, and the remedy, where it cannot hold tensors; None where it may hold them.

    Args:
        head: the first ``HEAD_BYTES`` bytes of the file.
        size: of the file.
    """
    if size == 0:
        return "an empty file", "get or write it again"
    if not head.strip(b"\0"):
        return "a file of zero bytes, as a broken download or a full disk leaves", "get or write it again"
    if head[257:262] == b"ustar":
        return "a tar archive", UNPACK
    for signature, what, remedy in SIGNATURES:
        if head.startswith(signature):
            return what, remedy
    return _text(head)


def _text(head: bytes) -> tuple[str, str] | None:
    """The same for a file of text; None where it is no text."""
    for encoding in ("utf-16",) if head[:2] in (b"\xff\xfe", b"\xfe\xff") else ("utf-8-sig", "latin-1"):
        try:
            text = head.decode(encoding).strip()
            break
        except UnicodeDecodeError as error:
            if error.end >= len(head) - 3 and len(head) == HEAD_BYTES:  # the head ends within a character
                text = head[: error.start].decode(encoding).strip()
                break
    else:
        return None
    lower = text.lower()
    if lower.startswith("<") and ("<html" in lower or lower.startswith("<!doctype")):
        return "a web page (HTML)", DOWNLOAD
    if any(not (character.isprintable() or character in "\r\n\t\f\x1b") for character in text):
        return None
    if lower.startswith("<"):
        return "an XML text, as a server answers in place of a file", DOWNLOAD
    if re.match(r"\(?[dl]p\d|c[a-z_]+\n", text):
        return PICKLE, "save a state dict with torch.save"
    if '"weight_map"' in text:
        return "the index (JSON) of a checkpoint in several files", "join the files, and save one state dict"
    if lower.startswith(("{", "[")):
        return "a JSON text", "give the file of the weights"
    return f"a text that begins with {text.splitlines()[0][:60] if text else ''!r}", "give the file of the weights"
