"""The paper's multiply-adds at 640 x 640 (Tables III and X), within 1 %."""

import pytest

from errseg import get_cfg
from errseg.macs import count_macs


@pytest.mark.parametrize(("num_names", "num_classes", "paper"), [(847, 48, 348), (150, 32, 288)])
def test_whole_model(num_names, num_classes, paper):
    assert count_macs(get_cfg(), num_names, num_classes)["total"] == pytest.approx(paper, rel=0.01)


@pytest.mark.parametrize(("ssr", "csr", "paper"), [(1, 1, 188.1), (2, 1, 134.6), (1, 2, 148.9), (2, 2, 95.3)])
def test_fusion_layers(ssr, csr, paper):
    cfg = get_cfg()
    cfg.MODEL.ESCF.SSR_RATIO, cfg.MODEL.ESCF.CSR_RATIO = ssr, csr
    assert count_macs(cfg, 150, 32)["escf_layers"] == pytest.approx(paper, rel=0.01)
