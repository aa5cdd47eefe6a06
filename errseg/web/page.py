"""The components of the page, and their events. This module imports gradio."""

import sys
import traceback
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from errseg.data.vocabularies import load_vocabulary, vocabulary_names
from errseg.errors import UsageError

from .examples import Example
from .service import Service
from .tags import tidy
from .view import sentence, view

__all__ = ["THEME", "build_page", "make_picture", "viewer_code"]

FOLDER = Path(__file__).parent
FONTS = ["system-ui", "Segoe UI", "Roboto", "DejaVu Sans", "sans-serif"]  # fonts of the visitor: none is downloaded
THEME = gr.themes.Default(
    primary_hue="blue", neutral_hue="slate", radius_size="sm", font=FONTS, font_mono=["ui-monospace", "monospace"]
).set(
    body_text_color_subdued="*neutral_500",
    block_info_text_color="*neutral_500",
    button_primary_background_fill="*primary_600",
    button_primary_background_fill_hover="*primary_700",
)
TITLE = "<h1>errseg</h1><p>Every pixel of a picture gets one of your names.</p>"
HINT = "Choose a picture and type the names to look for, or take an example."
HOW_TO_TYPE = 'Enter or a comma ends a name; quotes keep synonyms together: "sky, heaven".'
NOT_TAKEN = "The server did not accept this: click Segment to try again, or choose the picture again."
QUEUE = 256  # most requests that wait
MODEL = {"concurrency_id": "model", "concurrency_limit": 1}  # one request at a time; the others wait
# The viewer shows only answers for the picture in the field, even if the answer for an earlier picture comes late
LOOK = """(picture) => { dispatchEvent(new CustomEvent("errseg-picture", { detail: picture?.path ?? null })) }"""
COUNT = "(...inputs) => [...inputs.slice(0, -1), (window.errsegTurn = (window.errsegTurn ?? 0) + 1)]"
# Replace the tags by tidy ones, if they are still the tags of the answered request
TIDY = """(view, tags) => [
    view?.tidy && JSON.stringify(view.asked) === JSON.stringify(tags) ? view.tidy : { __type__: "update" }
]"""


def build_page(service: Service, examples: Sequence[Example]) -> gr.Blocks:
    """Build the page for a service; it is not running yet.

    Args:
        service: answers the requests.
        examples: the example pictures.
    """
    with gr.Blocks(title="errseg", fill_width=True, analytics_enabled=False) as page:
        gr.HTML(TITLE, elem_id="title", apply_default_css=False)
        with gr.Row():
            with gr.Column(scale=2, min_width=300):
                picture = make_picture()
                paths = [[str(example.path)] for example in examples]
                chooser = gr.Dataset(
                    components=[picture], samples=paths, type="index", label="Examples", elem_id="examples"
                )
                tags = {"multiselect": True, "allow_custom_value": True, "info": HOW_TO_TYPE}
                names = gr.Dropdown([], value=[], label="Names", elem_id="names", **tags)
                title = gr.Dropdown(_titles(service), value="", label="Vocabulary", elem_id="vocabulary")
                button = gr.Button("Segment", variant="primary", elem_id="segment")
            with gr.Column(scale=5, min_width=300):
                code = {"html_template": _text("viewer.html"), "js_on_load": viewer_code()}
                viewer = gr.HTML(None, apply_default_css=False, elem_id="viewer", **code)
        last = gr.State(None)  # the turn and the request whose answer is shown
        turn = gr.Number(visible=False)  # a count by the browser, because requests may arrive in another order
        run = {"inputs": [picture, names, title, last, turn], "outputs": [viewer, last], "js": COUNT, **MODEL}
        run |= {"api_visibility": "private", "show_progress_on": viewer, "show_progress": "minimal"}
        picture.change(None, picture, js=LOOK, api_visibility="private")
        changes = [picture.change, names.change, title.change]
        changed = gr.on(changes, partial(_answer, service), trigger_mode="always_last", **run)
        clicked = button.click(partial(_answer, service, again=True), **run)
        quiet = {"api_visibility": "private", "show_progress": "hidden"}
        for answered in (changed, clicked):
            answered.then(None, [viewer, names], names, js=TIDY, **quiet)
            answered.failure(_not_taken, last, [viewer, last], **quiet)
        chooser.click(partial(_choose, examples), chooser, [picture, names, title], **quiet)
    return page.queue(max_size=QUEUE, api_open=False)


def make_picture() -> gr.Image:
    """The field of the picture. gradio must not convert the uploaded file: the service checks whether it is a picture.

    Methods are replaced on the object, because gradio would write a file beside this one for a subclass.
    """
    places = {"sources": ["upload", "clipboard"], "type": "filepath", "buttons": []}
    picture = gr.Image(label="Picture", height=260, elem_id="picture", **places)

    async def in_its_place(path: str | Path | None) -> str | None:
        if "://" in str(path):
            raise gr.Error("This page fetches nothing from the web: upload the picture.")
        return path if path is None else str(path)

    picture.preprocess = lambda payload: payload.path if payload is not None else None
    picture.async_move_resource_to_block_cache = in_its_place
    return picture


def viewer_code() -> str:
    """The program of the viewer in the browser. The functions of ``masks.js`` are known to ``viewer.js``."""
    return _text("masks.js") + _text("viewer.js")


def _text(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


def _titles(service: Service) -> list[tuple[str, str]]:
    """The vocabularies to choose from: (shown text, value)."""
    sizes = {name: len(load_vocabulary(name).classes) for name in vocabulary_names()}
    fitting = {name: size for name, size in sizes.items() if size <= service.limits.max_names}
    titles = [(f"{name}: {size} names more", name) for name, size in fitting.items()]
    return [("the names above, no others", ""), *titles]


def _choose(examples: Sequence[Example], index: int) -> tuple[str, list[str], str]:
    return str(examples[index].path), examples[index].names, ""


def _answer(
    service: Service,
    path: str | None,
    tags: list[str] | None,
    title: str | None,
    last: tuple[float, list] | None,
    turn: float | None,
    again: bool = False,
) -> tuple[Any, Any]:
    """Answer a request: the new values of the viewer and of ``last``.

    Args:
        service: answers the request.
        path: path of the picture.
        tags: the names as typed.
        title: name of a vocabulary.
        last: turn and request of the answer that is shown. The same request is not answered again, unless ``again``.
        turn: number of the request. A request is not answered if the answer to a later one is shown already.
        again: whether the visitor clicked Segment.
    """
    tags, turn = tags or [], turn or 0
    turn_in_view, in_view = last or (0, None)
    if turn < turn_in_view:
        return gr.skip(), gr.skip()
    if [path, tags, title] == in_view and not again:
        return gr.skip(), (turn, in_view)
    neat = tags
    try:
        neat = tidy(tags, service.limits.max_names)
        if path and (neat or title):
            answer = view(service.segment(path, neat, title), Path(path).stem)
        else:
            answer = sentence(_missing(path))
    except UsageError as error:
        answer = sentence(str(error), error=True)
    except Exception:  # the log, for whoever runs the server, has the reason; a visitor could not use it
        traceback.print_exc(file=sys.stderr)
        answer = sentence("Something went wrong on the server; its log has the reason.", error=True)
    answer |= {"picture": path}
    if neat != tags:
        answer |= {"asked": tags, "tidy": neat}
    return answer, (turn, [path, neat, title])


def _not_taken(last: tuple[float, list] | None) -> tuple[Any, Any]:
    """The new values of the viewer and of ``last`` when gradio refuses a request.

    gradio refuses a request if its queue is full, or if the server has been restarted since the picture was uploaded.
    """
    return sentence(NOT_TAKEN, error=True), (last[0] if last else 0, None)


def _missing(path: str | None) -> str:
    return "Type the names to look for in the picture, or choose a vocabulary." if path else HINT
