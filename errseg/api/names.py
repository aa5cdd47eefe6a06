"""The forms in which a user gives names: a list, synonyms by name, a line of text, a file, or a packaged vocabulary.

In a name, commas separate synonyms, as in the data sets of the field. Each synonym has its own prompt, and a pixel of
any synonym gets the name. A class of a vocabulary of this package is one name for the model, as in the papers:
MODEL.PROMPT.SYNONYMS says whether its first synonym is read, all of them, or the whole name with its commas.
"""

import csv
import re
import reprlib
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from errseg.data import dataset_vocabulary
from errseg.data.names_file import find_names, read_names
from errseg.data.vocabularies import Vocabulary, canonical, load_vocabulary, vocabulary_names
from errseg.errors import UsageError

__all__ = ["Names", "as_vocabulary", "clean_name", "names_from_file", "names_from_text"]

JOINERS = dict.fromkeys((0x200C, 0x200D))  # invisible characters within words of Persian and Hindi, and within emoji
FILES = (".txt", ".json")  # endings of files of names; a data-set file ends in .yaml
MOST_NAMES = 1_000_000
Names = Sequence[str] | Mapping[str, Sequence[str]] | Mapping[int, str] | str | Path | Vocabulary


def as_vocabulary(names: Names) -> Vocabulary:
    """The vocabulary of names: classes, and the synonyms for the prompts of each class.

    Args:
        names: a list of names; or ``{"name": ["synonym", ...]}``; or a name for each id, ``{0: "cat", ...}``; or the
            name of a vocabulary of this package, such as ``"ade20k_150"``, or of a registered data set; or the path of
            a data-set file (``.yaml``) or of a file of names (``.txt``, ``.json``); or a vocabulary.

    Raises:
        UsageError: there are no names; a name is blank or no text; or two names are equal for the model.
    """
    if isinstance(names, Vocabulary):
        return names
    if isinstance(names, (str, Path)):
        return _named(str(names))
    if not isinstance(names, Iterable) or isinstance(names, (bytes, bytearray)):
        raise UsageError(f'The names are {reprlib.repr(names)}; give a list of names, or {{"name": ["synonym", ...]}}.')
    asked: Any = find_names(names, "The vocabulary").names if isinstance(names, Mapping) else names
    classes: dict[str, list[str]] = {}
    for given in islice(asked, MOST_NAMES + 1):
        if len(classes) == MOST_NAMES:
            raise UsageError(f"There are more than {MOST_NAMES} names to segment; leave some out.")
        name = clean_name(given)
        own = name.split(",")
        if isinstance(asked, Mapping):
            own += _synonyms(name, asked[given])
        if name in classes:
            raise UsageError(f"The name {reprlib.repr(name)} is there twice; keep one.")
        classes[name] = [clean_name(synonym) for synonym in own]
    if not classes:
        raise UsageError("There are no names to segment; give at least one name.")
    return _vocabulary(classes)


def _named(name: str) -> Vocabulary:
    """The vocabulary that has a name, or that a file holds."""
    if name in vocabulary_names():
        return load_vocabulary(name)
    if name.lower().endswith(FILES):
        return as_vocabulary(names_from_file(name))
    vocabulary = dataset_vocabulary(name)
    if vocabulary is None:
        known = ", ".join(vocabulary_names())
        raise UsageError(
            f"The names are the text {reprlib.repr(name)}; give a list of names, or one of {known}, or a data set's "
            "name, or a file of names (.txt, .json)."
        )
    return vocabulary


def clean_name(name: Any) -> str:
    """A name in one line, without whitespace around it.

    Raises:
        UsageError: the name is blank, is no text, or has characters that cannot be shown.
    """
    if not isinstance(name, str):
        raise UsageError(f"The name {reprlib.repr(name)} is no text; put it in quotes.")
    clean = " ".join(name.split())
    if not clean.replace(",", " ").strip():
        raise UsageError(f"The name {reprlib.repr(name)} is blank; give it a word, or leave it out.")
    if not clean.translate(JOINERS).isprintable():
        raise UsageError(f"The name {reprlib.repr(name)} has characters that cannot be shown; take them out.")
    return clean


def names_from_text(text: str) -> list[str]:
    """The names in a text, separated by commas. Quotes enclose a name that has commas itself: ``cat, "sky, heaven"``.

    Raises:
        UsageError: there are no names, or a quote is not closed.
    """
    line = re.sub(r'"\s+,', '",', " ".join(text.split()))
    try:
        rows = list(csv.reader([line], skipinitialspace=True, strict=True))
    except csv.Error as error:
        raise UsageError(f"The names {text!r} have an odd quote ({error}); close it, or leave it out.") from error
    names = [name.strip() for row in rows for name in row if name.strip()]
    if not names:
        raise UsageError(f"There are no names in {text!r}; give some, with commas between them.")
    return names


def names_from_file(path: str | Path) -> Names:
    """The names in a file, in any form of ``names_file.py``.

    A text file has a name on each line; blank lines do not count. A JSON or YAML file has a list, a name for each id,
    or an object ``{"name": ["synonym", ...]}``.

    Raises:
        UsageError: the file is missing, cannot be read, or has another content.
    """
    content = read_names(path).names
    if isinstance(content, list):
        content = [name for name in content if name != ""]  # without blank lines
    if not isinstance(content, (list, dict)) or not content:
        raise UsageError(f"The file of names {path} holds no names; write one a line, or a .json list.")
    try:
        as_vocabulary(content)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error
    return content


def _synonyms(name: str, given: Any) -> list[Any]:
    if isinstance(given, str):
        return [given]
    if not isinstance(given, Iterable):
        raise UsageError(f"The synonyms of {name!r} are {given!r}; give a list of names, which may be empty.")
    return list(given)


def _vocabulary(classes: Mapping[str, Sequence[str]]) -> Vocabulary:
    """The vocabulary of classes and their synonyms.

    A synonym that an earlier class has too is left out, because it could never win a pixel.

    Raises:
        UsageError: a class has no synonym of its own.
    """
    prompts: dict[str, tuple[str, int]] = {}  # by the canonical form: equal forms give equal tokens
    for index, (name, synonyms) in enumerate(classes.items()):
        own = [part.strip() for synonym in synonyms for part in synonym.split(",") if part.strip()]
        for part in own:
            prompts.setdefault(canonical(part), (part, index))
        if all(prompts[canonical(part)][1] != index for part in own):
            other = list(classes)[prompts[canonical(own[0])][1]]
            raise UsageError(f"The names {other!r} and {name!r} are the same to the model; keep one.")
    return Vocabulary(tuple(classes), *zip(*prompts.values(), strict=True))
