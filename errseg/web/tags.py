"""Tags: names as a visitor types them, and their conversion to a vocabulary."""

from collections.abc import Sequence
from typing import Any

from errseg.api.names import as_vocabulary, names_from_text
from errseg.data.vocabularies import Vocabulary, load_vocabulary, vocabulary_names
from errseg.errors import UsageError

__all__ = ["MAX_NAME_LENGTH", "names_of", "tidy", "vocabulary_of"]

MAX_NAME_LENGTH = 500  # characters of a name; the text tower has a lower limit, with its own message


def tidy(tags: Sequence[Any], max_names: int) -> list[str]:
    """Tidy tags: one name in each tag, and no name twice. A name that has commas itself keeps its quotes.

    Tidy tags do not change.

    Args:
        tags: the typed texts: a name, or several names separated by commas.
        max_names: the largest number of names.

    Raises:
        UsageError: there are too many names, a name is too long or no text, or a quote is not closed.
    """
    if len(tags) > max_names:
        raise UsageError(f"There are {len(tags)} names, and this page accepts {max_names}; leave some out.")
    found: dict[str, str] = {}
    for tag in tags:
        if not isinstance(tag, str) or len(tag) > max_names * MAX_NAME_LENGTH:
            raise UsageError("A name is no text, or far too long; type it again.")
        for name in names_from_text(tag) if tag.strip(" ,") else []:
            if len(name) > MAX_NAME_LENGTH:
                raise UsageError(
                    f"The name {name[:40]!r}… has {len(name)} characters, and this page accepts {MAX_NAME_LENGTH}; "
                    "shorten it."
                )
            found.setdefault(name.lower(), name)
    if len(found) > max_names:
        raise UsageError(f"There are {len(found)} names, and this page accepts {max_names}; leave some out.")
    return [_quoted(name) for name in found.values()]


def names_of(tags: Sequence[str]) -> list[str]:
    """The names of tidy tags."""
    return [name for tag in tags for name in names_from_text(tag)]


def vocabulary_of(names: Sequence[str], title: str | None, max_names: int) -> Vocabulary:
    """The vocabulary of a request: a vocabulary of this package, and further names that it lacks.

    Args:
        names: the further names, with commas between synonyms.
        title: name of the vocabulary, such as ``"ade20k_150"``; None or "" for none.
        max_names: the largest number of names.

    Raises:
        UsageError: there are no names or too many; a name is blank or equal to another; or the vocabulary is unknown.
    """
    if title and title not in vocabulary_names():
        raise UsageError(f"There is no vocabulary {title!r}; choose one of {', '.join(vocabulary_names())}.")
    base = load_vocabulary(title) if title else Vocabulary((), (), ())
    known = {_first(name) for name in base.classes}
    more = [name for name in names if _first(name) not in known]
    if len(base.classes) + len(more) > max_names:
        raise UsageError(f"There are {len(base.classes) + len(more)} names, and this page accepts {max_names}.")
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
