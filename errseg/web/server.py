"""Running the page: one temporary folder for all that visitors send, which goes when the server does."""

import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import FrameType

from errseg.api import Segmenter
from errseg.errors import UsageError

from .examples import draw_examples
from .gate import Gate
from .keeping import sweeping
from .service import DEFAULT_LIMITS, Limits, Service

__all__ = ["check_gradio", "end_by_signal", "serve", "temporary_folder"]

PREFIX = "errseg_web_"
SETTINGS = {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_DISABLE_TELEMETRY": "1", "GRADIO_SHARE": "False"}
NOT_WANTED = {  # of what gradio can
    **dict.fromkeys(("share", "run_history", "ssr_mode", "mcp_server", "pwa", "enable_monitoring", "inline"), False),
    **dict.fromkeys(("footer_links", "allowed_paths"), []),
    "num_workers": 0,
    "quiet": True,
    "state_session_capacity": 32,  # visitors whose last result stays in memory, where gradio puts it
}
LOCAL = ("127.0.0.1", "localhost", "0.0.0.0", "::1")


def check_gradio() -> None:
    """Raise UsageError where the page's toolkit is missing."""
    if find_spec("gradio") is None:
        raise UsageError("the web page needs gradio; run pip install -e '.[web]'.")


def serve(segmenter: Segmenter, host: str = "127.0.0.1", port: int = 7860, limits: Limits = DEFAULT_LIMITS) -> None:
    """Run the page until an interrupt or ``SystemExit`` reaches the main thread.

    Args:
        segmenter: the model.
        host: address to listen at.
        port: of it.
        limits: of what visitors may ask for.

    Raises:
        UsageError: gradio is missing, or host and port cannot be had.
    """
    check_gradio()
    with temporary_folder() as folder, sweeping(folder, limits.keep_seconds, folder / "examples"):
        from .page import FOLDER, THEME, build_page  # imports gradio, which reads the settings of the environment

        page = build_page(Service(segmenter, limits), draw_examples(folder / "examples"))
        gate = Gate, (folder, limits.max_bytes, limits.max_stored), {}  # class and arguments, as FastAPI takes them
        try:
            _, url, _ = page.launch(
                server_name=host,
                server_port=port,
                theme=THEME,
                css_paths=[FOLDER / "page.css"],
                max_file_size=limits.max_bytes,
                app_kwargs={"middleware": [gate]},
                prevent_thread_lock=True,
                **NOT_WANTED,
            )
        except (OSError, OverflowError, ValueError) as error:
            raise UsageError(f"the page cannot listen at {host}:{port}; give another --host or --port.") from error
        try:
            print(f"The page is at {url} until Ctrl+C.", flush=True)
            threading.Event().wait()
        finally:
            page.close(verbose=False)


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder that takes whatever gradio or ``tempfile`` writes for a visitor, and is deleted at the end."""
    folder = Path(tempfile.mkdtemp(prefix=PREFIX)).resolve()
    hosts = ",".join(filter(None, (os.environ.get("NO_PROXY") or os.environ.get("no_proxy"), *LOCAL)))
    settings = {**SETTINGS, "GRADIO_TEMP_DIR": str(folder), "NO_PROXY": hosts, "no_proxy": hosts}
    before, place = {name: os.environ.get(name) for name in settings}, tempfile.tempdir
    os.environ.update(settings)
    tempfile.tempdir = str(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        tempfile.tempdir = place
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def end_by_signal() -> None:
    """Have SIGTERM and SIGHUP end the process as ``sys.exit`` does, so that the temporary folder goes."""

    def end(number: int, frame: FrameType | None) -> None:
        for each in _signals():
            signal.signal(each, signal.SIG_IGN)  # a second one must not cut the cleaning short
        sys.exit(128 + number)

    for each in _signals():
        signal.signal(each, end)


def _signals() -> list[signal.Signals]:
    return [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
