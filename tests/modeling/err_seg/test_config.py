"""K as the paper chooses it, and configuration keys in messages."""

import pytest
from detectron2.data import MetadataCatalog

from errseg.data.benchmarks import BENCHMARKS
from errseg.modeling.err_seg.config import num_kept, num_kept_train, paper_num_kept

KEPT = {"A-847": 48, "PC-459": 48, "A-150": 32, "PC-59": 24, "PAS-20": 16, "PAS-20b": 24, "COCO-Stuff": 32}


@pytest.mark.parametrize(("count", "kept"), [(3, 3), (20, 16), (59, 24), (150, 32), (151, 48), (40, 24)])
def test_k_follows_the_number_of_names(count, kept):
    assert paper_num_kept(count) == kept


def test_k_of_the_papers_data_sets(tiny_cfg):
    for row in BENCHMARKS:
        metadata = MetadataCatalog.get(row.name)
        count = len(metadata.prompts)
        if row.paper_name in KEPT:
            assert num_kept(tiny_cfg, count, metadata.num_classes_test) == KEPT[row.paper_name]
    assert num_kept(tiny_cfg, 150, 0) == 0  # a data set that asks for all of its names
    tiny_cfg.MODEL.CRM.NUM_CLASSES_TEST = 7
    assert num_kept(tiny_cfg, 150, 32) == 7
    assert num_kept_train(tiny_cfg) == 4
    tiny_cfg.MODEL.CRM.ENABLED = False  # every name stays
    assert num_kept(tiny_cfg, 150, 32) == num_kept_train(tiny_cfg) == 0
