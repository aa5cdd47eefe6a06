"""Read files from any source as data, in bounded time and memory.

Only regular files are opened: an address, a directory, a device or a FIFO is an error. YAML and JSON become
dictionaries, lists, strings, numbers, dates, true, false and null, and nothing else: no file creates other objects or
runs code. XML becomes elements; a file with a document type, which could name other files or repeat itself without end,
is refused.
"""

import errno
import gc
import json
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from xml.parsers import expat

import yaml

from .errors import UsageError, short

__all__ = ["Element", "open_regular", "parse_yaml", "read_bytes", "read_json", "read_xml", "read_yaml"]

MAX_YAML_BYTES = 4 << 20
MAX_JSON_BYTES = 64 << 20
MAX_NODES = 100_000  # of a YAML file, including those that aliases and merges repeat
MAX_DEPTH = 50
MAX_TEXT = 10_000  # characters of a quoted YAML value
MAX_PLAIN = 2_000  # characters of a value without quotes: it may be a number, which takes PyYAML quadratic time
CORE_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("map", "seq", "str", "int", "float", "bool", "null")}

Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # both make only plain data; the C loader is ten times as fast


def open_regular(path: str | os.PathLike, what: str) -> int:
    """Open a regular file for reading. It never waits, as opening a FIFO would.

    Args:
        path: of the file.
        what: what the file is, for messages, such as "config file".

    Returns:
        A file descriptor.

    Raises:
        UsageError: there is no such file, it is not a regular one, or it cannot be opened.
    """
    path = os.fspath(path)
    if "://" in path:
        raise UsageError(f"The {what} {path} is an address; errseg reads local files alone: download it first.")
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except FileNotFoundError as error:
        raise UsageError(f"The {what} {path} does not exist; correct the path.") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        if getattr(error, "errno", None) in (errno.ENXIO, errno.ENODEV):
            raise UsageError(f"The {what} {path} is not a regular file; give one.") from error
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"The {what} {short(path)} cannot be opened ({reason}); correct the path.") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UsageError(f"The {what} {path} is not a regular file; give one.")
    return descriptor


def read_bytes(path: str | os.PathLike, what: str, limit: int) -> bytes:
    """The content of a regular file.

    Args:
        path: of the file.
        what: what the file is, for messages.
        limit: bytes that it may have.

    Raises:
        UsageError: as ``open_regular``; or it is larger, or the disk fails.
    """
    with os.fdopen(open_regular(path, what), "rb") as file:
        try:
            content = file.read(limit + 1)
        except OSError as error:
            raise UsageError(f"The {what} {path} cannot be read ({error.strerror}); restore it.") from error
    if len(content) > limit:
        raise UsageError(f"The {what} {path} is larger than {limit} bytes, the limit; is it the right file?")
    return content


def read_yaml(path: str | os.PathLike, what: str) -> Any:
    """The plain data in a YAML file of one document; None where the file is empty.

    Args:
        path: of the file, in UTF-8 or UTF-16.
        what: what the file is, for messages.

    Raises:
        UsageError: as ``read_bytes``; or the file is no YAML, has a tag other than YAML's own, repeats a key, has an
            alias inside its own value, or is too deep or too large with its aliases written out.
    """
    return parse_yaml(read_bytes(path, what, MAX_YAML_BYTES), f"The {what} {path}")


def parse_yaml(text: str | bytes, source: str) -> Any:
    """The plain data in a YAML text, as ``read_yaml``.

    Args:
        text: one document.
        source: begins the message of an error.
    """
    try:
        _check_events(text)
        return yaml.load(text, Loader=Loader)  # a loader of plain data
    except _Refused as error:
        raise UsageError(f"{source} {error}.") from error
    except Exception as error:  # PyYAML raises ValueError, KeyError and others for values that do not fit their tags
        raise UsageError(f"{source} is no YAML ({_reason(error)}); correct it.") from error


def read_json(
    path: str | os.PathLike,
    what: str,
    limit: int = MAX_JSON_BYTES,
    made: Callable[[dict[str, Any]], Any] | None = None,
) -> Any:
    """The data in a JSON file.

    Args:
        path: of the file, in UTF-8 (with or without a byte-order mark), UTF-16 or UTF-32.
        what: what the file is, for messages.
        limit: bytes that it may have.
        made: is given each object as soon as it is parsed, and returns what takes its place: a smaller one, where a
            file has millions.

    Raises:
        UsageError: as ``read_bytes``; or the file is no JSON, repeats a key, or holds NaN or an infinite number.
    """
    content = read_bytes(path, what, limit)
    hook = _unique if made is None else lambda pairs: made(_unique(pairs))
    try:
        text = _decoded(content)
        del content  # not beside its text and its values: a file may have a gigabyte
        with _no_collection():
            return json.loads(text, object_pairs_hook=hook, parse_constant=_no_constant)
    except _Refused as error:
        raise UsageError(f"The {what} {path} {error}.") from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise UsageError(f"The {what} {path} is no JSON ({_reason(error)}); correct it.") from error


@dataclass
class Element:
    """An element of an XML file."""

    tag: str
    attributes: dict[str, str]
    children: list["Element"] = field(default_factory=list)
    text: str = ""

    def every(self, tag: str) -> Iterator["Element"]:
        """The elements of a tag below this one, in their order."""
        for child in self.children:
            if child.tag == tag:
                yield child
            yield from child.every(tag)


def read_xml(path: str | os.PathLike, what: str, limit: int) -> Element:
    """The root element of an XML file.

    Args:
        path: of the file.
        what: what the file is, for messages.
        limit: bytes that it may have.

    Raises:
        UsageError: as ``read_bytes``; or the file is no XML, has a document type, or is too deep.
    """
    top = Element("", {})
    stack = [top]

    def begin(tag: str, attributes: dict[str, str]) -> None:
        if len(stack) > MAX_DEPTH:
            raise _Refused(f"nests its elements deeper than {MAX_DEPTH} levels; make it flatter")
        stack.append(Element(tag, attributes))
        stack[-2].children.append(stack[-1])

    def add_text(text: str) -> None:
        stack[-1].text += text

    def refuse(*_: Any) -> None:
        raise _Refused("has a document type (<!DOCTYPE …>); remove it")

    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = begin, lambda tag: stack.pop()
    parser.CharacterDataHandler, parser.StartDoctypeDeclHandler = add_text, refuse
    try:
        parser.Parse(read_bytes(path, what, limit), True)
    except _Refused as error:
        raise UsageError(f"The {what} {path} {error}.") from error
    except (expat.ExpatError, LookupError, ValueError) as error:  # the others: of an unknown encoding
        if isinstance(error, UsageError):
            raise
        raise UsageError(f"The {what} {path} is no XML ({_reason(error)}); correct it.") from error
    return top.children[0]


class _Refused(ValueError):
    """A file has something that is refused; the message is the predicate of a sentence."""


class _Open:
    """A collection whose end has not been parsed yet: its anchor, its size and, for a mapping, its keys."""

    def __init__(self, anchor: str | None, is_mapping: bool):
        self.anchor = anchor
        self.keys: set[str] | None = set() if is_mapping else None
        self.at_key = is_mapping
        self.size = 1


def _check_events(text: str | bytes) -> None:
    """Refuse a YAML text that is not plain data, or that exceeds the limits; this only parses it, and makes nothing."""
    sizes: dict[str, int | None] = {}  # by anchor; None: of a collection whose end has not been parsed yet
    stack = [_Open(None, False)]

    def add(size: int, key: str | None = None) -> None:
        parent = stack[-1]
        parent.size += size
        if parent.size > MAX_NODES:
            raise _Refused(f"has more than {MAX_NODES} values, aliases written out; make it smaller")
        if parent.keys is not None:
            if parent.at_key and key is not None and key != "<<":
                if key in parent.keys:
                    raise _Refused(f"has the key {short(key)} twice in one place; keep one of them")
                parent.keys.add(key)
            parent.at_key = not parent.at_key

    for event in yaml.parse(text, Loader=Loader):
        if isinstance(event, yaml.AliasEvent):
            size = sizes.get(event.anchor, 1)  # the loader refuses an unknown anchor
            if size is None:
                raise _Refused(f"has the alias *{short(event.anchor)} inside its own value; write the value out")
            add(size)
        elif isinstance(event, yaml.CollectionEndEvent):
            done = stack.pop()
            if done.anchor is not None:
                sizes[done.anchor] = done.size
            add(done.size)
        elif isinstance(event, yaml.NodeEvent):
            if event.tag not in (None, "!") and event.tag not in CORE_TAGS:
                raise _Refused(f"has the tag {short(event.tag)}; give plain values: a file makes no other objects")
            if isinstance(event, yaml.ScalarEvent):
                most = MAX_PLAIN if event.tag or event.implicit[0] else MAX_TEXT
                if len(event.value) > most:
                    raise _Refused(f"has a value of {len(event.value)} characters; give at most {most}")
                if event.anchor is not None:
                    sizes[event.anchor] = 1
                add(1, event.value)
            else:
                if len(stack) > MAX_DEPTH:
                    raise _Refused(f"nests its values deeper than {MAX_DEPTH} levels; make it flatter")
                if event.anchor is not None:
                    sizes[event.anchor] = None
                stack.append(_Open(event.anchor, isinstance(event, yaml.MappingStartEvent)))


@contextmanager
def _no_collection() -> Iterator[None]:
    """No search for cycles in this context: JSON makes none, and the search of millions of values takes minutes."""
    enable = gc.enable if gc.isenabled() else gc.disable
    gc.disable()
    try:
        yield
    finally:
        enable()


def _decoded(content: bytes) -> str:
    return content.decode(json.detect_encoding(content))


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))
        raise _Refused(f"has the key {short(twice)!r} twice in one place; keep one of them")
    return made


def _no_constant(word: str) -> Callable:
    raise _Refused(f"holds {word}, which is no JSON number; replace it")


def _reason(error: Exception) -> str:
    """An exception's message as a clause of a sentence."""
    if isinstance(error, (RecursionError, MemoryError)):
        return "it nests its values too deeply"
    return short(error, 300).rstrip(".") or type(error).__name__
