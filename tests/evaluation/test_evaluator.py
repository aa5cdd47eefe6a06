"""The streaming evaluator: Detectron2's numbers, in constant memory, from label maps or scores."""

import pickle

import detectron2
import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.evaluation import DatasetEvaluator
from PIL import Image
from torch import nn

from errseg.data import DataChecksum, LabelReader
from errseg.data.files import read_label
from errseg.evaluation import LabelMaps, VocabularyEvaluator
from errseg.evaluation.metrics import SCORES, scores_of, worst_confusions

from .oracle import Oracle, random_set, write_set


def predicted(record):
    """What the images of ``write_set`` say, (H, W)."""
    image = torch.from_numpy(np.array(Image.open(record["file_name"]))).long()
    return image[..., 0] + 256 * image[..., 1]


def scores_for(labels, count):
    return nn.functional.one_hot(labels, count).permute(2, 0, 1).float()


def run(name, output_of, evaluator=None):
    evaluator = evaluator or VocabularyEvaluator(name, distributed=False)
    evaluator.reset()
    for record in DatasetCatalog.get(name):
        evaluator.process([record], [output_of(record)])
    return evaluator


def counted(name):
    """The scores of what the images of ``name`` say, by Detectron2's definitions and counted class by class."""
    names, ignore = MetadataCatalog.get(name).stuff_classes, MetadataCatalog.get(name).ignore_label
    records = DatasetCatalog.get(name)
    true = np.concatenate([read_label(record["sem_seg_file_name"]).reshape(-1) for record in records])
    found = np.concatenate([predicted(record).numpy().reshape(-1) for record in records])[true != ignore]
    true = true[true != ignore]
    scores, present = {}, np.unique(true)
    for index, label in enumerate(names):
        both, either = ((true == index) & (found == index)).sum(), ((true == index) | (found == index)).sum()
        scores[f"IoU-{label}"] = 100 * (both / either) if index in present else np.nan
        scores[f"ACC-{label}"] = 100 * (both / (true == index).sum()) if index in present else np.nan
    iou, acc = ([scores[f"{kind}-{names[index]}"] for index in present] for kind in ("IoU", "ACC"))
    scores["fwIoU"] = sum(value * (true == index).mean() for value, index in zip(iou, present, strict=True))
    return {**scores, "mIoU": np.mean(iou), "mACC": np.mean(acc), "pACC": 100 * (true == found).mean()}


def real(name):
    """The scores that Detectron2's own evaluator gives."""
    from detectron2.evaluation import SemSegEvaluator

    evaluator = SemSegEvaluator(name, distributed=False)
    evaluator._compute_boundary_iou = False
    classes = len(MetadataCatalog.get(name).stuff_classes)
    return run(name, lambda x: {"sem_seg": scores_for(predicted(x), classes)}, evaluator).evaluate()["sem_seg"]


@pytest.mark.parametrize("expected_of", [counted] if "compat" in detectron2.__version__ else [counted, real])
@pytest.mark.parametrize(("classes", "ignore", "extension"), [(5, 255, "png"), (300, 65535, "tif"), (459, 459, "tif")])
def test_the_scores_are_those_of_detectron2(tmp_path, classes, ignore, extension, expected_of):
    name = f"agreement_{classes}_{expected_of.__name__}"
    random_set(tmp_path, name, classes=classes, ignore=ignore, seed=classes, sem_seg_ext=extension)
    expected = expected_of(name)
    ours = run(name, lambda x: {"labels": predicted(x)})
    found = ours.evaluate()["sem_seg"]
    scores = scores_of(ours.matrix)
    assert 0 < found["mIoU"] < 100
    assert found == pytest.approx({score: expected[score] for score in SCORES}, rel=1e-14)
    names = MetadataCatalog.get(name).stuff_classes
    assert np.array_equal(scores.iou, [expected[f"IoU-{x}"] for x in names], equal_nan=True)
    assert np.array_equal(scores.acc, [expected[f"ACC-{x}"] for x in names], equal_nan=True)
    assert np.isnan(scores.iou[-1]) and scores.pixels[-1] == 0 and ours.matrix[-2, :-1].sum() > 0
    assert isinstance(ours, DatasetEvaluator)


def test_label_maps_scores_and_known_classes_count_alike(tmp_path):
    random_set(tmp_path, "alike", classes=5)
    outputs = [
        lambda x: {"labels": predicted(x)},
        lambda x: {"sem_seg": scores_for(predicted(x), 5)},
        lambda x: {"classes": predicted(x).numpy()},
    ]
    matrices = [run("alike", output).matrix for output in outputs]
    assert all(np.array_equal(matrix, matrices[0]) for matrix in matrices) and matrices[0].sum() > 0


def test_several_prompts_of_one_class_count_as_it_whatever_the_output(tmp_path):
    label, prediction = np.uint8([[0, 1, 1, 0]]), np.uint8([[0, 1, 2, 2]])
    settings = {"classes": ["cat", "background"], "prompts": ["cat", "sky", "grass"], "prompt_classes": [0, 1, 1]}
    write_set(tmp_path, "prompts", [prediction], [label], **settings)
    by_labels = run("prompts", lambda x: {"labels": predicted(x)}).matrix
    by_scores = run("prompts", lambda x: {"sem_seg": scores_for(predicted(x), 3)}).matrix
    assert by_labels.tolist() == by_scores.tolist() == [[1, 0, 0], [1, 2, 0], [0, 0, 0]]


def test_the_labels_are_read_through_the_map_of_the_data_set(tmp_path):
    settings = {"classes": ["a", "b"], "label_map": {1: 0, 2: 1, 0: 255, 255: 255}}
    write_set(tmp_path, "mapped", [np.uint8([[0, 1, 0, 1]])], [np.uint8([[1, 2, 0, 1]])], **settings)
    evaluator = run("mapped", lambda x: {"labels": predicted(x)})
    assert evaluator.matrix.tolist() == [[1, 0, 1], [1, 1, 0], [0, 0, 0]]


def test_an_image_takes_a_few_bytes_for_each_pair_of_its_classes(tmp_path):
    random_set(tmp_path, "stream", images=2, classes=200)
    evaluator = VocabularyEvaluator("stream", distributed=False)
    records = DatasetCatalog.get("stream")

    def count(times):
        for _ in range(times):
            evaluator.process(records, [{"labels": predicted(record)} for record in records])
        return len(pickle.dumps({**vars(evaluator), "checksum": evaluator.checksum.state()}))

    pixels = sum(predicted(record).numel() for record in records)  # there are no more pairs than pixels
    small = count(1)
    assert count(20) - small < 20 * (8 * pixels + 1000) < 20 * 4 * 201**2  # less than dense confusions
    assert evaluator.checksum.num_images == len(evaluator.images.images) == 42


def test_the_checksum_is_that_of_the_labels(tmp_path):
    random_set(tmp_path, "sum", classes=4)
    reader, expected = LabelReader("sum"), DataChecksum()
    for record in reversed(DatasetCatalog.get("sum")):
        path = record["sem_seg_file_name"]
        expected.add(record["file_name"], reader(path, record["file_name"], read_label(path).shape))
    evaluator = run("sum", lambda x: {"labels": predicted(x)})
    assert evaluator.checksum.hexdigest() == expected.hexdigest()
    evaluator.reset()
    assert evaluator.checksum.num_images == 0 and not evaluator.matrix.any() and not evaluator.images.images


class Mode(nn.Module):
    """Knows how often it was told which mode it is in."""

    def __init__(self):
        super().__init__()
        self.told = []

    def train(self, mode=True):
        self.told.append(mode)
        return super().train(mode)

    def label_maps(self, batch):
        return [torch.full((2, 2), x["file_name"]) for x in batch]


def test_modes_reach_the_model_through_the_wrapper():
    model = Mode().train()
    wrapper = LabelMaps(model)
    assert wrapper.training and model.told == [True]
    wrapper.eval()
    assert not model.training
    wrapper.train(True)
    assert model.told == [True, False, True]
    assert not LabelMaps(Mode().eval()).training


def test_images_whose_classes_are_known_are_not_predicted_again():
    known = {"classes": np.zeros((1, 1)), "file_name": 7}
    outputs = LabelMaps(Mode())([{"file_name": 3}, known, {"file_name": 5}])
    assert [output["labels"][0, 0] for output in (outputs[0], outputs[2])] == [3, 5] and outputs[1] is known
    assert LabelMaps(Mode())([known]) == [known]


def test_a_model_without_label_maps_gives_its_scores():
    model = Oracle().eval()
    image = {"image": torch.zeros(3, 2, 2, dtype=torch.uint8), "file_name": "x"}
    assert LabelMaps(model)([image])[0]["sem_seg"].shape == (1, 2, 2)


def test_the_worst_confusions_come_first():
    matrix = np.zeros((4, 4), np.int64)  # row: predicted
    matrix[0, 0], matrix[1, 0], matrix[2, 0], matrix[1, 1], matrix[0, 2], matrix[3, 1] = 50, 10, 3, 5, 4, 99
    pairs = worst_confusions(matrix, 2)
    assert [(pair.true, pair.predicted, pair.pixels) for pair in pairs] == [(0, 1, 10), (2, 0, 4)]
    assert pairs[0].share == pytest.approx(1000 / 63) and pairs[1].share == 100
    assert [(pair.true, pair.predicted) for pair in worst_confusions(matrix, 9, by_share=True)] == [
        (2, 0),
        (0, 1),
        (0, 2),
    ]


def test_nothing_to_score_is_no_number():
    scores = scores_of(np.zeros((3, 3), np.int64))
    assert np.isnan([scores.mIoU, scores.fwIoU, scores.mACC, scores.pACC, *scores.iou, *scores.acc]).all()
