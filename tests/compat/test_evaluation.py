"""The evaluation loop, and the check of results."""

import re

import pytest
import torch
from detectron2.config import get_cfg
from detectron2.evaluation import (
    DatasetEvaluator,
    inference_on_dataset,
    verify_results,
)
from detectron2.evaluation.testing import flatten_results_dict
from torch import nn


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
