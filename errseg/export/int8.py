"""Eight bits: quantise a file, and compare it with the one in float32. ``openvino_file`` quantises OpenVINO's.

Of an ONNX file, onnxruntime's own quantiser does the work: static, weights in a scale for each output channel,
activations in a scale that pictures of the user decide. A matrix product takes integers and gives floats. All else
stays in float32: cosines, CRM, norms, softmax, products of two activations, and convolutions.

Shapes: B images of R x R pixels, T names of the vocabulary, D text dimension.
"""

import logging
import statistics
import time
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from errseg.agreement import share_of_equal_pixels
from errseg.errors import UsageError

from .formats import Runner
from .graph import IMAGES, PICTURE_SIZE, TEXT

__all__ = ["Int8Report", "compare", "quantize", "split"]

MOST = 16  # pictures to calibrate on, and to compare on; more take time and change little


QUANTIZED = {
    "onnx": "matrix products of activations and weights: weights int8 (7 bits) for each output channel, activations "
    "uint8, static; all else float32",
    "openvino": "convolutions, and matrix products of activations and weights: weights int8 (7 bits) for each output "
    "channel, activations in 8 bits, static (NNCF); all else float32",
}


class Int8Report(NamedTuple):
    """The int8 file beside the float32 file, on pictures that the calibration did not see."""

    calibrated_on: int  # number of pictures
    sizes: tuple[int, int]  # bytes: float32, int8
    agreement: list[float]  # for each picture, the share of pixels with the same label
    seconds: tuple[list[float], list[float]]  # float32, int8; both take turns
    format: str = "onnx"

    def described(self) -> dict[str, Any]:
        """What preprocessing.json says of it."""
        return {
            "quantized": QUANTIZED[self.format],
            "calibrated_on": self.calibrated_on,
            "compared_on": len(self.agreement),
            "agreement_with_float32": statistics.fmean(self.agreement),
            "least_agreement_with_float32": min(self.agreement),
        }

    def __str__(self) -> str:
        """The table, in Markdown."""
        count, (before, after) = len(self.agreement), self.sizes
        times = [f"{statistics.median(each):.3g} s ({min(each):.3g} – {max(each):.3g})" for each in self.seconds]
        least, mean = 100 * min(self.agreement), 100 * statistics.fmean(self.agreement)
        return (
            f"| {self.format} | file | labels as float32, pictures not calibrated on: {count} | one image |\n"
            "|---|---|---|---|\n"
            f"| float32 | {before / 1e6:.1f} MB | | {times[0]} |\n"
            f"| int8, calibrated on {self.calibrated_on} | {after / 1e6:.1f} MB | {mean:.2f} % (least {least:.2f} %) "
            f"| {times[1]} |"
        )


def split(pictures: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """Pictures to calibrate on and, of the same sequence, others to compare on: at most 16 each, taken in turns.

    Raises:
        UsageError: there are fewer than two.
    """
    if len(pictures) < 2:
        raise UsageError(
            "--calibrate has one picture; give two or more: one half calibrates, the other is compared on."
        )
    return list(pictures[::2][:MOST]), list(pictures[1::2][:MOST])


def quantize(
    source: Path, target: Path, images: Sequence[np.ndarray], text: np.ndarray, is_open: bool, native_size: bool = False
) -> None:
    """Quantise the products of activations and weights in an ONNX file.

    Weights have seven of the eight bits: processors without VNNI add pairs of products in 16 bits, which eight bits
    overflow.

    Args:
        source: the float32 file.
        target: the file to write.
        images: each (1, 3, R, R) uint8.
        text: (T, D) embeddings of the vocabulary.
        is_open: they are an input of the file.
        native_size: the pictures' size is an input of the file.

    Raises:
        UsageError: the weights are in a file of their own, or the quantiser cannot quantise the file.
    """
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    if source.with_name(f"{source.name}.data").exists():
        raise UsageError("--int8 takes models of less than 1.9 GB in float32; export a smaller one, or without --int8.")

    class Feed(CalibrationDataReader):
        def __init__(self) -> None:
            self.rest = iter(images)

        def get_next(self) -> dict[str, np.ndarray] | None:
            image = next(self.rest, None)
            if image is None:
                return None
            more = {TEXT: text} if is_open else {}
            return {IMAGES: image} | more | ({PICTURE_SIZE: np.array(image.shape[-2:])} if native_size else {})

    folded = target.with_name(f"{target.name}.folded")
    try:
        with _quiet():
            quant_pre_process(source, folded, skip_symbolic_shape=True)
            graph = onnx.load(str(folded)).graph
            float_nodes = _products_of_text(graph, text) | _products_of_activations(graph)
            quantize_static(
                folded,
                target,
                Feed(),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=["MatMul"],
                per_channel=True,
                reduce_range=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                nodes_to_exclude=sorted(float_nodes),
                extra_options={
                    "OpTypesToExcludeOutputQuantization": ["MatMul"],
                    "QDQOpTypePerChannelSupportToAxis": {"MatMul": 1},
                },
            )
    except OSError:
        raise
    except Exception as error:  # the quantiser raises many types
        reason = " ".join(str(error).split())[:300]
        raise UsageError(
            f"onnxruntime cannot quantise this model ({type(error).__name__}: {reason}); export it without --int8."
        ) from error
    finally:
        folded.unlink(missing_ok=True)


def compare(
    runners: tuple[Runner, Runner],
    files: tuple[Path, Path],
    images: Sequence[np.ndarray],
    calibrated_on: int,
    *more: Any,
    format: str = "onnx",
) -> Int8Report:
    """Run both files, float32 and int8, on the same images: see ``Int8Report``.

    Args:
        runners: of the two files.
        files: their paths.
        images: each (1, 3, R, R) uint8.
        calibrated_on: number of pictures.
        more: further inputs of the files.
        format: of the files.
    """
    if format == "openvino":  # whose weights are in a second file
        files = (files[0].with_suffix(".bin"), files[1].with_suffix(".bin"))
    report = Int8Report(calibrated_on, (files[0].stat().st_size, files[1].stat().st_size), [], ([], []), format)
    for run in runners:
        run(images[0], *more)
    for image in images:
        labels = []
        for run, seconds in zip(runners, report.seconds, strict=True):
            start = time.perf_counter()
            labels.append(run(image, *more)[0])
            seconds.append(time.perf_counter() - start)
        report.agreement.append(share_of_equal_pixels(labels[:1], labels[1:]))
    return report


def _products_of_text(graph: Any, text: np.ndarray) -> set[str]:
    """The names of nodes that multiply by the vocabulary's embeddings: cosines. They are found by their values."""
    from onnx import numpy_helper

    found = set()
    for each in graph.initializer:
        if tuple(each.dims) not in (text.shape, text.shape[::-1]):
            continue
        values = numpy_helper.to_array(each)
        if any(values.shape == x.shape and np.allclose(values, x, atol=1e-5) for x in (text, text.T)):
            found |= {node.name for node in graph.node if each.name in node.input}
    return found


def _products_of_activations(graph: Any) -> set[str]:
    """The names of products without a weight, such as attention's."""
    constants = {each.name for each in graph.initializer}
    return {node.name for node in graph.node if node.op_type == "MatMul" and node.input[1] not in constants}


@contextmanager
def _quiet() -> Any:
    """Suppress the quantiser's log, which goes to the root logger."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
