"""Export a model with a vocabulary to a folder that runs without errseg: trace, write, compare, describe."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from errseg.api import Segmenter
from errseg.errors import UsageError
from errseg.evaluation.provenance import file_digest
from errseg.evaluation.report import write_json
from errseg.modeling import OpenVocabularySegmenter, system_of_model
from errseg.modeling.num_kept import AutoKept, NumKept

from . import openvino_file
from .check import agreement_on_drawings
from .describe import describe
from .example import example
from .folder import DESCRIPTION, check_folder, new_folder
from .formats import FORMATS, check_packages, runner_of, write_program
from .graph import IMAGES, PICTURE_SIZE, TEXT, ExportModule, trace
from .int8 import Int8Report, compare, quantize, split
from .pictures import as_input
from .sizes import InputSize, input_size

__all__ = ["Exported", "export_model"]

LEAST_CLASSES = 16  # least K of an open vocabulary, for an example with few names; the smallest K of the paper


class Exported(NamedTuple):
    """A written export."""

    folder: Path
    file: Path  # the model
    size: int  # bytes of the model's files
    agreement: float  # share of the pixels with the same label as the model's
    seconds: float
    num_classes: NumKept  # K
    int8: Int8Report | None = None  # of a file in eight bits, beside the float32 file that it was made from
    takes: InputSize | None = None  # the images that the file takes; None: squares of the configuration


def export_model(
    segmenter: Segmenter,
    folder: str | Path,
    format: str = "onnx",
    open_vocabulary: bool = False,
    num_classes: NumKept | str | None = None,
    overwrite: bool = False,
    calibrate: Sequence[Any] = (),
    say: Callable[[str], None] = lambda line: None,
    size: str | tuple[int, int] | None = None,
    native_size: bool = False,
    half_weights: bool = False,
) -> Exported:
    """Write a model into a folder that runs without errseg. Input: uint8 images. Output: label map and confidences.

    The folder holds the model, names.json, preprocessing.json and example.py. For an open vocabulary, it also holds
    text_embeddings.npy, the segmenter's vocabulary as an example. The file is compared with the model first; the folder
    is written completely or not at all.

    Args:
        segmenter: on the CPU, its vocabulary set.
        folder: a new folder, or one with an earlier export, whose files are replaced.
        format: "onnx", "torch_export" or "openvino".
        open_vocabulary: the text embeddings are an input, and labels are their rows. False: the vocabulary is part of
            the file.
        num_classes: K of an open vocabulary, or "auto"; None for the segmenter's K, but at least 16.
        overwrite: write into a folder that holds other files too; they stay.
        calibrate: two or more pictures, in a form that ``Segmenter`` accepts: the ONNX or OpenVINO file is quantised to
            eight bits. Every second one calibrates; the others are compared on. Empty: the model's precision.
        say: is called with a line of text at every step.
        size: of the images: height and width (also as "H,W"), multiples of 32; or "dynamic", any such multiples, for an
            image at a time. None: squares of ``INPUT.RESOLUTION_TEST``.
        native_size: height and width of the pictures are one more input, and the label map has that size.
        half_weights: the weights of an OpenVINO file are in float16; it is then compared with no limit.

    Raises:
        UsageError: the size is not one of these, the system cannot be exported, the format cannot hold this model, the
            folder holds other files, or the labels of the file differ from the model's; or a picture to calibrate on
            cannot be read, or is the only one, or the format is torch.export's.
    """
    folder, start = Path(folder), time.perf_counter()
    model, vocabulary = segmenter.model, segmenter.vocabulary
    system_of_model(model).require("export")
    takes = input_size(size, model.views.resolution)
    if takes.is_dynamic:
        system_of_model(model).require("export --size dynamic")
    check_packages(format)
    check_folder(folder, overwrite)
    _check_model(model, format)
    if calibrate and format == "torch_export":
        raise UsageError(f"--int8 is for --format onnx or openvino, not {format}; leave one of the two out.")
    if half_weights and (calibrate or format != "openvino"):
        raise UsageError("Weights in float16 beside float32 are for --format openvino without --int8; leave one out.")
    halves = split(calibrate) if calibrate else None
    if vocabulary is None:
        raise UsageError("The model has no vocabulary to export; call set_vocabulary(names) first.")
    encoded = segmenter.encoded
    text, classes = encoded.text.clone(), vocabulary.prompt_classes
    names = list(vocabulary.classes)
    if open_vocabulary:
        if len(text) < 2:
            raise UsageError("An open vocabulary's example has one name; give two or more.")
        names, classes = [names[index] for index in classes], None  # a name for each row
        least = encoded.num_kept if isinstance(encoded.num_kept, AutoKept) else max(encoded.num_kept, LEAST_CLASSES)
        num_kept = model.chosen_kept(num_classes) if num_classes else least
    else:
        num_kept = encoded.num_kept if len(text) > 1 else 1
    with new_folder(folder) as temporary:
        say(f"Tracing the model at {takes} …")
        module = ExportModule(model, num_kept, None if open_vocabulary else text, classes, native_size)
        program = trace(module, takes)
        say(f"Writing {FORMATS[format]} …")
        opset = write_program(program, format, temporary)
        del program
        file = temporary / FORMATS[format]
        say("Comparing it with the model …")
        compared = model, text, num_kept, classes, takes, native_size
        share = agreement_on_drawings(runner_of(file, torch.get_num_threads()), *compared)
        if half_weights:
            openvino_file.half_weights(file)
            share = agreement_on_drawings(runner_of(file, torch.get_num_threads()), *compared, least=0)
        report = None
        if halves:
            say(f"Quantising it, with {len(halves[0])} pictures …")
            report = _to_int8(file, segmenter, halves, text.numpy(), open_vocabulary, takes, native_size)
        num_bytes = sum(path.stat().st_size for path in temporary.iterdir())
        known = {"format": format, "file": file.name, "opset": opset, "sha256": file_digest(file), "agreement": share}
        if report:
            known["int8"] = report.described()
        if format == "openvino":
            known["weights"] = "float16" if half_weights else "int8 and float32" if report else "float32"
        if open_vocabulary:
            np.save(temporary / f"{TEXT}.npy", text.numpy())
        write_json(temporary / "names.json", names)
        source = example(format, takes, open_vocabulary, native_size)
        (temporary / "example.py").write_text(source, encoding="utf-8")
        write_json(temporary / DESCRIPTION, describe(model, segmenter.cfg, module, len(names), known, takes))
    seconds = time.perf_counter() - start
    return Exported(folder, folder / FORMATS[format], num_bytes, share, seconds, num_kept, report, takes)


def _to_int8(
    file: Path,
    segmenter: Segmenter,
    halves: tuple[list[Any], list[Any]],
    text: np.ndarray,
    is_open: bool,
    takes: InputSize,
    native_size: bool,
) -> Int8Report:
    """Replace a file by one in eight bits, and compare the two on pictures that it was not calibrated on."""
    seen, unseen = ([as_input(segmenter.read(each), takes) for each in half] for half in halves)
    is_onnx = file.suffix == ".onnx"
    quantized = file.with_name(f"int8{file.suffix}")
    size = np.array([takes.height, takes.width])
    more = ({TEXT: text} if is_open else {}) | ({PICTURE_SIZE: size} if native_size else {})
    if is_onnx:
        quantize(file, quantized, seen, text, is_open, native_size)
    else:
        openvino_file.quantize(file, quantized, [{IMAGES: image} | more for image in seen], text)
    before, after = (runner_of(path, torch.get_num_threads()) for path in (file, quantized))
    files, format = (file, quantized), "onnx" if is_onnx else "openvino"
    report = compare((before, after), files, unseen, len(seen), *more.values(), format=format)
    for path in (quantized,) if is_onnx else (quantized.with_suffix(".bin"), quantized):
        path.replace(file.with_suffix(path.suffix))
    return report


def _check_model(model: OpenVocabularySegmenter, format: str) -> None:
    """Raise UsageError where an exported file could not compute the same as the model."""
    if model.device.type != "cpu":
        raise UsageError(f"The model is on {model.device}; load it with device 'cpu' to export it.")
    if model.precision == "float16":
        raise UsageError("float16 cannot run on the CPU, which compares the file with the model; export float32.")
    if model.precision != "float32" and format != "torch_export":
        engine = "onnxruntime's CPU kernels do" if format == "onnx" else "OpenVINO's files of errseg do"
        raise UsageError(f"{engine} not take {model.precision}; export float32, or --format torch_export.")
    views = model.views
    changed = {
        "TEST.SCALES": tuple(views.scales) != (1,),
        "TEST.FLIP": views.flip,
        "TEST.KEEP_ASPECT": views.keep_aspect,
        "TEST.SLIDING_WINDOW": views.sliding_window,
    }
    if any(changed.values()):
        keys = ", ".join(key for key, is_changed in changed.items() if is_changed)
        raise UsageError(
            f"{keys}: an exported model sees one view of each image, such as one square; leave them at their defaults."
        )
