"""Evaluation: the loop, and semantic segmentation's metrics against an independent computation."""

import re

import numpy as np
import pytest
import torch
from detectron2.config import get_cfg
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.evaluation import (
    DatasetEvaluator,
    SemSegEvaluator,
    inference_on_dataset,
    verify_results,
)
from detectron2.evaluation.testing import flatten_results_dict
from PIL import Image
from torch import nn


def scores(labels, classes):
    return nn.functional.one_hot(torch.as_tensor(labels).long(), classes).permute(2, 0, 1).float()


def predictions(name, classes=4):
    """Inputs and outputs: truths of which some pixels are changed, by record."""
    random = np.random.RandomState(5)
    inputs, outputs, truths = [], [], []
    for record in DatasetCatalog.get(name):
        truth = np.asarray(Image.open(record["sem_seg_file_name"])).astype(int)
        predicted = np.where(random.rand(*truth.shape) < 0.3, random.randint(0, classes, truth.shape), truth)
        predicted[predicted == 255] = 0
        inputs.append(record)
        outputs.append({"sem_seg": scores(predicted, classes)})
        truths.append((truth, predicted))
    return inputs, outputs, truths


def expected(truths, names):
    truth = np.concatenate([t.reshape(-1) for t, _ in truths])
    predicted = np.concatenate([p.reshape(-1) for _, p in truths])[truth != 255]
    truth = truth[truth != 255]
    ious, accs, shares = [], [], []
    for index in range(len(names)):
        both = ((truth == index) & (predicted == index)).sum()
        if (truth == index).any():
            ious.append(both / ((truth == index) | (predicted == index)).sum())
            accs.append(both / (truth == index).sum())
            shares.append((truth == index).mean())
        else:
            ious.append(np.nan), accs.append(np.nan), shares.append(0)
    results = {"mIoU": np.nanmean(ious), "fwIoU": np.nansum(np.multiply(ious, shares)), "mACC": np.nanmean(accs)}
    results["pACC"] = (truth == predicted).mean()
    results.update({f"IoU-{name}": value for name, value in zip(names, ious, strict=True)})
    results.update({f"ACC-{name}": value for name, value in zip(names, accs, strict=True)})
    return {key: 100 * value for key, value in results.items()}


def test_metrics(sem_seg_set):
    inputs, outputs, truths = predictions(sem_seg_set)
    evaluator = SemSegEvaluator(sem_seg_set, distributed=False)
    evaluator.reset()
    for pair in zip(inputs, outputs, strict=True):
        evaluator.process([pair[0]], [pair[1]])
    results = evaluator.evaluate()
    assert list(results) == ["sem_seg"]
    for key, value in expected(truths, "abcd").items():
        assert results["sem_seg"][key] == pytest.approx(value, rel=1e-9), key

    evaluator.reset()  # forgets
    evaluator.process(inputs, outputs)  # and takes batches
    assert evaluator.evaluate()["sem_seg"]["mIoU"] == pytest.approx(results["sem_seg"]["mIoU"])


def test_a_class_that_is_not_in_the_truth_is_not_counted(sem_seg_set):
    MetadataCatalog.remove(sem_seg_set)
    MetadataCatalog.get(sem_seg_set).set(stuff_classes=["a", "b", "c", "d", "e, f"], ignore_label=255)
    inputs, outputs, truths = predictions(sem_seg_set, classes=5)
    evaluator = SemSegEvaluator(sem_seg_set, distributed=False)
    evaluator.reset()
    evaluator.process(inputs, outputs)
    results = evaluator.evaluate()["sem_seg"]
    assert np.isnan(results["IoU-e, f"])
    for key, value in expected(truths, ["a", "b", "c", "d", "e, f"]).items():
        assert results[key] == pytest.approx(value, rel=1e-9, nan_ok=True), key


def test_many_classes_in_16_bits(tmp_path, sem_seg_set):
    """A-847's size: labels are 16-bit, and ignored ones may be any number."""
    record = DatasetCatalog.get(sem_seg_set)[0]
    truth = np.full((20, 30), 299, np.uint16)
    truth[0] = 65535
    Image.fromarray(truth).save(record["sem_seg_file_name"])
    MetadataCatalog.remove(sem_seg_set)
    MetadataCatalog.get(sem_seg_set).set(stuff_classes=[str(i) for i in range(300)], ignore_label=65535)
    predicted = np.full((20, 30), 299)
    predicted[5] = 0
    evaluator = SemSegEvaluator(sem_seg_set, distributed=False)
    evaluator.reset()
    evaluator.process([record], [{"sem_seg": scores(predicted, 300)}])
    results = evaluator.evaluate()["sem_seg"]
    assert results["mIoU"] == results["IoU-299"] == pytest.approx(100 * 18 / 19)
    assert np.isnan(results["IoU-0"])


def test_own_loading_of_labels(sem_seg_set):
    inputs, outputs, truths = predictions(sem_seg_set)

    def shifted(file_name, dtype=None):
        labels = np.array(Image.open(file_name), dtype=dtype)
        labels[labels == 255] = 3
        return labels

    evaluator = SemSegEvaluator(sem_seg_set, distributed=False, sem_seg_loading_fn=shifted)
    evaluator.reset()
    evaluator.process(inputs, outputs)
    filled = [(np.where(truth == 255, 3, truth), predicted) for truth, predicted in truths]
    assert evaluator.evaluate()["sem_seg"]["mIoU"] == pytest.approx(expected(filled, "abcd")["mIoU"])


class Recorder(DatasetEvaluator):
    def reset(self):
        self.seen = []

    def process(self, inputs, outputs):
        self.seen += zip(inputs, outputs, strict=True)

    def evaluate(self):
        return {"a": {"n": len(self.seen)}}


class Double(nn.Module):
    def forward(self, batch):
        assert not self.training and not torch.is_grad_enabled()
        return [2 * item for item in batch]


def test_inference_on_dataset(log):
    model = Double().train()
    evaluator = Recorder()
    results = inference_on_dataset(model, [[i] for i in range(12)], evaluator)
    assert results == {"a": {"n": 12}} and evaluator.seen == [(i, 2 * i) for i in range(12)]
    assert model.training
    assert "Start inference on 12 batches" in log.text
    assert re.search(
        r"Inference done \d+/12. Dataloading: [\d.]+ s/iter. Inference: [\d.]+ s/iter. Eval: [\d.]+ s/iter. "
        r"Total: [\d.]+ s/iter. ETA=\d:\d\d:\d\d",
        log.text,
    )
    assert re.search(r"Total inference time: [\d:.]+ \([\d.]+ s / iter per device, on 1 devices\)", log.text)
    assert re.search(r"Total inference pure compute time: [\d:.]+ \([\d.]+ s / iter per device", log.text)
    assert inference_on_dataset(lambda batch: batch, [[1]], DatasetEvaluator()) == {}


def test_flatten():
    assert flatten_results_dict({"a": {"b": {"c": 1}}, "d": 2}) == {"a/b/c": 1, "d": 2}


def test_verify_results(log):
    cfg = get_cfg()
    assert verify_results(cfg, {})
    cfg.TEST.EXPECTED_RESULTS = [["sem_seg", "mIoU", 50.0, 1.0]]
    assert verify_results(cfg, {"sem_seg": {"mIoU": 50.9}})
    for wrong in ({"sem_seg": {"mIoU": 51.1}}, {"sem_seg": {"mIoU": float("nan")}}):
        with pytest.raises(SystemExit) as status:
            verify_results(cfg, wrong)
        assert status.value.code == 1
    assert "51.1" in log.text


def test_several_evaluators_or_none():
    class Counts(DatasetEvaluator):
        def __init__(self, task):
            self.task = task

        def reset(self):
            self.count = 0

        def process(self, inputs, outputs):
            self.count += len(outputs)

        def evaluate(self):
            return {self.task: {"count": self.count}}

    data = [[1, 2], [3]]
    assert inference_on_dataset(lambda x: x, data, [Counts("a"), Counts("b")]) == {"a": {"count": 3}, "b": {"count": 3}}
    assert inference_on_dataset(lambda x: x, data, None) == {}
    with pytest.raises(AssertionError):
        inference_on_dataset(lambda x: x, data, [Counts("a"), Counts("a")])
