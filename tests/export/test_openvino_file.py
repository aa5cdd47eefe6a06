"""OpenVINO's files say what ONNX files say."""

import importlib.util
import json

import numpy as np
import pytest
from PIL import Image

from errseg.errors import UsageError
from errseg.export import export_model, openvino_file
from errseg.export.example import example
from errseg.export.formats import runner_of
from errseg.export.graph import IMAGES
from errseg.export.int8 import compare
from errseg.export.sizes import InputSize


@pytest.fixture(scope="module")
def file(exported, tmp_path_factory):
    """The tiny model's ONNX file, converted."""
    pytest.importorskip("openvino")
    pytest.importorskip("nncf")
    path = tmp_path_factory.mktemp("openvino") / "model.xml"
    openvino_file.convert(exported("onnx").file, path)
    return path


def test_labels_of_the_file(file, segmenter, pictures):
    run = runner_of(file, 1)
    expected = np.stack([result.labels for result in segmenter(list(pictures))])
    for count in (1, 4):
        labels, scores = run(pictures[:count].transpose(0, 3, 1, 2).copy())
        assert labels.dtype == np.uint8 and scores.dtype == np.float32
        assert (labels == expected[:count]).mean() >= 0.999


def test_weights_in_float16(file, pictures, tmp_path):
    half = tmp_path / "model.xml"
    for suffix in (".xml", ".bin"):
        half.with_suffix(suffix).write_bytes(file.with_suffix(suffix).read_bytes())
    openvino_file.half_weights(half)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.bin", "model.xml"]
    assert half.with_suffix(".bin").stat().st_size < 0.6 * file.with_suffix(".bin").stat().st_size
    images = pictures.transpose(0, 3, 1, 2).copy()
    (before, _), (after, _) = runner_of(file, 1)(images), runner_of(half, 1)(images)
    assert 0.9 < (before == after).mean()


def test_int8_leaves_cosines_in_float32(file, segmenter, pictures, tmp_path):
    import openvino

    target, images = tmp_path / "int8.xml", [each[None].copy() for each in pictures.transpose(0, 3, 1, 2)]
    openvino_file.quantize(file, target, [{IMAGES: each} for each in images[:2]], segmenter.encoded.text.numpy())
    operations = openvino.Core().read_model(target).get_ordered_ops()
    products = [each for each in operations if each.get_type_name() in ("MatMul", "Convolution")]
    sources = [[each.input_value(i).get_node().get_type_name() for i in range(2)] for each in products]
    quantized = [each for each in sources if "FakeQuantize" in each]
    assert 10 < len(quantized) < len(products)
    report = compare((runner_of(file, 1), runner_of(target, 1)), (file, target), images[2:], 2, format="openvino")
    assert report.sizes[1] < 0.6 * report.sizes[0] and len(report.agreement) == 2
    (_, before), (_, after) = runner_of(file, 1)(images[2]), runner_of(target, 1)(images[2])
    # the labels of random weights change with the least rounding
    assert 0 < np.abs(before - after).max() < 0.05 < before.min(), (before.min(), np.abs(before - after).max())
    assert str(report).startswith("| openvino | file |") and "NNCF" in report.described()["quantized"]


def test_a_folder(segmenter, untraced, tmp_path, monkeypatch):
    """Its files and its description; what is in the model file is for the tests above."""
    monkeypatch.setattr("errseg.export.exporting.check_packages", lambda format: None)
    monkeypatch.setattr("errseg.export.exporting.runner_of", lambda *_: None)
    monkeypatch.setattr("errseg.export.exporting.agreement_on_drawings", lambda *_, least=1.0: 1 - least)
    halved = []
    monkeypatch.setattr("errseg.export.openvino_file.half_weights", halved.append)
    done = export_model(segmenter, tmp_path / "out", "openvino", half_weights=True)
    assert done.file.name == "model.xml" and len(halved) == 1 and done.agreement == 1
    said = json.loads((tmp_path / "out/preprocessing.json").read_text(encoding="utf-8"))
    assert (said["format"], said["weights"], said["opset"]) == ("openvino", "float16", None)
    with pytest.raises(UsageError, match="--format openvino without --int8"):
        export_model(segmenter, tmp_path / "other", "onnx", half_weights=True)


def test_example_runs(file, pictures, tmp_path, monkeypatch, capsys):
    (tmp_path / "names.json").write_text(json.dumps([f"name {i}" for i in range(20)]))
    for suffix in (".xml", ".bin"):
        (tmp_path / f"model{suffix}").write_bytes(file.with_suffix(suffix).read_bytes())
    Image.fromarray(pictures[0]).save(tmp_path / "photo.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["example.py", "photo.png"])
    source = example("openvino", InputSize(64, 64), False)
    exec(compile(source, "example.py", "exec"), {"__file__": str(tmp_path / "example.py")})
    assert "confidence" in capsys.readouterr().out and (tmp_path / "overlay.png").is_file()


def test_missing_packages(segmenter, tmp_path, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *more: None if name == "nncf" else find(name, *more))
    with pytest.raises(UsageError, match=r"nncf, not installed here; run pip install -e '.\[openvino\]'"):
        export_model(segmenter, tmp_path / "out", "openvino")
