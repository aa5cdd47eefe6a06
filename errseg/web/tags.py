"""Names as tags: what a visitor typed, and what the model is asked for."""

from collections.abc import Sequence
from typing import Any

from errseg.api.names import as_vocabulary, names_from_text
from errseg.data.vocabularies import Vocabulary, load_vocabulary, vocabulary_names
from errseg.errors import UsageError

__all__ = ["MAX_NAME_LENGTH", "names_of", "tidy", "vocabulary_of"]

MAX_NAME_LENGTH = 500  # of a name, in characters; the text tower reads less, and says so


def tidy(tags: Sequence[Any], max_names: int) -> list[str]:
    """Tags with one name each, none twice; a name that has commas itself keeps its quotes.

    Tidy tags stay as they are.

    Args:
        tags: what was typed: names, or several with commas between them.
        max_names: how many are allowed.

    Raises:
        UsageError: there are too many, one is too long or no text, or a quote is not closed.
    """
    if len(tags) > max_names:
        raise UsageError(f"There are {len(tags)} names, and this page takes {max_names}; leave some out.")
    found: dict[str, str] = {}
    for tag in tags:
        if not isinstance(tag, str) or len(tag) > max_names * MAX_NAME_LENGTH:
            raise UsageError("A name is no text, or far too long; type it again.")
        for name in names_from_text(tag) if tag.strip(" ,") else []:
            if len(name) > MAX_NAME_LENGTH:
                raise UsageError(
                    f"The name {name[:40]!r}… has {len(name)} characters, and this page takes {MAX_NAME_LENGTH}; "
                    "shorten it."
                )
            found.setdefault(name.lower(), name)
    if len(found) > max_names:
        raise UsageError(f"There are {len(found)} names, and this page takes {max_names}; leave some out.")
    return [_quoted(name) for name in found.values()]


def names_of(tags: Sequence[str]) -> list[str]:
    """The names of tidy tags."""
    return [name for tag in tags for name in names_from_text(tag)]


def vocabulary_of(names: Sequence[str], title: str | None, max_names: int) -> Vocabulary:
    """What the model is asked for: the names of a vocabulary of this package, and further ones that it lacks.

    Args:
        names: the further ones, with commas between synonyms.
        title: of the vocabulary, such as ``"ade20k_150"``; None or "" for none.
        max_names: how many are allowed.

    Raises:
        UsageError: there are none or too many, one is blank or the same as another, or there is no such vocabulary.
    """
    if title and title not in vocabulary_names():
        raise UsageError(f"There is no vocabulary {title!r}; choose one of {', '.join(vocabulary_names())}.")
    base = load_vocabulary(title) if title else Vocabulary((), (), ())
    known = {_first(name) for name in base.classes}
    more = [name for name in names if _first(name) not in known]
    if len(base.classes) + len(more) > max_names:
        raise UsageError(f"There are {len(base.classes) + len(more)} names, and this page takes {max_names}.")
    if base.classes and not more:
        return base
    own = as_vocabulary(more)
    owners = tuple(len(base.classes) + owner for owner in own.prompt_classes)
    return Vocabulary(base.classes + own.classes, base.prompts + own.prompts, base.prompt_classes + owners)


def _first(name: str) -> str:
    return name.split(",")[0].strip().lower()


def _quoted(name: str) -> str:
    if "," not in name and not name.startswith('"'):
        return name
    return '"{}"'.format(name.replace('"', '""'))
