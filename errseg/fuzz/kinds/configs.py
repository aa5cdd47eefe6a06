"""Configurations, overrides, and configurations of CLIP."""

import json
from pathlib import Path
from random import Random
from typing import Any

import torch
import yaml

import errseg
from errseg.config import apply_overrides, get_cfg, load_config
from errseg.errors import UsageError, short

from ..bench import CLIP, Bench
from ..case import EITHER, REFUSE, Case
from ..mutate import YAML_TEXTS, damage, odd_tree, odd_value

__all__ = ["clip_json", "configuration", "overrides"]

KEYS = [
    *("MODEL.DEVICE", "MODEL.PRECISION", "MODEL.WEIGHTS", "MODEL.CLIP.NAME", "MODEL.CLIP.PRETRAINED"),
    *("MODEL.META_ARCHITECTURE", "MODEL.BACKBONE.NAME", "MODEL.SEM_SEG_HEAD.NAME", "MODEL.PIXEL_STD"),
    *("MODEL.PIXEL_MEAN", "MODEL.ESCF.DIM", "MODEL.ESCF.NUM_LAYERS", "MODEL.ESCF.NUM_HEADS", "MODEL.CRM.KERNEL_SIZE"),
    *("MODEL.CRM.NUM_CLASSES_TEST", "MODEL.CRM.NUM_CLASSES_TRAIN", "INPUT.FORMAT", "INPUT.RESOLUTION_TEST"),
    *("INPUT.MIN_SIZE_TEST", "INPUT.SIZE_DIVISIBILITY", "SOLVER.MAX_ITER", "DATASETS.TRAIN", "DATASETS.TEST", "SEED"),
    *("OUTPUT_DIR", "VERSION", "NO.SUCH", "MODEL", "", "MODEL.", ".", "__class__"),
]
TEXTS = [
    *("-1", "0", "1", "2", "3", "64", "100", "1e9", "0.5", "nan", "inf", "[]", "()", "{}", "None", "'x'", "[[1]]"),
    *("0x10", "1_0", "__import__('os')", "[1, 2, 3]", "[0.0, 0.0, 0.0]", "[nan, 1.0, 1.0]", "9" * 30, "1000000"),
    *("-2147483648", "cuda", "meta", "cpu", "('set.yaml',)", "bfloat16", "float64"),
]


def configuration(random: Random, bench: Bench, folder: Path) -> Case:
    """A YAML file, given directly, as a ``_BASE_``, in a run's folder, or beside a checkpoint."""
    right = EITHER
    if random.random() < 0.4:
        text = random.choice(YAML_TEXTS).encode()
        right = REFUSE
    elif random.random() < 0.6:
        text = _yaml(odd_tree(bench.tree, random))
    else:
        text = damage(_yaml(bench.tree), random)
    name = random.choice(["input.yaml", "config.yaml"])
    (folder / name).write_bytes(text)
    (folder / "child.yaml").write_text(f"_BASE_: {name}\n")
    (folder / "run").mkdir()
    (folder / "run/config.yaml").write_bytes(text)
    torch.save({"model": {"a": torch.ones(1)}}, folder / "run/model_final.pth")
    (folder / "run/last_checkpoint").write_text("model_final.pth")
    doors = {
        "load_config": lambda: load_config(name),
        "merge_from_file": lambda: _merge(name),
        "_BASE_": lambda: load_config("child.yaml"),
        "errseg.load": lambda: errseg.load(name, verbose=False),
        "run folder": lambda: errseg.load("run", verbose=False),
        "beside a checkpoint": lambda: errseg.load("run/model_final.pth", verbose=False),
    }
    door = random.choice(list(doors))
    return Case(door, repr(text[:80]), right, doors[door])


def overrides(random: Random, bench: Bench, folder: Path) -> Case:
    """KEY VALUE pairs, with which a model is built and run."""
    pairs: list[Any] = []
    for _ in range(random.choice([1, 1, 2])):
        value = random.choice(TEXTS) if random.random() < 0.8 else odd_value(random)
        pairs += [random.choice(KEYS), value]
    if random.random() < 0.1:
        pairs.pop()

    def run():
        cfg = bench.cfg.clone()
        cfg.defrost()
        apply_overrides(cfg, pairs)
        model = errseg.Segmenter(errseg.build_model(cfg), cfg)
        model.set_vocabulary(["cat", "dog"])
        return model(torch.zeros(24, 32, 3, dtype=torch.uint8).numpy())

    return Case("build_model", f"{pairs!r:.100}", EITHER, run, _has_two_classes)


def clip_json(random: Random, bench: Bench, folder: Path) -> Case:
    """The configuration of a CLIP model in open_clip's format."""
    right = EITHER
    if random.random() < 0.7:
        tree = odd_tree(CLIP, random)
        data = json.dumps(tree, default=repr).encode()
    elif random.random() < 0.3:
        data = json.dumps({**CLIP, "text_cfg": {**CLIP["text_cfg"], "hf_model_name": "a/b"}}).encode()
        right = REFUSE
    else:
        data = damage(json.dumps(CLIP).encode(), random)
    (folder / "clip.json").write_bytes(data)

    def run():
        cfg = bench.cfg.clone()
        cfg.defrost()
        cfg.MODEL.CLIP.NAME = "clip.json"
        return errseg.build_model(cfg)

    return Case("build_model", repr(data[:100]), right, run)


def _merge(name: str) -> None:
    """Merge a file. ``merge_from_file`` keeps Detectron2's exceptions for keys and values that do not fit."""
    try:
        get_cfg().merge_from_file(name)
    except (KeyError, ValueError) as error:
        raise UsageError(short(error)) from error


def _yaml(tree: Any) -> bytes:
    return yaml.dump(tree, allow_unicode=True).encode(errors="surrogatepass")


def _has_two_classes(result: Any) -> str | None:
    return None if set(result.labels.ravel().tolist()) <= {0, 1} else "labels of no name"
