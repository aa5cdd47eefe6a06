"""The whole of a system on the mini world: ``errseg mini run SYSTEM``, which the quickstart calls.

The phases: the scenes, a small CLIP, one or several stages of training, the evaluation, the report. Each is a command
of errseg in a process of its own. A finished phase of an interrupted run is not run again.
"""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from errseg.atomic import replacing
from errseg.config import load_config
from errseg.errors import UsageError
from errseg.modeling import System, systems
from errseg.modeling.system import Mini
from errseg.safe_files import read_json

from .datasets import DATASET_NAMES
from .report import EVALUATED

__all__ = ["Phase", "default_output", "mini_systems", "phases_of", "run", "starts_of", "system_named"]

TIMES = "phases.json"  # in the folder of a run: the seconds of each finished phase


class Phase(NamedTuple):
    """A step of a run."""

    name: str
    words: list[str]  # of its command, behind "errseg"


def mini_systems() -> dict[str, System]:
    """The systems that can be trained on the mini world, by their names on the command line."""
    return {system.mini.word: system for system in systems() if system.mini}


def system_named(word: str) -> tuple[System, Mini]:
    """A system by its name on the command line, in any case, and its training on the mini world.

    Raises:
        UsageError: there is no such system.
    """
    known = mini_systems()
    system = known.get(word.lower())
    if system is None or system.mini is None:
        raise UsageError(f"SYSTEM is {word!r}; the mini world has {', '.join(known)}.")
    return system, system.mini


def default_output(mini: Mini) -> Path:
    """The folder of a system's run: that of the OUTPUT_DIR of its configuration."""
    return Path(load_config(mini.config).OUTPUT_DIR).parent


def folder_of(config: str) -> str:
    """The folder of a stage inside that of the run: the last part of the OUTPUT_DIR of its configuration."""
    return Path(load_config(config).OUTPUT_DIR).name


def weights_of(output: Path, config: str) -> Path:
    """The weights that a stage writes."""
    return output / folder_of(config) / "model_final.pth"


def starts_of(mini: Mini, output: Path) -> list[str]:
    """The keys with which the last stage starts from those before, whose runs are in ``output``.

    Raises:
        UsageError: a stage has not been run.
    """
    if not mini.stages:
        return []
    files = {key: weights_of(output, config) for config, key in mini.stages.items()}
    for path in (output / "clip.pt", *files.values()):
        if not path.is_file():
            raise UsageError(f"There is no {path}; run errseg mini run {mini.word} --out {output} first.")
    return [word for key, path in files.items() for word in (key, str(path))]


def phases_of(mini: Mini, output: Path, seed: int | None = None) -> Iterator[Phase]:
    """The phases of a run but for the report, in order.

    Args:
        mini: the training of the system.
        output: the folder of the run.
        seed: of the training stages; None: that of their configurations. It does not change the scenes and the CLIP.
    """
    clip = str(output / "clip.pt")
    yield Phase("scenes", ["mini", "draw"])
    yield Phase("clip", ["mini", "pretrain", "--tower", mini.tower, "--out", clip])
    keys = ["MODEL.CLIP.PRETRAINED", clip]
    for config, key in {**mini.stages, mini.config: ""}.items():
        folder = folder_of(config)
        words = ["train", "--config", config, "--resume", *keys, *([] if seed is None else ["SEED", str(seed)])]
        yield Phase(folder, [*words, "OUTPUT_DIR", str(output / folder)])
        if key:
            keys = [*keys, key, str(weights_of(output, config))]
    sets = [DATASET_NAMES[split] for split in EVALUATED]
    words = ["evaluate", "--config", mini.config, "--weights", str(weights_of(output, mini.config))]
    words += ["--dataset", *sets, "--out", str(output / folder_of(mini.config))]
    yield Phase("evaluate", [*words, "MODEL.CLIP.PRETRAINED", clip])


def run(word: str, output: Path | None = None, seed: int | None = None) -> int:
    """Run all phases of a system. An interrupted run goes on; a finished one starts again.

    Args:
        word: the name of the system on the command line.
        output: the folder of the run; None: ``default_output``.
        seed: as in ``phases_of``.

    Returns:
        The status of the command that failed, or 0.

    Raises:
        UsageError: there is no such system, or the times of an earlier run cannot be read.
    """
    _, mini = system_named(word)
    output = output or default_output(mini)
    phases = list(phases_of(mini, output, seed))
    times = output / TIMES
    if (output / "results.json").exists():
        for path in (times, output / "results.json", output / "clip.pt"):
            path.unlink(missing_ok=True)
        for folder in (*map(folder_of, (*mini.stages, mini.config)), "ablations"):
            shutil.rmtree(output / folder, ignore_errors=True)
    output.mkdir(parents=True, exist_ok=True)
    seconds = read_times(times)
    for phase in phases:
        if phase.name in seconds:
            print(f"== {phase.name}: done before", flush=True)
            continue
        print(f"== {phase.name}", flush=True)
        start = time.monotonic()
        status = _errseg(phase.words)
        if status:
            return status
        seconds[phase.name] = time.monotonic() - start
        with replacing(times) as temporary:
            temporary.write_text(json.dumps(seconds, indent=1) + "\n", encoding="utf-8")
        print(f"== {phase.name} took {seconds[phase.name]:.0f} s", flush=True)
    print("== report", flush=True)
    total = f"{sum(seconds.values()):.0f}"
    return _errseg(["mini", "report", str(output), "--config", mini.config, "--seconds", total])


def read_times(path: Path) -> dict[str, float]:
    """The seconds of each finished phase; none where the file is missing.

    Raises:
        UsageError: the file cannot be read.
    """
    if not path.is_file():
        return {}
    content = read_json(path, "file of times")
    if not isinstance(content, dict) or not all(isinstance(value, int | float) for value in content.values()):
        raise UsageError(f"{path} does not hold the seconds of phases; remove it, and the run starts again.")
    return dict(content)


def _errseg(words: list[str]) -> int:
    return subprocess.run([sys.executable, "-m", "errseg", *words], check=False).returncode
