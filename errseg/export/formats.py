"""The formats: write a traced program to a file, and run the file without errseg's code."""

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

from . import openvino_file
from .graph import IMAGES, LABELS, PICTURE_SIZE, SCORES, TEXT

__all__ = ["FORMATS", "Runner", "check_packages", "runner_of", "write_program"]

# format: name of the file
FORMATS = {"onnx": "model.onnx", "torch_export": "model.pt2", "openvino": "model.xml"}
INPUTS = {torch.uint8: IMAGES, torch.float32: TEXT, torch.int64: PICTURE_SIZE}
CONVERTED_BY = ("onnx", "onnxscript")
ONNX_PACKAGES = (*CONVERTED_BY, "onnxruntime")
ONE_FILE = 1_900_000_000  # most bytes of weights in one ONNX file; the limit of the file is 2 GiB

# (B, 3, H, W) uint8, (T, D) float32 of an open vocabulary, (2,) int64 of a native size -> labels and scores
Runner = Callable[..., list[np.ndarray]]


def check_packages(format: str) -> None:
    """Raise UsageError where a format is unknown or needs packages that are not installed."""
    if format not in FORMATS:
        raise UsageError(f"--format {format!r} is not one of {', '.join(FORMATS)}.")
    needed = {"onnx": ("export", ONNX_PACKAGES), "openvino": ("openvino", (*CONVERTED_BY, *openvino_file.PACKAGES))}
    extra, packages = needed.get(format, ("", ()))
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(
            f"--format {format} needs {', '.join(missing)}, not installed here; run pip install -e '.[{extra}]'."
        )


def write_program(program: ExportedProgram, format: str, folder: Path) -> int | None:
    """Write a program into a folder, under the format's file name; weights too large for an ONNX file go beside it.

    Returns:
        The ONNX opset; None for other formats.

    Raises:
        UsageError: a converter cannot convert a part of the program.
    """
    path = folder / FORMATS[format]
    if format == "openvino":
        write_program(program, "onnx", folder)
        source = folder / FORMATS["onnx"]
        openvino_file.convert(source, path)
        for each in (source, source.with_name(f"{source.name}.data")):
            each.unlink(missing_ok=True)
        return None
    if format == "torch_export":
        try:
            with _quiet():  # it warns of weights in channels-last order, which it saves as well as others
                torch.export.save(program, path)
        except RuntimeError as error:  # torch raises this for a full disk
            raise OSError(" ".join(str(error).split())[:200]) from error
        return None
    size = sum(tensor.nbytes for tensor in (*program.state_dict.values(), *program.constants.values()))
    try:
        with _quiet():
            converted = torch.onnx.export(
                program,
                dynamo=True,
                verbose=False,
                input_names=_inputs(program),
                output_names=[LABELS, SCORES],
                custom_translation_table={torch.ops.aten.sort.stable: _stable_sort},
            )
    except Exception as error:  # the converter raises many types
        reason = " ".join(str(error).split())[:300]
        raise UsageError(
            f"torch {torch.__version__} cannot turn this model into ONNX ({type(error).__name__}: {reason}); "
            "use torch 2.11, or --format torch_export."
        ) from error
    graph = converted.model.graph
    for part in (*graph, *graph.inputs, *graph.outputs, *(value for node in graph for value in node.outputs)):
        part.metadata_props.clear()  # notes of the exporter on the source code
    converted.save(path, external_data=size > ONE_FILE)
    return converted.model.opset_imports[""]


def _inputs(program: ExportedProgram) -> list[str]:
    """The names of a program's inputs; each has a type of its own."""
    values = {node.name: node.meta["val"] for node in program.graph.nodes if node.op == "placeholder"}
    return [INPUTS[values[name].dtype] for name in program.graph_signature.user_inputs]


def runner_of(path: Path, threads: int) -> Runner:
    """A function that runs a written file on the CPU."""
    if path.suffix == ".pt2":
        with _quiet():
            module = torch.export.load(path).module()

        def run_torch(*arrays: np.ndarray) -> list[np.ndarray]:
            with torch.no_grad():
                return [result.numpy() for result in module(*map(torch.from_numpy, arrays))]

        return run_torch
    if path.suffix == ".xml":
        return openvino_file.runner(path, threads)
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]
    return lambda *arrays: session.run(None, dict(zip(names, arrays, strict=True)))


def _stable_sort(x: Any, *, stable: bool | None = None, dim: int = -1, descending: bool = False) -> tuple[Any, Any]:
    """torch.sort in ONNX; ONNX's TopK puts the lower index first where values are equal."""
    from onnxscript import opset18 as op

    size = op.Gather(op.Shape(x), op.Constant(value_ints=[dim]))
    return op.TopK(x, size, axis=dim, largest=int(descending), sorted=1)


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the converter's messages about its own deprecations and rewriting."""
    logger = logging.getLogger("onnxscript")
    level = logger.level
    try:
        logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
