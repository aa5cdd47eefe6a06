"""Configuration files: inheritance, and what no file may be."""

import pytest
import yaml
from detectron2.config import CfgNode

from errseg.config import as_data, get_cfg, read_tree
from errseg.errors import UsageError


def write(folder, **files):
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text)
    return str(folder / "c.yaml")


def test_bases_in_order_and_own_keys_last(tmp_path):
    path = write(
        tmp_path,
        a="SOLVER: {MAX_ITER: 1, BASE_LR: 0.5, GAMMA: 0.1}",
        b="SOLVER: {MAX_ITER: 2, BASE_LR: 0.25}",
        c="_BASE_: [a.yaml, b.yaml]\nSOLVER: {MAX_ITER: 3}\nVERSION: 2",
    )
    assert read_tree(path) == {"SOLVER": {"MAX_ITER": 3, "BASE_LR": 0.25, "GAMMA": 0.1}, "VERSION": 2}


def test_a_base_by_its_path_and_below_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    path = write(tmp_path, a="SEED: 1", b=f"_BASE_: {tmp_path}/a.yaml", c="_BASE_: ~/b.yaml")
    assert read_tree(path) == {"SEED": 1}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "holds nothing"),
        ("# nothing but this", "holds nothing"),
        ("[1, 2]", "holds a list"),
        ("text", "holds a str"),
        ("1: 2", "has the key 1"),
        ("MODEL: {null: 2}", "has the key None in MODEL"),
        ("_BASE_: 3", "_BASE_ in the config file .* is 3"),
        ("_BASE_:", "is None"),
        ("_BASE_: {a: 1}", "is {'a': 1}"),
        ("_BASE_: [a.yaml, 4]", "is 4"),
        ("_BASE_: gone.yaml", "gone.yaml does not exist"),
        ("_BASE_: ''", "is ''"),
        ("_BASE_: c.yaml", "inherits from itself"),
        ("_BASE_: ./../{folder}/c.yaml", "inherits from itself"),
        ("_BASE_: http://127.0.0.1:9/x.yaml", "is an address"),
        ("_BASE_: /dev/zero", "not a regular file"),
        ("_BASE_: ~nobody_of_this_name/x.yaml", "does not exist"),
        ("VERSION: 1", "has VERSION: 1"),
        ("VERSION: [2]", "has VERSION"),
        ("_BASE_: a.yaml\nSEED: {A: 1}", "has keys under SEED"),
    ],
)
def test_what_is_refused(tmp_path, text, reason):
    path = write(tmp_path, a="SEED: 1", c=text.replace("{folder}", tmp_path.name))
    with pytest.raises(UsageError, match=reason) as caught:
        read_tree(path)
    assert "\n" not in str(caught.value)


def test_bases_of_bases_of_bases_are_bounded(tmp_path):
    files = {f"f{level}": f"_BASE_: [{', '.join([f'f{level + 1}.yaml'] * 9)}]" for level in range(9)}
    path = write(tmp_path, **files, f9="SEED: 1", c="_BASE_: f0.yaml")
    with pytest.raises(UsageError, match="more than 100"):
        read_tree(path)


def test_every_node_reads_plain_data(tmp_path):
    """Detectron2's own merge_from_file, under its own signature, on the root and on a clone."""
    path = write(tmp_path, c="MODEL: {DEVICE: !!python/object/apply:os.getcwd []}")
    for cfg in (get_cfg(), get_cfg().clone()):
        for arguments in ((), (True,)):
            with pytest.raises(UsageError, match="has the tag"):
                cfg.merge_from_file(path, *arguments)
            with pytest.raises(UsageError, match="has the tag"):
                cfg.load_yaml_with_base(path, *arguments)


def test_as_data_is_what_the_file_would_hold():
    cfg = get_cfg()
    assert isinstance(cfg, CfgNode) and as_data(cfg) == yaml.safe_load(cfg.dump())
    assert as_data(cfg)["MODEL"]["CLIP"]["NAME"] == "convnext_base_w_320"
