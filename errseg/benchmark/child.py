"""Measure the peak memory of one case in a process of its own.

The parent process calls ``peak_memory``. The child process is ``python -m errseg.benchmark.child``: it reads a request
as JSON, and writes its peak memory as the last line.
"""

import json
import os
import resource
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from detectron2.config import CfgNode

import errseg
from errseg.safe_files import parse_yaml

from .cases import Case
from .models import build
from .prepare import make_job

RUNS = {"predict": 2, "train": 2, "set_vocabulary": 1}  # the optimizer's state exists from the second step on
STATUS = Path("/proc/self/status")


def peak_memory(case: Case, cfg: CfgNode, files: Sequence[str] = ()) -> float | None:
    """Peak memory of a process that only runs ``case``, in MB (10^6 bytes); None where memory runs out.

    On the CPU, this is the resident memory of the process, with the interpreter and the libraries. On a GPU, it is the
    memory that torch allocates there in a run, with the model.
    """
    request = {
        "case": case.as_data(),
        "cfg": cfg.dump(),
        "files": [os.path.abspath(path) for path in files],
        "threads": torch.get_num_threads(),
    }
    done = subprocess.run(
        [sys.executable, "-m", "errseg.benchmark.child"],
        input=json.dumps(request), capture_output=True, text=True, env=_environment(),
    )  # fmt: skip
    if done.returncode == -9 or "out of memory" in done.stderr.lower():  # -9: killed, on the CPU
        return None
    if done.returncode:
        raise RuntimeError(f"The process that measures the memory of {case} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def _environment() -> dict[str, str]:
    """The environment of this process, extended so that this errseg can be imported."""
    folder = str(Path(errseg.__file__).resolve().parents[1])
    paths = [folder, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def main() -> None:
    """Run the case of the request on standard input."""
    request = json.load(sys.stdin)
    case = Case.from_data(request["case"])
    torch.set_num_threads(request["threads"])
    cfg = errseg.get_cfg()
    cfg.merge_from_other_cfg(CfgNode(parse_yaml(request["cfg"], "The configuration")))
    torch.backends.cudnn.benchmark = cfg.CUDNN_BENCHMARK
    model = build(cfg, precision="fp32" if case.kind == "train" else case.precision)
    on_gpu = model.device.type == "cuda"
    job = make_job(case, cfg, model, request["files"])
    for left in reversed(range(RUNS[case.kind])):
        # The first run takes extra memory once, to choose convolution algorithms; a CUDA graph is recorded once
        if on_gpu and not (left == 0 and case.compile_mode):
            torch.cuda.reset_peak_memory_stats(model.device)
        job()
    job.synchronize()
    peak = torch.cuda.max_memory_allocated(model.device) if on_gpu else resident_peak()
    print(json.dumps(peak / 1e6))


def resident_peak() -> int:
    """The peak resident memory of this process, in bytes."""
    if STATUS.exists():  # getrusage also counts the parent's memory before this process began
        for line in STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


if __name__ == "__main__":
    main()
