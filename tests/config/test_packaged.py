"""Configurations by name, with their bases."""

from pathlib import Path

import pytest

from errseg.config import config_names, config_path, load_config
from errseg.errors import UsageError

CONFIGS = Path(__file__).parents[2] / "configs"


def test_every_file_has_a_name():
    assert sorted(CONFIGS.rglob("*.yaml")) == sorted(Path(config_path(name)) for name in config_names())


def test_a_name_loads_the_file_and_its_bases(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cfg = load_config("ablations/table5_without_crm", ["SEED", "3"])
    assert (cfg.MODEL.CRM.ENABLED, cfg.MODEL.CLIP.NAME, cfg.SEED) == (False, "convnext_base_w_320", 3)
    assert Path(load_config("mini/errseg_mini").MODEL.CLIP.NAME).is_file()


def test_a_file_comes_before_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "base").write_text("SEED: 5\n")
    assert load_config("base").SEED == 5 and config_path("gone.yaml") == "gone.yaml"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("errseg_convnext_bse", "did you mean errseg_convnext_base"),
        ("table5_without_crm", "did you mean ablations/table5_without_crm"),
        ("zzz", "one of base, .*deop_vit_b16, errseg_convnext_base"),
        ("", "one of base"),
        ("../setup", "no configuration file ../setup"),
        ("a" * 5000, "no configuration file aaa"),
        ("a\0b", "no configuration file"),
    ],
)
def test_an_unknown_name_is_one_sentence(name, hint):
    with pytest.raises(UsageError, match=hint) as caught:
        load_config(name)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400
