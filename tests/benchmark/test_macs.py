"""Multiply-adds: the plain forms' are those of the papers and the contract, and the models need fewer."""

import pytest

from errseg.benchmark.macs import count_macs, count_text_macs
from errseg.config import config_path, get_cfg, load_config


def test_whole_model_of_a_847():
    assert count_macs(get_cfg(), 847, 48, form="plain")["total"] == pytest.approx(348, rel=0.01)
    assert count_macs(get_cfg(), 847, 48)["total"] <= 320.1


@pytest.mark.parametrize(("ssr", "csr", "paper"), [(1, 1, 188.1), (2, 1, 134.6), (1, 2, 148.9), (2, 2, 95.3)])
def test_fusion_layers_and_the_whole_model_of_a_150(ssr, csr, paper):
    cfg = get_cfg()
    cfg.MODEL.ESCF.SSR_RATIO, cfg.MODEL.ESCF.CSR_RATIO = ssr, csr
    plain, fast = count_macs(cfg, 150, 32, form="plain"), count_macs(cfg, 150, 32)
    assert plain["escf_layers"] == pytest.approx(paper, rel=0.01)
    assert fast["escf_layers"] < 0.95 * plain["escf_layers"]
    if (ssr, csr) == (2, 2):  # the paper's model
        assert plain["total"] == pytest.approx(288, rel=0.01) and fast["total"] <= 271.0


DEOP = {  # 10^9 multiply-adds of the release by the side of a picture, T = 171 (contract, section 12)
    512: dict(backbone=47.8, pixel_decoder=25.4, predictor=4.4, image_tower=106.6, anchors=1.4, scores=4.5, total=190),
    640: dict(backbone=74.7, pixel_decoder=39.7, predictor=6.1, image_tower=182.8, anchors=2.0, scores=7.0, total=312),
}
# What the model saves of the release's work: queries, keys, attention and class token of the severed block; the masks
# of five layers, and all class embeddings
SAVED = {512: {"image_tower": 2.0, "predictor": 2.7}, 640: {"image_tower": 3.9, "predictor": 3.9}}


def deop(side):
    cfg = load_config(config_path("deop_vit_b16"))
    cfg.defrost()
    cfg.INPUT.RESOLUTION_TEST = side
    return cfg


def of_parts(counts):
    """The counted parts, the scores (what no other part has), and the total."""
    return counts | {"scores": 2 * counts["total"] - sum(counts.values())}


@pytest.mark.parametrize("side", DEOP)
def test_deop(side):
    plain, fast = (of_parts(count_macs(deop(side), 171, 0, form)) for form in ("plain", "fast"))
    release = DEOP[side]
    assert plain.keys() == release.keys()
    for name, count in plain.items():  # the table has one digit after the point
        assert count == pytest.approx(release[name], rel=0.01, abs=0.05 if name != "total" else 0), name
    assert plain["total"] == pytest.approx(release["total"], rel=0.01)
    for name, count in fast.items():
        less = SAVED[side].get(name, sum(SAVED[side].values()) if name == "total" else 0)
        assert count == pytest.approx(release[name] - less, rel=0.01, abs=0.05 if name != "total" else 0), name
        assert count <= plain[name]


def test_scores_of_deop_grow_with_the_names():
    assert of_parts(count_macs(deop(640), 847, 0))["scores"] == pytest.approx(34.7, rel=0.01)


def test_names_of_deop():
    """The release encodes all 77 positions of a name; the model, those up to the longest prompt's end token."""
    names = ["cat", "sky, heaven", "traffic light"]
    assert count_text_macs(deop(512), names, "plain") / len(names) == pytest.approx(2.98, rel=0.01)
    assert count_text_macs(deop(512), names) / len(names) < 0.6


def test_sed():
    """The release's work, as its contract gives it (section 12); without the savings that change no result."""
    cfg = load_config(config_path("sed_convnext_base"))
    cfg.defrost()
    cfg.MODEL.PROMPT.TEMPLATES = ("{}",) * 80  # as many channels as the release's, of prompts that are encoded once
    plain, fast = (count_macs(cfg, 150, 0, form) for form in ("plain", "fast"))
    assert plain["total"] == pytest.approx(469, rel=0.01) and plain["image_tower"] == pytest.approx(180.9, rel=0.01)
    assert fast["total"] == pytest.approx(469 - 150 * (3 * (42.5 + 80.2)) / 1000, rel=0.02)
    cfg.INPUT.RESOLUTION_TEST = 640
    assert count_macs(cfg, 847, 0, "plain")["total"] == pytest.approx(1253, rel=0.01)


# 10^9 multiply-adds of the five views of CAT-Seg by the number of names, and what the model's savings leave (contract,
# section 12); with 847 names 256 classes stay. The plain form does not send the last block's queries and keys, which
# nothing reads, through its output projection.
CAT_SEG = {
    20: dict(spatial=61.3, classes=326.3, decoder=56.9, total=735, fast=391),
    150: dict(spatial=460.1, classes=326.3, decoder=426.7, total=1506, fast=1095),
    847: dict(spatial=785.2, classes=326.3, decoder=728.2, total=2136, fast=1669),
}
UNREAD = 3.4


@pytest.mark.parametrize("names", CAT_SEG)
def test_cat_seg(names):
    cfg, table = load_config(config_path("cat_seg_vit_b16")), CAT_SEG[names]
    plain, fast = (count_macs(cfg, names, 0, form) for form in ("plain", "fast"))  # of all five views
    assert plain["image_tower"] - plain["upsample"] == pytest.approx(279.4 - UNREAD, rel=0.002)
    for name in ("spatial", "classes"):
        assert plain[name] == pytest.approx(table[name], rel=0.005)
    projections = 1.7  # of the decoder's guidance, which the contract counts with the other guidance
    assert plain["decoder"] == pytest.approx(table["decoder"] + projections, rel=0.01)
    assert plain["total"] == pytest.approx(table["total"] - UNREAD, rel=0.005)
    assert fast["total"] == pytest.approx(table["fast"], rel=0.01)
