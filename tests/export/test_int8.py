"""A file in eight bits: what is quantised, how far it agrees, and what is refused."""

import numpy as np
import onnx
import pytest

from errseg.errors import UsageError
from errseg.export import export_model
from errseg.export.formats import runner_of
from errseg.export.int8 import MOST, compare, quantize, split


@pytest.fixture(scope="module")
def files(exported, segmenter, pictures, tmp_path_factory):
    """The float32 file and the int8 file."""
    source, target = exported("onnx").file, tmp_path_factory.mktemp("int8") / "model.onnx"
    text = segmenter.encoded.text.numpy()
    quantize(source, target, [each[None] for each in pictures.transpose(0, 3, 1, 2)[:2]], text, False)
    return source, target


def test_weights_are_int8_and_cosines_stay_float(files):
    graph = onnx.load(str(files[1])).graph
    integers = [each.name for each in graph.initializer if each.data_type == onnx.TensorProto.INT8 and each.dims]
    products = [node for node in graph.node if node.op_type == "MatMul"]
    dequantized = {each.output[0] for each in graph.node if each.op_type == "DequantizeLinear"}
    in_integers = [node for node in products if dequantized.issuperset(node.input)]
    assert len(in_integers) > 10 and len(integers) > 10
    assert len(in_integers) < len(products)  # attention and cosines
    assert not any(node.op_type == "Conv" and node.input[0] in dequantized for node in graph.node)
    kept = {node.name for node in products if node not in in_integers}
    assert "node_matmul" in kept  # the cosines of all names


def test_report_compares_the_two_files(files, pictures):
    images = [each[None] for each in pictures.transpose(0, 3, 1, 2)[2:]]
    report = compare((runner_of(files[0], 1), runner_of(files[1], 1)), files, images, 2)
    assert report.sizes == tuple(path.stat().st_size for path in files) and report.sizes[1] < report.sizes[0]
    assert len(report.agreement) == 2 and 0.8 < min(report.agreement) <= 1
    assert "calibrated on 2 |" in str(report) and report.described()["compared_on"] == 2
    wrong = compare((runner_of(files[0], 1), lambda x: [np.full((1, 64, 64), 99)]), files, images, 2)
    assert max(wrong.agreement) == 0


def test_calibration_and_comparison_share_no_picture():
    seen, unseen = split(range(100))
    assert len(seen) == len(unseen) == MOST and not {*seen} & {*unseen}
    with pytest.raises(UsageError, match="two or more"):
        split(["one"])


def test_another_format_is_refused(segmenter, tmp_path):
    with pytest.raises(UsageError, match="--format onnx or openvino, not torch_export"):
        export_model(segmenter, tmp_path / "out", "torch_export", calibrate=["a.png", "b.png"])
    assert list(tmp_path.iterdir()) == []
