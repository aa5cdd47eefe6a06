"""The questions of the page: the JSON of an event. Everything that the page does not send is refused or dropped."""

import json
import re
from collections.abc import Iterator
from typing import Any

from .replies import NOT_OURS, Refusal

__all__ = ["QUESTION", "SESSION", "paths_in", "read_question"]

QUESTION = 1 << 21  # most bytes of a question, enough for a thousand long names
SESSION = r"[\w-]{1,64}"  # the page's id of a visit
MAX_VALUES = 1 << 16  # most values in a question, including those in lists and dictionaries
KEYS = ("data", "event_data", "fn_index", "trigger_id", "session_hash", "event_id")  # the keys that gradio receives


def read_question(content: bytes) -> dict[str, Any]:
    """The question in a request's body: a dictionary with only the KEYS.

    Raises:
        Refusal: the body is no JSON, does not have the form that the page sends, or has too many values.
    """
    try:
        question = json.loads(content)
        json.dumps(question, ensure_ascii=False).encode()  # refuses text that UTF-8 cannot encode
    except (ValueError, RecursionError) as error:
        raise Refusal(400, "This request is no JSON; reload the page.") from error
    if not isinstance(question, dict) or not _is_number(question.get("fn_index")):
        raise Refusal(400, NOT_OURS)
    session, data = question.get("session_hash"), question.get("data", [])
    if not isinstance(session, str) or not re.fullmatch(SESSION, session, re.ASCII) or not isinstance(data, list):
        raise Refusal(400, NOT_OURS)
    for number, _ in enumerate(_values(question)):
        if number > MAX_VALUES:
            raise Refusal(413, "This is more than the page accepts.")
    return {key: question[key] for key in KEYS if key in question}


def paths_in(question: dict[str, Any]) -> list[Any]:
    """The paths of files anywhere in a question."""
    return [value["path"] for value in _values(question) if isinstance(value, dict) and "path" in value]


def _values(value: Any) -> Iterator[Any]:
    """A value, and all values in its lists and dictionaries."""
    left = [value]
    while left:
        one = left.pop()
        yield one
        if isinstance(one, dict):
            left.extend(one.values())
        elif isinstance(one, list):
            left.extend(one)


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
