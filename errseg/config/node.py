"""A configuration node whose files are plain data.

Detectron2's own ``merge_from_file`` creates any Python object that a YAML tag names, and downloads a ``_BASE_`` from
the web. Nodes of this class read files with :func:`read_tree` instead.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from detectron2.config import CfgNode

from errseg.errors import UsageError
from errseg.safe_files import read_yaml

from .keys import key_words

__all__ = ["Config", "as_data", "read_tree"]

BASE = "_BASE_"
VERSION = 2  # of the layout of Detectron2's configuration
MAX_FILES = 100  # that one configuration may be made of

Tree = dict[str, Any]


class Config(CfgNode):
    """Detectron2's configuration node, which reads files safely."""

    @classmethod
    def load_yaml_with_base(cls, filename: str, allow_unsafe: bool = False) -> Tree:
        """See :func:`read_tree`. Detectron2 has the argument ``allow_unsafe``; it has no effect here."""
        return read_tree(filename)

    def merge_from_file(self, cfg_filename: str, allow_unsafe: bool = False) -> None:
        """Merge a YAML file, after the files that it inherits from.

        Args:
            cfg_filename: path of the file.
            allow_unsafe: an argument of Detectron2's, without effect: no file creates a Python object.

        Raises:
            UsageError: see :func:`read_tree`.
            KeyError: a key is not declared.
            ValueError: a value does not fit its key.
        """
        self.merge_from_other_cfg(type(self)(read_tree(cfg_filename)))

    def merge_from_other_cfg(self, cfg_other: CfgNode) -> None:
        """Merge another configuration. A key of ``key_words`` may change between a number and a word."""
        with _words_allowed(self, {key: _leaf(cfg_other, key) for key in key_words()}):
            super().merge_from_other_cfg(cfg_other)

    def merge_from_list(self, cfg_list: list[Any]) -> None:
        """Merge keys and values in turn. A key of ``key_words`` may change between a number and a word."""
        with _words_allowed(self, dict(zip(cfg_list[::2], cfg_list[1::2], strict=False))):
            super().merge_from_list(cfg_list)


@contextmanager
def _words_allowed(cfg: CfgNode, values: Mapping[Any, Any]) -> Iterator[None]:
    """Let a value of another type replace that of a key of ``key_words``, if one of both is such a word.

    yacs lets a value of any type replace None; it refuses other changes of the type.
    """
    before = {}
    for key, words in key_words().items():
        old, new = _leaf(cfg, key), values.get(key)
        if new is not None and (old in words or new in words):
            before[key] = old
            _section(cfg, key)[key.rpartition(".")[2]] = None
    try:
        yield
    except BaseException:
        for key, old in before.items():
            _section(cfg, key)[key.rpartition(".")[2]] = old
        raise


def _leaf(cfg: Any, key: str) -> Any:
    """The value of a key; None where there is none."""
    for part in key.split("."):
        cfg = cfg.get(part) if isinstance(cfg, Mapping) else None
    return cfg


def _section(cfg: CfgNode, key: str) -> CfgNode:
    for part in key.split(".")[:-1]:
        cfg = cfg[part]
    return cfg


def read_tree(path: str | os.PathLike) -> Tree:
    """The keys of a configuration file and of those that it inherits from, as nested dictionaries.

    ``_BASE_`` names a file, or a list of files, by its path or relative to the file that names it. A key of a later
    base replaces that of an earlier one, and a file's own keys replace those of its bases.

    Args:
        path: of a YAML file.

    Raises:
        UsageError: a file is missing, no regular file, no YAML of plain values, or no mapping of names; or ``_BASE_``
            is no path, or files inherit from each other in a circle; or the ``VERSION`` is not 2.
    """
    return _Reader().read(os.fspath(path), ())


def as_data(cfg: CfgNode) -> Tree:
    """A configuration as nested dictionaries of plain values, as its file would hold them."""
    return yaml.safe_load(cfg.dump())


class _Reader:
    """Reads the files of one configuration, and counts them."""

    def __init__(self) -> None:
        self.count = 0

    def read(self, path: str, children: tuple[str, ...]) -> Tree:
        """The keys of a file and its bases.

        Args:
            path: of the file.
            children: the real paths of the files that inherit from it.
        """
        real = os.path.realpath(path) if "\0" not in path else path
        if real in children:
            raise UsageError(f"The config file {path} inherits from itself; correct {BASE} in {children[-1]}.")
        self.count += 1
        if self.count > MAX_FILES:
            raise UsageError(f"The config file {path} is one of more than {MAX_FILES} by {BASE}; inherit from fewer.")
        own = _checked(path, read_yaml(path, "config file"))
        tree: Tree = {}
        for base in _bases(path, own.pop(BASE, [])):
            _merge(self.read(base, (*children, real)), tree, base)
        _merge(own, tree, path)
        return tree


def _checked(path: str, content: Any) -> Tree:
    """The content of a file, if it is a mapping of names; UsageError if not."""
    if not isinstance(content, dict):
        found = "nothing" if content is None else f"a {type(content).__name__}"
        raise UsageError(f"The config file {path} holds {found}; give keys and values, such as MODEL: {{DEVICE: cpu}}.")
    _check_names(path, content, "")
    version = content.get("VERSION", VERSION)
    if version != VERSION:
        raise UsageError(f"The config file {path} has VERSION: {version!r}; update its keys to version {VERSION}.")
    return content


def _check_names(path: str, tree: Tree, prefix: str) -> None:
    for key, value in tree.items():
        if not isinstance(key, str):
            inside = f" in {prefix[:-1]}" if prefix else ""
            raise UsageError(f"The config file {path} has the key {key!r}{inside}; a key is a name: correct it.")
        if isinstance(value, dict):
            _check_names(path, value, f"{prefix}{key}.")


def _bases(path: str, value: Any) -> list[str]:
    """The paths of the files that a file inherits from."""
    paths = value if isinstance(value, list) else [value]
    for each in paths:
        if not isinstance(each, str) or not each:
            raise UsageError(f"{BASE} in the config file {path} is {each!r}; give the path of a config file.")
    folder = Path(path).parent
    return [each if "://" in each else str(folder / os.path.expanduser(each)) for each in paths]


def _merge(source: Tree, target: Tree, path: str) -> None:
    """Merge the keys of ``source`` into ``target``, whose values they replace."""
    for key, value in source.items():
        if not isinstance(value, dict) or key not in target:
            target[key] = value
        elif isinstance(target[key], dict):
            _merge(value, target[key], path)
        else:
            raise UsageError(f"The config file {path} has keys under {key}, a value in its {BASE}; correct one.")
