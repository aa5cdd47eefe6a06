"""An exported file says what the model says, and its folder needs no errseg."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from errseg.export import FORMATS
from errseg.export.check import labels_of_model
from errseg.export.example import example
from errseg.export.graph import ExportModule
from errseg.export.sizes import InputSize

from .conftest import NAMES, NUM_CLASSES, ROWS, SIDE

ROOT = Path(__file__).parents[2]
WITHOUT_ERRSEG = (
    "import os, runpy, sys\n"
    "sys.modules.update(dict.fromkeys(['errseg', 'detectron2', 'open_clip', 'timm']))\n"
    "photo, *examples = sys.argv[1:]\n"
    "for example in examples:\n"
    "    sys.argv = [example, photo]\n"
    "    runpy.run_path(example, run_name='__main__')\n"
    "    os.rename('overlay.png', os.path.basename(os.path.dirname(example)) + '.png')\n"
)

formats = pytest.mark.parametrize("format", ("onnx", "torch_export"))
kinds = pytest.mark.parametrize("open_vocabulary", (False, True), ids=("closed", "open"))


def share(a, b):
    assert a.shape == b.shape
    return (a == b).mean()


@formats
def test_closed_form_agrees_with_the_segmenter(runner, segmenter, pictures, format):
    run = runner(format, False)
    results = segmenter(list(pictures))
    expected = np.stack([result.labels for result in results])
    assert len(np.unique(expected)) >= 4  # else the comparison says little
    for chosen in ([0], [1, 2, 3], [0, 1, 2, 3]):
        labels, scores = run(pictures[chosen].transpose(0, 3, 1, 2))
        assert labels.dtype == np.uint8 and scores.dtype == np.float32
        assert share(labels, expected[chosen]) >= 0.999
        np.testing.assert_allclose(scores, np.stack([results[i].scores for i in chosen]), atol=1e-5)


def test_labels_are_names_not_synonyms(make_segmenter, pictures):
    """With every name but one a synonym of one, and all of them kept, that one has its pixels."""
    segmenter = make_segmenter(names={"thing": [f"thing {i}" for i in range(12)], "other": []}, num_classes=0)
    encoded, classes = segmenter.encoded, segmenter.vocabulary.prompt_classes
    with torch.no_grad():  # what is traced; a file of it agrees, as the test above says
        module = ExportModule(segmenter.model, encoded.num_kept, encoded.text.clone(), classes)
        labels, _ = module(torch.from_numpy(pictures.transpose(0, 3, 1, 2)))
    assert labels.max() <= 1 and (labels == 0).any()
    assert share(labels.numpy(), np.stack([result.labels for result in segmenter(list(pictures))])) >= 0.999


@formats
@pytest.mark.parametrize("count", (2, NUM_CLASSES - 1, NUM_CLASSES, NUM_CLASSES + 1, 40))
def test_open_form_takes_any_number_of_names(runner, segmenter, pictures, format, count):
    text = torch.nn.functional.normalize(torch.randn(count, 32, generator=torch.Generator().manual_seed(count)), dim=1)
    images = pictures.transpose(0, 3, 1, 2)
    expected, expected_scores = labels_of_model(segmenter.model, images, text, NUM_CLASSES)
    run = runner(format, True)
    for chosen in ([0], [1, 2, 3]):
        labels, scores = run(images[chosen], 3 * text.numpy())  # of any length
        assert labels.dtype == np.int32
        assert share(labels, expected[chosen]) >= 0.999
        np.testing.assert_allclose(scores, expected_scores[chosen], atol=1e-5)


@formats
def test_open_form_with_its_example_agrees_with_the_segmenter(exported, runner, segmenter, pictures, format):
    done = exported(format, True)
    names = json.loads((done.folder / "names.json").read_text(encoding="utf-8"))
    text = np.load(done.folder / "text_embeddings.npy")
    assert len(names) == len(text) == ROWS and names[:3] == ["cat"] * 3
    rows, _ = runner(format, True)(pictures.transpose(0, 3, 1, 2), text)
    labels = np.array([list(NAMES).index(name) for name in names])[rows]
    assert share(labels, np.stack([result.labels for result in segmenter(list(pictures))])) >= 0.999


@formats
@kinds
def test_folder_is_complete_and_says_what_the_file_takes(exported, runner, format, open_vocabulary):
    done = exported(format, open_vocabulary)
    more = {"text_embeddings.npy"} if open_vocabulary else set()
    files = {FORMATS[format], "names.json", "preprocessing.json", "example.py"} | more
    assert {path.name for path in done.folder.iterdir()} == files
    assert [path for path in done.folder.parent.iterdir() if path.name.endswith(".tmp")] == []
    said = json.loads((done.folder / "preprocessing.json").read_text(encoding="utf-8"))
    assert said["sha256"] == hashlib.sha256(done.file.read_bytes()).hexdigest()
    assert (said["format"], said["file"], said["resolution"]) == (format, done.file.name, SIDE)
    assert (said["open_vocabulary"], said["num_classes"]) == (open_vocabulary, NUM_CLASSES)
    names = json.loads((done.folder / "names.json").read_text(encoding="utf-8"))
    assert said["names"] == len(names) and (open_vocabulary or names == list(NAMES))
    assert said["errseg"]["weights"]["file"] == "none: random weights"
    assert said["errseg"]["config"]["MODEL"]["CLIP"]["NAME"] == "short_clip.json"  # without its folder
    assert said["agreement"] == done.agreement >= 0.999
    free = {"batch": 3, "names": ROWS}
    arrays = [np.ones([free.get(side, side) for side in each["shape"]], each["dtype"]) for each in said["inputs"]]
    for result, each in zip(runner(format, open_vocabulary)(*arrays), said["outputs"], strict=True):
        assert result.dtype == each["dtype"] and result.shape == (3, *each["shape"][1:])


@pytest.mark.parametrize("open_vocabulary", (False, True))
def test_onnx_file_is_valid_and_names_what_it_takes(exported, open_vocabulary):
    import onnx

    done = exported("onnx", open_vocabulary)
    onnx.checker.check_model(str(done.file), full_check=True)
    model = onnx.load(str(done.file))
    said = json.loads((done.folder / "preprocessing.json").read_text(encoding="utf-8"))
    for kind, values in (("inputs", model.graph.input), ("outputs", model.graph.output)):
        assert [value.name for value in values] == [each["name"] for each in said[kind]]
    assert {entry.domain: entry.version for entry in model.opset_import}[""] == said["opset"]


@formats
def test_file_tells_nothing_of_the_machine(exported, format):
    assert str(ROOT).encode() not in exported(format).file.read_bytes()


@formats
def test_text_tower_stays_behind(exported, segmenter, format):
    """The token table alone is 6.3 MB."""
    table = segmenter.model.backbone.clip.token_embedding.weight
    assert exported(format).size < table.nbytes < 7e6


@formats
def test_examples_run_without_errseg(exported, segmenter, pictures, tmp_path, format):
    """Of the closed and of the open form, one after the other in one process."""
    folders = [exported(format, open_vocabulary).folder for open_vocabulary in (False, True)]
    photo = tmp_path / "photo.png"
    Image.fromarray(pictures[0]).save(photo)
    command = [sys.executable, "-I", "-c", WITHOUT_ERRSEG, photo, *(folder / "example.py" for folder in folders)]
    run = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    classes = segmenter(pictures[0]).classes
    said = [[f"{each.share:.1%}", "confidence", f"{each.score:.2f}", *each.name.split()] for each in classes]
    assert [line.split() for line in run.stdout.splitlines()] == 2 * said
    for folder in folders:
        seen = np.asarray(Image.open(tmp_path / f"{folder.name}.png"))
        assert seen.shape == pictures[0].shape and (seen != pictures[0]).mean() > 0.5


@formats
@pytest.mark.parametrize(("open_vocabulary", "most"), [(False, 10), (True, 12)])
def test_example_is_short(format, open_vocabulary, most):
    source = example(format, InputSize(SIDE, SIDE), open_vocabulary)
    code = source.split("\n\n")[-1].strip().splitlines()  # below the imports
    assert code[0].startswith("folder = ") and len(code) <= most + (format == "torch_export")
    assert max(map(len, code)) <= 120
    compile(source, "example.py", "exec")
