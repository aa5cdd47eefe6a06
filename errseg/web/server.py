"""Run the page. All files of visitors are in one temporary folder, which is deleted when the server ends."""

import asyncio
import ctypes
import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import Any

from errseg.api import Segmenter
from errseg.errors import UsageError

from .auth import Auth
from .examples import draw_examples
from .gate import Gate
from .hosts import Hosts
from .keeping import LOCK, claim, remove_abandoned, sweeping
from .replies import log
from .service import DEFAULT_LIMITS, Limits, Service
from .sockets import Sockets
from .uploads import EXAMPLES, Uploads

__all__ = ["check_gradio", "end_by_signal", "serve", "temporary_folder"]

PREFIX = "errseg_web_"
SETTINGS = {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_DISABLE_TELEMETRY": "1", "GRADIO_SHARE": "False"}
SETTINGS["GRADIO_ANALYTICS_MAX_EVENTS"] = "1"  # otherwise gradio counts up to 10,000 requests again at each request
NOT_WANTED = {  # features of gradio that are off, and quiet settings
    **dict.fromkeys(("share", "run_history", "ssr_mode", "mcp_server", "pwa", "enable_monitoring", "inline"), False),
    **dict.fromkeys(("footer_links", "allowed_paths"), []),
    "num_workers": 0,
    "quiet": True,
    "state_session_capacity": 32,  # visitors whose last result gradio keeps in memory
}
LOOK = 2.0  # seconds between two checks of connections and unread answers
LOCAL = ("127.0.0.1", "localhost", "0.0.0.0", "::1")


def check_gradio() -> None:
    """Raise UsageError if gradio is not installed."""
    if find_spec("gradio") is None:
        raise UsageError("the web page needs gradio; run pip install -e '.[web]'.")


def serve(
    segmenter: Segmenter,
    host: str = "127.0.0.1",
    port: int = 7860,
    limits: Limits = DEFAULT_LIMITS,
    allowed_hosts: Sequence[str] = (),
    auth: Auth | None = None,
) -> None:
    """Run the page until an interrupt or ``SystemExit`` reaches the main thread.

    Args:
        segmenter: the model.
        host: the address at which the server listens.
        port: the port at which the server listens.
        limits: the limits of visitors' requests.
        allowed_hosts: further host names under which visitors reach the page.
        auth: user and password; None: everybody may use the page.

    Raises:
        UsageError: gradio is missing, the server cannot listen at host and port, or a host name is invalid.
    """
    check_gradio()
    hosts = Hosts(host, allowed_hosts)
    with temporary_folder() as folder, sweeping(folder, limits.keep_seconds, folder / EXAMPLES, folder / LOCK):
        from .page import FOLDER, THEME, build_page  # here: gradio reads the environment when it is imported
        from .unread import Unread, tame

        page, unread = build_page(Service(segmenter, limits), draw_examples(folder / EXAMPLES)), Unread()
        tame(page, unread)
        uploads = Uploads(folder, limits.max_bytes, limits.max_stored)
        events = {number for number, event in page.fns.items() if event.fn is not None}
        gate = Gate, (uploads, hosts, auth, events), {}  # class and arguments, in FastAPI's form
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
            _look_after(page.server, Sockets(page.server).cut, unread.forget, _give_back)
            print(f"The page is at {url} until Ctrl+C.", flush=True)
            threading.Event().wait()
        finally:
            page.close(verbose=False)


def _look_after(server: Any, *calls: Callable[[], None]) -> None:
    """Call functions regularly in the server's own thread, as long as the server runs."""

    async def work() -> None:
        while not server.should_exit:
            await asyncio.sleep(LOOK)
            for call in calls:
                try:
                    call()
                except Exception as error:  # the next call may succeed
                    log("not looked after", error)

    asyncio.run_coroutine_threadsafe(work(), server.servers[0].get_loop())


def _give_back() -> None:
    """Return free memory to the system. glibc keeps the free memory of each thread until ``malloc_trim`` is called."""
    if sys.platform == "linux" and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)):
        trim(0)


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder for all files that gradio or ``tempfile`` writes. It is deleted at the end of the context.

    The folders of processes that were killed are deleted first.
    """
    remove_abandoned(Path(tempfile.gettempdir()), PREFIX)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX)).resolve()
    lock = claim(folder)
    hosts = ",".join(filter(None, (os.environ.get("NO_PROXY") or os.environ.get("no_proxy"), *LOCAL)))
    settings = {**SETTINGS, "GRADIO_TEMP_DIR": str(folder), "NO_PROXY": hosts, "no_proxy": hosts}
    before, place = {name: os.environ.get(name) for name in settings}, tempfile.tempdir
    os.environ.update(settings)
    tempfile.tempdir = str(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        lock.close()
        tempfile.tempdir = place
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def end_by_signal() -> None:
    """Let SIGTERM and SIGHUP end the process like ``sys.exit``, so that the temporary folder is deleted."""

    def end(number: int, frame: FrameType | None) -> None:
        for each in _signals():
            signal.signal(each, signal.SIG_IGN)  # a second signal must not interrupt the cleaning
        sys.exit(128 + number)

    for each in _signals():
        signal.signal(each, end)


def _signals() -> list[signal.Signals]:
    return [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
