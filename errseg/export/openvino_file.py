"""OpenVINO: convert an ONNX file, quantise it with NNCF, and run the result. Needs the extra ``openvino``.

Shapes: B images of H x W pixels, T names of the vocabulary, D text dimension.
"""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from errseg.errors import UsageError

__all__ = ["PACKAGES", "convert", "half_weights", "quantize", "runner"]

PACKAGES = ("openvino", "nncf")
FLOAT32 = {"INFERENCE_PRECISION_HINT": "f32"}  # some processors compute in bfloat16 otherwise, cosines too


def convert(source: Path, target: Path) -> None:
    """Write an ONNX file as OpenVINO's: ``target``, an .xml file, and its weights beside it, a .bin file in float32.

    Raises:
        UsageError: OpenVINO cannot convert the file.
    """
    import openvino

    try:
        model = openvino.convert_model(source)
    except Exception as error:  # the converter raises many types
        reason = " ".join(str(error).split())[:300]
        raise UsageError(
            f"OpenVINO {openvino.__version__} cannot convert this model ({type(error).__name__}: {reason}); export "
            "--format onnx."
        ) from error
    _make_stable(model)
    openvino.save_model(model, target, compress_to_fp16=False)


def half_weights(path: Path) -> None:
    """Replace a file's float32 weights by float16. A CPU computes with them in float32."""
    import openvino

    _save(openvino.Core().read_model(path), path, compress_to_fp16=True)


def quantize(source: Path, target: Path, feeds: Sequence[dict[str, np.ndarray]], text: np.ndarray) -> None:
    """Quantise the convolutions and the products of activations and weights with NNCF, to int8.

    Cosines and products of two activations, such as attention's, stay in float32. Weights have seven of the eight bits:
    processors without VNNI overflow with eight.

    Args:
        source: the float32 file, .xml.
        target: the file to write, .xml.
        feeds: the inputs of the file for each picture, by name.
        text: (T, D) embeddings of the vocabulary.

    Raises:
        UsageError: NNCF cannot quantise the file.
    """
    import nncf
    import openvino
    from nncf.quantization.advanced_parameters import OverflowFix

    model = openvino.Core().read_model(source)
    products = [each for each in model.get_ordered_ops() if each.get_type_name() == "MatMul"]
    floating = [each.get_friendly_name() for each in products if not _has_weight(each, text)]
    level = nncf.common.logging.nncf_logger.level
    try:
        nncf.set_log_level(logging.ERROR)
        quantized = nncf.quantize(
            model,
            nncf.Dataset(list(feeds)),
            subset_size=len(feeds),
            preset=nncf.QuantizationPreset.MIXED,
            target_device=nncf.TargetDevice.CPU,
            advanced_parameters=nncf.AdvancedQuantizationParameters(overflow_fix=OverflowFix.ENABLE),
            ignored_scope=nncf.IgnoredScope(names=floating, validate=False),
        )
    except Exception as error:  # NNCF raises many types
        reason = " ".join(str(error).split())[:300]
        raise UsageError(
            f"NNCF cannot quantise this model ({type(error).__name__}: {reason}); export it without --int8."
        ) from error
    finally:
        nncf.set_log_level(level)
    openvino.save_model(quantized, target, compress_to_fp16=False)


def runner(path: Path, threads: int) -> Callable[..., list[np.ndarray]]:
    """A function that runs a file on the CPU in float32; inputs in the order of the file."""
    import openvino

    options = {**FLOAT32, "INFERENCE_NUM_THREADS": threads}
    compiled = openvino.Core().compile_model(path, "CPU", options)

    def run(*arrays: np.ndarray) -> list[np.ndarray]:
        results = compiled(list(arrays))
        return [np.array(results[output]) for output in compiled.outputs]

    return run


def _make_stable(model: Any) -> None:
    """Let every sort put the lower index first where values are equal, as ONNX does: CRM's scores are often equal."""
    from openvino import opset11

    for node in model.get_ordered_ops():
        if node.get_type_name() == "TopK" and node.get_attributes()["sort"] == "value":
            said = node.get_attributes()
            data, count = node.input_value(0), node.input_value(1)
            stable = opset11.topk(
                data, count, said["axis"], said["mode"], "value", str(said["index_element_type"]), stable=True
            )
            for old, new in zip(node.outputs(), stable.outputs(), strict=True):
                old.replace(new)


def _has_weight(product: Any, text: np.ndarray) -> bool:
    """Whether a product has a constant factor that is not the vocabulary's embeddings."""
    for index in range(2):
        node = product.input_value(index).get_node()
        while node.get_type_name() in ("Convert", "Transpose", "Reshape"):
            node = node.input_value(0).get_node()
        if node.get_type_name() == "Constant":
            values = node.get_data()
            same = [x for x in (text, text.T) if x.shape == values.shape and np.allclose(values, x, atol=1e-5)]
            return not same
    return False


def _save(model: Any, path: Path, compress_to_fp16: bool) -> None:
    """Write a model over the file that it was read from: its weights may still be in use until then."""
    import openvino

    new = path.with_name(f"new_{path.name}")
    openvino.save_model(model, new, compress_to_fp16=compress_to_fp16)
    for suffix in (".bin", ".xml"):
        new.with_suffix(suffix).replace(path.with_suffix(suffix))
