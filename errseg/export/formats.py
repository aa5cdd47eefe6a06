"""The two formats: writing a traced program to a file, and running the file, each without errseg's help."""

import importlib.util
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.export import ExportedProgram

from errseg.errors import UsageError

from .graph import IMAGES, LABELS, SCORES, TEXT

__all__ = ["FORMATS", "Runner", "check_packages", "runner_of", "write_program"]

FORMATS = {"onnx": "model.onnx", "torch_export": "model.pt2"}  # and the name of the file
ONNX_PACKAGES = ("onnx", "onnxscript", "onnxruntime")
ONE_FILE = 1_900_000_000  # bytes of weights that still fit into an ONNX file, whose limit is 2 GiB

# (B, 3, R, R) uint8, and (T, D) float32 of an open vocabulary -> (B, R, R) labels and scores
Runner = Callable[..., list[np.ndarray]]


def check_packages(format: str) -> None:
    """Raise UsageError where a format is unknown or needs packages that are not installed."""
    if format not in FORMATS:
        raise UsageError(f"--format {format!r} is not one of {', '.join(FORMATS)}.")
    if format == "onnx":
        missing = [name for name in ONNX_PACKAGES if importlib.util.find_spec(name) is None]
        if missing:
            raise UsageError(
                f"--format onnx needs {', '.join(missing)}, not installed here; run pip install -e '.[export]'."
            )


def write_program(program: ExportedProgram, format: str, folder: Path) -> int | None:
    """Write a program into a folder, under the format's name; weights that ONNX's one file cannot hold go beside it.

    Returns:
        The ONNX opset; None for torch.export.

    Raises:
        UsageError: the converter to ONNX does not know a part of it.
    """
    path = folder / FORMATS[format]
    if format == "torch_export":
        try:
            torch.export.save(program, path)
        except RuntimeError as error:  # what torch makes of a full disk
            raise OSError(" ".join(str(error).split())[:200]) from error
        return None
    size = sum(tensor.nbytes for tensor in (*program.state_dict.values(), *program.constants.values()))
    names = {"input_names": [IMAGES, TEXT][: len(program.graph_signature.user_inputs)]}
    try:
        with _quiet():
            converted = torch.onnx.export(
                program,
                dynamo=True,
                verbose=False,
                output_names=[LABELS, SCORES],
                custom_translation_table={torch.ops.aten.sort.stable: _stable_sort},
                **names,
            )
    except Exception as error:  # the converter's own kinds are many
        reason = " ".join(str(error).split())[:300]
        raise UsageError(
            f"torch {torch.__version__} cannot turn this model into ONNX ({type(error).__name__}: {reason}); "
            "use torch 2.11, or --format torch_export."
        ) from error
    graph = converted.model.graph
    for part in (*graph, *graph.inputs, *graph.outputs, *(value for node in graph for value in node.outputs)):
        part.metadata_props.clear()  # the exporter's notes on the source
    converted.save(path, external_data=size > ONE_FILE)
    return converted.model.opset_imports[""]


def runner_of(path: Path, threads: int) -> Runner:
    """A function that runs a written file on the CPU."""
    if path.suffix == ".pt2":
        with _quiet():
            module = torch.export.load(path).module()

        def run_torch(*arrays: np.ndarray) -> list[np.ndarray]:
            with torch.no_grad():
                return [result.numpy() for result in module(*map(torch.from_numpy, arrays))]

        return run_torch
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda *arrays: session.run(None, dict(zip((IMAGES, TEXT), arrays, strict=False)))


def _stable_sort(x: Any, *, stable: bool | None = None, dim: int = -1, descending: bool = False) -> tuple[Any, Any]:
    """torch.sort in ONNX, whose TopK puts the lower index first where values are equal."""
    from onnxscript import opset18 as op

    size = op.Gather(op.Shape(x), op.Constant(value_ints=[dim]))
    return op.TopK(x, size, axis=dim, largest=int(descending), sorted=1)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the converter's words on its own deprecations and rewritings."""
    logger = logging.getLogger("onnxscript")
    level = logger.level
    try:
        logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
