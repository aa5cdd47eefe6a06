"""Keys of one system in the configuration of another."""

import pytest

import errseg
from errseg.config import unread_keys


@pytest.mark.parametrize(
    ("system", "key", "value"),
    [
        ("ERRSeg", "MODEL.PROMPT.LEARNED", True),
        ("ERRSeg", "MODEL.PATCH_SEVERANCE.BLOCKS", [1]),
        ("DeOP", "MODEL.CRM.NUM_CLASSES_TEST", 3),
    ],
)
def test_a_key_that_the_system_does_not_read(tiny_cfg, caplog, system, key, value):
    cfg = errseg.get_cfg()
    cfg.MODEL.META_ARCHITECTURE = system
    assert unread_keys(cfg) == {}
    cfg.merge_from_list([key, value])
    assert unread_keys(cfg) == {key: value}
    cfg.MODEL.META_ARCHITECTURE = "ERRSeg" if system == "DeOP" else "DeOP"
    assert unread_keys(cfg) == {}
    if system == "ERRSeg":
        tiny_cfg.merge_from_list([key, value])
        errseg.build_model(tiny_cfg)
        assert f"ERR-Seg does not read these keys, which have no effect: {key} = {value}." in caplog.text


def test_a_stage_reads_the_keys_of_its_system():
    cfg = errseg.get_cfg()
    cfg.merge_from_list(["MODEL.META_ARCHITECTURE", "DeOPProposals", "MODEL.PROMPT.LEARNED", True])
    assert unread_keys(cfg) == {}


def test_a_tuple_is_the_list_of_its_values():
    cfg = errseg.get_cfg()
    cfg.MODEL.PATCH_SEVERANCE.BLOCKS = (11,)
    assert unread_keys(cfg) == {}
