"""The scores of a K that fits the image are those of an evaluation, and the best threshold is taken."""

from itertools import islice

import numpy as np
import pytest
import torch

from errseg.data import build_test_loader
from errseg.evaluation.evaluator import VocabularyEvaluator
from errseg.evaluation.tune_kept import OWN, Outcome, best_threshold, choices_of, measure_kept
from errseg.modeling import system_of_model
from errseg.modeling.num_kept import AutoKept

SET = "coco_2017_test_stuff_all_sem_seg"
AUTO = AutoKept(0.005, 1, 8)


@torch.no_grad()
def test_each_choice_counts_what_an_evaluation_with_it_counts(build, tiny_cfg, tiny_datasets):
    tiny_cfg.merge_from_list(["MODEL.CRM.AUTO_MAX", 8, "DATALOADER.NUM_WORKERS", 0, "TEST.FLIP", True])
    model = build().eval()
    choices = choices_of(AUTO, (0.1, 0.2), (2,))
    outcomes = measure_kept(tiny_cfg, model, SET, choices, slice(4))
    assert [choice.label for choice in choices] == [OWN, "K = 2", "auto 0.1", "auto 0.2"]
    assert [set(outcome.kept) for outcome in outcomes[:2]] == [{32}, {2}]
    assert len(set(outcomes[2].kept)) > 1 and np.mean(outcomes[3].kept) < np.mean(outcomes[2].kept)
    assert all(len(outcome.kept) == len(outcome.seconds) == 8 for outcome in outcomes)  # two views an image
    for choice, outcome in zip(choices, outcomes, strict=True):
        model.set_vocabulary(model.vocabulary.names, num_classes=choice.num_kept or 32)
        evaluator = VocabularyEvaluator(SET, distributed=False)
        for batch in islice(build_test_loader(tiny_cfg, SET), 4):
            evaluator.process(batch, [{"labels": labels} for labels in model.label_maps(batch)])
        assert (outcome.matrix == evaluator.matrix).all() and outcome.matrix.sum() == 4 * 48 * 64
        assert outcome.mIoU == evaluator.scores()["mIoU"]


def test_recall_is_of_the_classes_in_the_labels(build, tiny_cfg, tiny_datasets):
    tiny_cfg.merge_from_list(["DATALOADER.NUM_WORKERS", 0])
    model = build().eval()
    ids = torch.zeros(48, 64, dtype=torch.long)
    ids[:, 32:] = 3
    record = {"image": torch.zeros(3, 48, 64, dtype=torch.uint8), "height": 48, "width": 64, "file_name": "a.png"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(VocabularyEvaluator, "truth", lambda *_: ids.numpy())
        choices = choices_of(AUTO, (), (1, 171))
        _, one, every = measure_kept(tiny_cfg, model, SET, choices, images=[[record]])
    hits, count = system_of_model(model).measures["CRM's recall"](model, record, ids)  # with the data set's K
    assert count == one.present == every.present == 2
    assert every.found == 2 and one.found <= 1 and hits <= 2


def test_the_best_threshold_is_of_the_mean_and_of_equal_ones_the_one_with_fewer_names():
    def outcome(score, kept):
        return Outcome(np.zeros((1, 1)), [kept], seconds=[0.0], mIoU=score)

    choices = choices_of(AUTO, (0.1, 0.2, 0.3, 0.4))
    runs = [{"a": [outcome(99, 9), outcome(50, 9), outcome(40.001, 6), outcome(60, 5), outcome(0, 1)]},
            {"a": [outcome(99, 9), outcome(50, 9), outcome(60, 6), outcome(40, 5), outcome(0, 1)]}]  # fmt: skip
    assert best_threshold(choices, runs).threshold == 0.3
    runs[0]["a"][2].mIoU = 41
    assert best_threshold(choices, runs) == AutoKept(0.2, 1, 8)
