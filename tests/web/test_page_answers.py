"""What the page answers to a request, without a browser."""

import asyncio

import pytest

from errseg.errors import UsageError
from errseg.web import Limits, Service
from tests.web.browser import needs_gradio

needs_gradio()


@pytest.fixture
def answer():
    from errseg.web.page import _answer  # imports gradio

    return _answer


def is_skipped(output):
    return isinstance(output, dict) and output.get("__type__") == "update" and len(output) == 1


def test_a_result(answer, segmenter, picture):
    view, last = answer(Service(segmenter), str(picture), ["cat, sea"], "", None, 1)
    assert view["asked"] == ["cat, sea"] and view["tidy"] == ["cat", "sea"]
    assert view["names"] == 2 and view["stem"] == "blobs"
    assert last == (1, [str(picture), ["cat", "sea"], ""])


def test_the_request_in_view_is_not_answered_anew(answer, segmenter, picture):
    """What the page writes into its own fields comes back as a change; it must come to rest."""
    service = Service(segmenter)
    request = [str(picture), ["cat", "sea"], ""]
    view, last = answer(service, *request, (1, request), 2)
    assert is_skipped(view) and last == (2, request)
    view, _ = answer(service, *request, (1, request), 2, again=True)
    assert view["names"] == 2 and "tidy" not in view
    for path, tags in ((None, []), (str(picture), [])):  # nothing to do yet
        view, last = answer(service, path, tags, "", None, 1)
        assert not view["error"] and "tidy" not in view
        assert is_skipped(answer(service, path, tags, "", last, 2)[0])


def test_a_request_that_a_later_one_has_overtaken_is_not_answered(answer, segmenter, picture):
    service = Service(segmenter)
    in_view = [str(picture), ["cat"], ""]
    for again in (False, True):
        assert all(map(is_skipped, answer(service, str(picture), ["cat", "sea"], "", (3, in_view), 2, again=again)))
    _, last = answer(service, *in_view, (1, in_view), 3)  # nothing to show, but the second is late from now on
    assert all(map(is_skipped, answer(service, str(picture), ["cat", "sea"], "", last, 2)))


def test_errors_are_sentences(answer, segmenter, picture, capsys, monkeypatch):
    service = Service(segmenter, Limits(max_names=1))
    view, _ = answer(service, str(picture), ["cat", "sea"], "", None, 1)
    words = "There are 2 names, and this page accepts 1; leave some out."
    assert view == {"sentence": words, "error": True, "picture": str(picture)}
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(service, "segment", lambda *arguments: 1 / 0)
    view, _ = answer(service, str(picture), ["cat"], "", None, 1)
    assert view["error"] and "went wrong on the server" in view["sentence"]
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_nothing_is_fetched_for_a_visitor():
    """A request by hand may name an address in the place of an upload."""
    import gradio as gr

    from errseg.web.page import make_picture

    with pytest.raises(gr.Error, match="fetches nothing"):
        asyncio.run(make_picture().async_move_resource_to_block_cache("http://192.0.2.1/picture.png"))


def test_a_port_that_is_taken_is_a_sentence(segmenter):
    import socket

    from errseg.web import serve

    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(UsageError, match=f"cannot listen at 127.0.0.1:{port}"):
            serve(segmenter, port=port)


def test_a_port_that_cannot_be_is_a_sentence(segmenter):
    from errseg.web import serve

    with pytest.raises(UsageError, match="cannot listen at 127.0.0.1:70000"):
        serve(segmenter, port=70000)
