"""The configuration files: the released sizes, the mini world's, and a file for each ablation."""

from pathlib import Path

import pytest

from errseg.config import check_values, load_config, unread_keys
from errseg.config.settings import flatten
from errseg.modeling import build_on_meta, system_of
from errseg.safe_files import read_yaml
from tests.conftest import DATA

CONFIGS = Path(__file__).parents[3] / "configs"
FILES = [*CONFIGS.glob("cat_seg_*.yaml"), CONFIGS / "mini/cat_seg_mini.yaml", *CONFIGS.glob("ablations/cat_seg_*.yaml")]


@pytest.mark.parametrize("path", sorted(FILES), ids=lambda path: path.stem)
def test_every_file_builds_a_model(path):
    cfg = load_config(str(path))
    check_values(cfg)
    assert system_of(cfg).name == "CAT-Seg" and not unread_keys(cfg)
    if path.parent.name == "ablations":
        cfg.MODEL.CLIP.NAME = str(DATA / "tiny_vit.json")  # it is built faster
    model = build_on_meta(cfg)
    trained = [name.split(".")[0] for name, p in model.named_parameters() if p.requires_grad]
    assert "sem_seg_head" in trained and ("backbone" in trained or "frozen" in path.stem)
    views = model.views.of(480, 640)
    assert [view.size for view in views[:-1]] in ([], 4 * [(cfg.INPUT.RESOLUTION_TEST,) * 2])


def test_an_ablation_changes_at_most_three_keys():
    for path in CONFIGS.glob("ablations/cat_seg_*.yaml"):
        assert path.read_text().startswith("# CAT-Seg, ")
        own = read_yaml(path, "config file")
        assert own.pop("_BASE_") == "../cat_seg_vit_b16.yaml" and 1 <= len(flatten(own)) <= 3, path
