"""Multiply-adds: the plain form's are the paper's, and the model needs fewer."""

import pytest

from errseg.benchmark.macs import count_macs
from errseg.config import get_cfg


@pytest.mark.parametrize(
    ("names", "classes", "paper", "ours"), [(847, 48, 348, 320.1), (150, 32, 288, 271.0)], ids=["A-847", "A-150"]
)
def test_whole_model(names, classes, paper, ours):
    assert count_macs(get_cfg(), names, classes, form="plain")["total"] == pytest.approx(paper, rel=0.01)
    assert count_macs(get_cfg(), names, classes)["total"] <= ours


@pytest.mark.parametrize(("ssr", "csr", "paper"), [(1, 1, 188.1), (2, 1, 134.6), (1, 2, 148.9), (2, 2, 95.3)])
def test_fusion_layers(ssr, csr, paper):
    cfg = get_cfg()
    cfg.MODEL.ESCF.SSR_RATIO, cfg.MODEL.ESCF.CSR_RATIO = ssr, csr
    plain = count_macs(cfg, 150, 32, form="plain")["escf_layers"]
    assert plain == pytest.approx(paper, rel=0.01)
    assert count_macs(cfg, 150, 32)["escf_layers"] < 0.95 * plain
