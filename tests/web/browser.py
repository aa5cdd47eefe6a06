"""The page in a process of its own, and a browser that looks at it."""

import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

ROOT = Path(__file__).resolve().parents[2]
START = 90  # seconds
CHROMIUM = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]

# tools/web.py, in a process that writes down every other machine it would reach, and reaches none.
GUARDED = """
import runpy, socket, sys
log, sys.argv = sys.argv[1], sys.argv[2:]
connect, resolve = socket.socket.connect, socket.getaddrinfo

def check(host):
    if str(host) not in ("127.0.0.1", "::1", "localhost", "0.0.0.0", "None"):
        with open(log, "a") as file:
            print(host, file=file)
        raise OSError(f"the page would reach {host}")

def guarded(self, address):
    if self.family in (socket.AF_INET, socket.AF_INET6):
        check(address[0])
    return connect(self, address)

def resolving(host, *arguments, **options):
    check(host.decode() if isinstance(host, bytes) else host)
    return resolve(host, *arguments, **options)

socket.socket.connect, socket.getaddrinfo = guarded, resolving
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def needs_gradio() -> None:
    """Skip the module where gradio is not installed. It is not imported: that takes seconds in every process."""
    if importlib.util.find_spec("gradio") is None:
        pytest.skip("the web page needs gradio: pip install -e '.[web]'", allow_module_level=True)


def chromium() -> str | None:
    """The path of the browser, where there is one."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def open_viewer(browser, value: dict):
    """A page that has the viewer alone, without gradio, and shows the data of a result."""
    from errseg.web.page import FOLDER, viewer_code

    page = browser.new_page()
    page.set_content((FOLDER / "viewer.html").read_text())
    page.add_style_tag(content=(FOLDER / "page.css").read_text())
    page.evaluate(
        "([code, value]) => { window.props = { value }; const run = new Function('element', 'props', 'watch', code);"
        "run(document.body, window.props, (name, call) => { window.changed = call; }) }",
        [viewer_code(), value],
    )
    page.locator(".ev-classes li").first.wait_for()
    return page


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """tools/web.py on a free port.

    Attributes:
        url: of the page.
        temporary: the folder that is the process's system folder for temporary files.
        here, home: its working folder, and that of its user.
        outside: where it writes the machines that it would have reached.
    """

    def __init__(self, folder: Path, run: Path, *arguments: str):
        self.temporary, self.here, self.home = (folder / each for each in ("tmp", "here", "home"))
        for each in (self.temporary, self.here, self.home):
            each.mkdir(parents=True)
        self.outside = folder / "outside.txt"
        self.log = folder / "log.txt"
        places = {"TMPDIR": str(self.temporary), "HOME": str(self.home), "PYTHONPATH": str(ROOT)}
        environment = {**os.environ, **places, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
        command = [sys.executable, "-c", GUARDED, self.outside, ROOT / "tools/web.py", "--weights", run]
        command += ["--port", free_port(), "--device", "cpu", *arguments]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                list(map(str, command)), env=environment, cwd=self.here, stdout=log, stderr=log
            )
        wait_for(lambda: "The page is at" in self.text() or self.process.poll() is not None, START)
        assert self.process.poll() is None, self.text()
        self.url = self.text().split("The page is at ")[1].split()[0]

    def text(self) -> str:
        """What it has printed."""
        return self.log.read_text()

    def end(self, number: signal.Signals) -> int:
        """Send a signal, and wait for the end; returns the exit status."""
        self.process.send_signal(number)
        return self.process.wait(60)

    def has_left_nothing(self, sent: bytes) -> bool:
        """After its end: whether no file is left, and none holds what was sent."""
        files = [path for path in self.home.rglob("*") if path.is_file()]
        return not any(
            [*self.temporary.iterdir(), *self.here.iterdir(), *(sent in each.read_bytes() for each in files)]
        )

    def get(self, path: str) -> int:
        """The status of an answer."""
        try:
            return urllib.request.build_opener(urllib.request.ProxyHandler({})).open(self.url + path).status
        except urllib.error.HTTPError as error:
            return error.code

    def ask(self, path: str, question: object = None, headers: Mapping[str, str] = MappingProxyType({})) -> tuple:
        """The JSON of an answer, and its status."""
        body = None if question is None else json.dumps(question).encode()
        request = urllib.request.Request(self.url + path, body, {"Content-Type": "application/json", **headers})
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as answer:
                return json.loads(answer.read()), answer.status
        except urllib.error.HTTPError as error:
            return json.loads(error.read()), error.code

    def read(self, path: str, headers: Mapping[str, str] = MappingProxyType({})) -> bytes:
        """The content of an answer, whatever its status."""
        request = urllib.request.Request(self.url + path, headers=dict(headers))
        try:
            return urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request).read()
        except urllib.error.HTTPError as error:
            return error.read()

    def upload(self, name: str, content: bytes) -> Path:
        """Send a file as the page does; returns where the server keeps it."""
        mark = b"--mark"
        head = f'Content-Disposition: form-data; name="files"; filename="{name}"\r\nContent-Type: image/png\r\n\r\n'
        body = mark + b"\r\n" + head.encode() + content + b"\r\n" + mark + b"--\r\n"
        kind = {"Content-Type": "multipart/form-data; boundary=mark"}
        request = urllib.request.Request(f"{self.url}gradio_api/upload", body, kind)
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as answer:
            return Path(answer.read().decode().strip('[]"'))

    def break_off(self, content: bytes) -> None:
        """Begin to send a file as the page does, and hang up."""
        head = b'--mark\r\nContent-Disposition: form-data; name="files"; filename="half.png"\r\n\r\n'
        with self.begin(len(content) + 1000, head + content):
            assert self.get("healthz") == 200  # the server has seen it

    def begin(self, length: int, content: bytes = b"") -> socket.socket:
        """The connection of an upload that declares so many bytes, and has sent so few."""
        host, port = self.url.split("/")[2].split(":")
        request = f"POST /gradio_api/upload HTTP/1.1\r\nHost: {host}:{port}\r\n"
        request += f"Content-Type: multipart/form-data; boundary=mark\r\nContent-Length: {length}\r\n\r\n"
        connection = socket.create_connection((host, int(port)))
        connection.sendall(request.encode() + content)
        return connection


def wait_for(condition: Callable[[], object], seconds: float) -> None:
    """Return as soon as a condition holds; raise TimeoutError where it never does."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"it did not come true within {seconds} seconds")
        time.sleep(0.05)
