"""Try one case in a forked process, and judge the outcome."""

import contextlib
import json
import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from errseg.errors import UsageError

from .case import ACCEPT, REFUSE, Case

__all__ = ["FAULTS", "MARK", "Outcome", "try_case"]

MARK = "code-ran"  # a payload that runs makes a file of this name in the working folder
FAULTS = ("code", "crash", "hang", "memory", "traceback", "silent", "wrongly refused", "wording")
SECONDS = 5.0
MAX_BYTES = 2 << 30
GENEROUS = 6  # times SECONDS of wall time, for a process that has had less CPU time than SECONDS
POLL = 0.005


class Outcome(NamedTuple):
    """The outcome of a case.

    Attributes:
        kind: "sentence" or "right", which are correct, or one of FAULTS.
        text: the sentence, or the end of the traceback.
        wall: seconds of wall time.
        cpu: seconds of CPU time.
        megabytes: peak memory beyond that of the parent.
    """

    kind: str
    text: str
    wall: float
    cpu: float
    megabytes: float


def try_case(case: Case, folder: Path, seconds: float = SECONDS, max_bytes: int = MAX_BYTES) -> Outcome:
    """Run a case in a forked process and judge it.

    Args:
        case: the case to run, in ``folder``.
        folder: holds the input; what the process prints becomes ``printed.txt``.
        seconds: of CPU time that it may take; of wall time, it may take GENEROUS times as many.
        max_bytes: of memory that it may take; at twice as many, it is killed.
    """
    before = _resident("self")
    report = folder / "outcome.json"
    start = time.monotonic()
    child = os.fork()
    if child == 0:
        _run(case, folder, report)  # does not return
    killed = ""
    while True:
        done, status, usage = os.wait4(child, os.WNOHANG)
        if done:
            break
        wall, cpu = time.monotonic() - start, _cpu_seconds(child)
        if not killed and (cpu > seconds or wall > GENEROUS * seconds):
            killed = "hang"
        if not killed and _resident(child) - before > 2 * max_bytes:
            killed = "memory"
        if killed:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)
        time.sleep(POLL)
    wall, cpu = time.monotonic() - start, usage.ru_utime + usage.ru_stime
    megabytes = max(0, usage.ru_maxrss * 1024 - before) / 2**20
    kind, text = _judge(case, folder, report, killed, status)
    if kind in ("sentence", "right") and megabytes * 2**20 > max_bytes:
        kind = "memory"
    return Outcome(kind, text, wall, cpu, megabytes)


def _judge(case: Case, folder: Path, report: Path, killed: str, status: int) -> tuple[str, str]:
    printed = (folder / "printed.txt").read_text(errors="replace") if (folder / "printed.txt").exists() else ""
    if (folder / MARK).exists():
        return "code", (folder / MARK).read_text(errors="replace") or "a payload ran"
    if killed:
        return killed, printed[-500:]
    if not report.exists():
        return "crash", f"ended by signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else f"status {status}"
    kind, text = json.loads(report.read_text())
    if "Traceback (most recent call last)" in printed and kind != "traceback":
        return "traceback", printed[-1500:]
    if kind == "sentence" and ("\n" in text.strip() or not text.strip()):
        return "wording", text
    if kind == "sentence" and case.right == ACCEPT:
        return "wrongly refused", text
    if kind == "right" and case.right == REFUSE:
        return "silent", text
    return kind, text


def _run(case: Case, folder: Path, report: Path) -> None:
    """Run the case in the forked process, and write its outcome to ``report``."""
    os.setsid()
    os.chdir(folder)
    with open("printed.txt", "wb", buffering=0) as printed:
        os.dup2(printed.fileno(), 1)
        os.dup2(printed.fileno(), 2)
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", errors="backslashreplace", closefd=False)  # noqa: SIM115  as Python's own
    socket.socket.connect = socket.socket.connect_ex = _refuse_to_connect
    tqdm.set_lock(threading.RLock())  # its own lock is that of all forks: one that is killed with it blocks the others
    try:
        outcome = _outcome(case.run, case.wrong, Path("printed.txt"))
        report.write_text(json.dumps(outcome))
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


def _outcome(run: Callable[[], Any], wrong: Callable[[Any], str | None], printed: Path) -> tuple[str, str]:
    """The outcome, from the result or the exception; exit status 2 of a command line counts as a sentence."""
    try:
        try:
            result = run()
        except SystemExit as error:
            if error.code == 2:
                sys.stderr.flush()
                return "sentence", "\n".join(printed.read_text(errors="replace").strip().splitlines()[-1:])
            if error.code not in (None, 0, 1):
                return "traceback", f"exit status {error.code!r}"
            result = error.code
        fault = wrong(result)
        return ("silent", fault) if fault else ("right", f"{result!r:.200}")
    except UsageError as error:
        return "sentence", str(error)
    except BaseException:  # any exception is an outcome
        return "traceback", traceback.format_exc()[-2500:]


def _refuse_to_connect(self, address):
    if self.family != socket.AF_UNIX:
        Path(MARK).write_text(f"a connection to {address} was tried")
    raise ConnectionRefusedError(f"no connection to {address}")


def _resident(process: int | str) -> int:
    """Bytes of memory of a process, without mapped files: in a fork, those count only after it reads them."""
    with contextlib.suppress(OSError, IndexError):
        fields = Path(f"/proc/{process}/statm").read_text().split()
        return (int(fields[1]) - int(fields[2])) * os.sysconf("SC_PAGE_SIZE")
    return 0


def _cpu_seconds(process: int) -> float:
    with contextlib.suppress(OSError, IndexError):
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return 0.0
