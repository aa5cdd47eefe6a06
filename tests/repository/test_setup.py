"""scripts/setup.sh, with a stand-in for Python and pip: what it installs, what it repairs, what it says on failure."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOLS = "awk bash cat cksum cp dirname find flock grep ls mkdir mv rm sleep tail tee touch".split()

# Answers as `python` does to the few commands of setup.sh; PIP is what `pip install` does, VERSION what it is.
FAKE_PYTHON = """#!/usr/bin/env bash
case "$*" in
    *base_prefix*) echo "${VERSION:-3.11.7} /fake" ;;
    *ensurepip*) exit "${NO_VENV:-0}" ;;
    "-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" && touch "$3/pyvenv.cfg" ;;
    "-m pip install "*) echo "$*" >>"$CALLS" && eval "${PIP:-true}" ;;
esac
"""

FAKE_DF = """#!/usr/bin/env bash
printf 'Filesystem blocks used available capacity mounted\\n/dev/x 9 9 %d 9%% /\\n' $((${FREE_GB:-99} * 1024 * 1024))
"""

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="setup.sh is a bash script")


class Checkout:
    """A checkout with setup.sh alone, on a machine whose only Python is the stand-in."""

    def __init__(self, root: Path) -> None:
        self.root = root / "errseg"
        self.bin = root / "bin"
        self.calls = root / "calls"
        self.venv = self.root / ".venv"
        self.stamp = self.venv / ".errseg-complete"
        (self.root / "scripts").mkdir(parents=True)
        self.bin.mkdir()
        for name in ("scripts/setup.sh", "requirements.txt", "setup.py", "pyproject.toml"):
            shutil.copy(ROOT / name, self.root / name)
        for name in TOOLS + ["env"]:
            if path := shutil.which(name):
                (self.bin / name).symlink_to(path)
        self.add("python3", FAKE_PYTHON)
        self.add("df", FAKE_DF)

    def add(self, name: str, script: str) -> None:
        (self.bin / name).unlink(missing_ok=True)
        (self.bin / name).write_text(script)
        (self.bin / name).chmod(0o755)

    def start(self, cwd: Path | None = None, **env: str) -> subprocess.Popen:
        return subprocess.Popen(
            [shutil.which("bash"), str(self.root / "scripts/setup.sh")],
            cwd=cwd or self.root,
            env={"PATH": str(self.bin), "CALLS": str(self.calls), "TMPDIR": str(self.root), **env},
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def setup(self, **options) -> tuple[int, str, str]:
        process = self.start(**options)
        out, err = process.communicate(timeout=30)
        return process.returncode, out, err

    def fails(self, *words: str, **options) -> None:
        """Setup fails with one sentence that holds the words, and leaves nothing that passes for complete."""
        code, _, err = self.setup(**options)
        assert code == 1
        assert err.startswith("setup.sh: ") and err.count("\n") == 1
        for word in words:
            assert word in err
        assert not self.stamp.exists()

    def pip_calls(self) -> list[str]:
        return self.calls.read_text().splitlines() if self.calls.exists() else []


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_installs_once(checkout: Checkout) -> None:
    code, out, err = checkout.setup()
    assert (code, err) == (0, "")
    assert "about 5 GB, once" in out
    requirements, package = checkout.pip_calls()
    assert requirements.endswith(f"-r {checkout.root}/requirements.txt")
    assert package.endswith(f"--no-deps -e {checkout.root}")
    assert checkout.stamp.exists() and not (checkout.venv / ".errseg-begun").exists()

    start = time.perf_counter()
    assert checkout.setup() == (0, "", "")
    assert time.perf_counter() - start < 2
    assert len(checkout.pip_calls()) == 2


@pytest.mark.parametrize("name", ["requirements.txt", "setup.py", "pyproject.toml"])
def test_changed_pins_install_again(checkout: Checkout, name: str) -> None:
    checkout.setup()
    with open(checkout.root / name, "a") as file:
        file.write("# changed\n")
    assert checkout.setup()[0] == 0
    assert len(checkout.pip_calls()) == 4


def test_runs_from_anywhere_into_any_directory(checkout: Checkout, tmp_path: Path) -> None:
    assert checkout.setup(cwd=tmp_path, ERRSEG_VENV="some where")[0] == 0
    assert (tmp_path / "some where/.errseg-complete").exists()
    assert not checkout.venv.exists()


def test_two_calls_at_once_install_once(checkout: Checkout) -> None:
    if not shutil.which("flock"):
        pytest.skip("no flock: nothing orders the two calls")
    both = [checkout.start(PIP="sleep 0.3") for _ in range(2)]
    assert [process.wait(timeout=30) for process in both] == [0, 0]
    assert len(checkout.pip_calls()) == 2


def test_killed_install_is_repaired(checkout: Checkout) -> None:
    site = checkout.venv / "lib/python3.11/site-packages"
    whole, half = site / "numpy-2.0.dist-info", site / "torch-2.0.dist-info"
    cut = f"mkdir -p '{whole}' '{half}' '{site}/~orch' && touch '{whole}/INSTALLER' '{half}/RECORD' && kill -9 0"
    assert checkout.setup(PIP=cut)[0] == -9
    assert not checkout.stamp.exists()
    code, out, _ = checkout.setup()
    assert code == 0 and "once" in out
    assert checkout.stamp.exists() and whole.exists()
    assert not half.exists() and not (site / "~orch").exists()


def test_half_made_environment_is_repaired(checkout: Checkout) -> None:
    checkout.setup(PIP="false")
    (checkout.venv / "bin/python").unlink()
    assert checkout.setup()[0] == 0
    assert checkout.stamp.exists()


def test_keeps_its_python_until_another_is_named(checkout: Checkout) -> None:
    checkout.setup()
    checkout.add("python3.12", FAKE_PYTHON.replace("3.11.7", "3.12.1"))
    checkout.add("python3", "#!/usr/bin/env bash\nexit 1\n")
    assert checkout.setup() == (0, "", "")
    assert checkout.setup(PYTHON="python3.12")[0] == 0
    assert "3.12.1" in checkout.stamp.read_text()
    assert checkout.setup() == (0, "", "")


def test_falls_back_to_a_newer_python(checkout: Checkout) -> None:
    checkout.add("python3", FAKE_PYTHON.replace("3.11.7", "3.9.2"))
    checkout.add("python3.12", FAKE_PYTHON.replace("3.11.7", "3.12.1"))
    assert checkout.setup()[0] == 0
    assert "3.12.1" in checkout.stamp.read_text()


def test_python_too_old(checkout: Checkout) -> None:
    checkout.fails("3.10 or newer", "python3 here is 3.9.2", "PYTHON=", VERSION="3.9.2")
    checkout.fails("3.10 or newer", "PYTHON=python3 is 2.7.18", VERSION="2.7.18", PYTHON="python3")


def test_no_python(checkout: Checkout) -> None:
    (checkout.bin / "python3").unlink()
    checkout.fails("no python3 here", "install one")
    checkout.fails("PYTHON=/no/python does not run", PYTHON="/no/python")


def test_no_venv_module(checkout: Checkout) -> None:
    checkout.fails("lacks the venv module", "apt install python3.11-venv", NO_VENV="1")


def test_small_disk(checkout: Checkout) -> None:
    checkout.fails("has 3 GB free", "needs 8", "ERRSEG_VENV", FREE_GB="3")
    assert not checkout.pip_calls()


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", ["disk is full"]),
        ("WARNING: Retrying after connection broken by 'NewConnectionError(x)'", ["cannot reach the package index"]),
        ("ERROR: No matching distribution found for torch==2.11.0", ["found for torch==2.11.0", "setup.log", "3.13"]),
    ],
)
def test_pip_fails(checkout: Checkout, output: str, words: list[str]) -> None:
    checkout.fails(*words, PIP=f'echo "{output}" >&2; exit 1')
    assert checkout.setup()[0] == 0


@pytest.mark.parametrize("kind", ["directory", "environment"])
def test_leaves_what_it_did_not_make(checkout: Checkout, kind: str) -> None:
    (checkout.venv / "bin").mkdir(parents=True)
    (checkout.venv / "precious").touch()
    if kind == "environment":
        (checkout.venv / "pyvenv.cfg").touch()
        shutil.copy(checkout.bin / "python3", checkout.venv / "bin/python")
    checkout.add("python3.12", FAKE_PYTHON.replace("3.11.7", "3.12.1"))
    checkout.fails("no virtual environment of", "ERRSEG_VENV", PYTHON="python3.12")
    assert (checkout.venv / "precious").exists()


def test_unwritable(checkout: Checkout) -> None:
    (checkout.root / "file").touch()
    checkout.fails("cannot be written", ERRSEG_VENV=os.fspath(checkout.root / "file/venv"))
