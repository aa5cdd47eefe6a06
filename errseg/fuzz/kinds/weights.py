"""Checkpoints: to load, and to resume from."""

import io
import json
import pickle
from pathlib import Path
from random import Random
from typing import Any

import torch
from safetensors.torch import save

import errseg
from errseg.checkpoint import from_official, load_state_dict_file
from errseg.data import register_dataset_files
from errseg.engine import Trainer

from ..bench import Bench
from ..case import ACCEPT, EITHER, REFUSE, Case
from ..mutate import Payload, damage, odd_tree, odd_value

__all__ = ["resume", "weight_file"]


def weight_file(random: Random, bench: Bench, folder: Path) -> Case:
    """A file that is given as a checkpoint; any change in it must be noticed, or must not change the weights."""
    weights = bench.weights()
    key = random.choice([key for key, value in weights.items() if value.is_floating_point() and value.numel() > 1])
    right, name = REFUSE, "model.pth"
    choice = random.choice(
        ["whole", "wrapped", "NaN", "int8", "complex", "shape", "lacking", "odd", "keys", "damaged", "damaged"]
        + ["safetensors", "pickle", "text", "official"]
    )
    if choice in ("whole", "wrapped"):
        content: Any = {"model": weights} if choice == "whole" else {"state_dict": weights, "epoch": 3}
        data, right = _saved(content), ACCEPT
    elif choice in ("NaN", "int8", "complex", "shape", "lacking"):
        value = weights.pop(key)
        if choice == "NaN":
            value.view(-1)[random.randrange(value.numel())] = random.choice([float("nan"), float("inf")])
        other = {"int8": torch.int8, "complex": torch.complex64}.get(choice)
        value = value.to(other) if other else torch.cat([value, value]) if choice == "shape" else value
        if choice != "lacking":
            weights[key] = value
        data = _saved({"model": weights})
    elif choice == "odd":
        odd = odd_value(random)
        data = _saved(random.choice([None, [], torch.ones(2), {"model": odd}, {"model": {"a": odd}}]))
    elif choice == "keys":
        data = _saved({"model": {random.choice([1, None, (1,), True]): torch.ones(1), **weights}})
    elif choice == "damaged":
        data, right = damage(_saved({"model": weights}), random), EITHER
    elif choice == "safetensors":
        data, name, right = damage(save(weights), random), "model.safetensors", EITHER
    elif choice == "pickle":
        contents = [Payload(), {"model": weights, "x": Payload()}, {"a": 1}]
        data = random.choice([pickle.dumps(contents[0]), _saved(contents[1]), pickle.dumps(contents[2])])
    elif choice == "text":
        pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"
        data = random.choice([b"", b"<!DOCTYPE html><html>", pointer])
    else:
        released = {f"sem_seg_head.clip_model.{key}": weights[key], "text_projection": torch.ones(())}
        data = _saved({"model": released})
    (folder / name).write_bytes(data)
    if choice == "official":
        return Case("from_official", choice, REFUSE, lambda: from_official(load_state_dict_file(name)))

    def run():
        return errseg.load(bench.cfg.clone(), name, device="cpu", verbose=False)

    def wrong(model):
        if name == "model.safetensors":
            return None  # it has no checksum
        mine, loaded = bench.segmenter.model.state_dict(), model.model.state_dict()
        other = [key for key, value in mine.items() if not torch.equal(value, loaded[key])]
        return f"other weights: {other[:3]}" if other else None

    return Case("errseg.load", choice, right, run, wrong)


def resume(random: Random, bench: Bench, folder: Path) -> Case:
    """The folder of a run with something odd in its checkpoint, its tag or its ``metrics.json``."""
    cfg = bench.training_cfg(folder)
    cfg.SOLVER.MAX_ITER = 2
    run_folder = folder / "run"
    run_folder.mkdir()
    path = run_folder / "model_0000000.pth"
    state = torch.load(io.BytesIO(bench.checkpoint), weights_only=True)
    kinds = ["whole", "trainer", "damaged", "tag", "metrics", "iteration", "optimizer"]
    what = random.choices(kinds, [1, 2, 1, 1, 1, 1, 2])[0]
    if what == "trainer":
        state["trainer"] = odd_tree(state["trainer"], random)
    elif what == "iteration":
        state["iteration"] = odd_value(random)
    elif what == "optimizer":
        inner = state["trainer"]["_trainer"]["optimizer"]
        inner["state"] = odd_tree(inner["state"], random)
        key = random.choice(list(inner["state"]) or [0])
        inner["state"][key] = random.choice([{}, odd_value(random), {"step": torch.ones(()), "exp_avg": torch.ones(2)}])
    data = _saved(state)
    path.write_bytes(damage(data, random) if what == "damaged" else data)
    tags = ["../x.pth", "/etc/passwd", "", "\0\xff", "none.pth", "run"]
    tag = random.choice(tags) if what == "tag" else path.name
    (run_folder / "last_checkpoint").write_text(tag, encoding="latin-1")
    lines = ["", "\0\0", "{", "[]", json.dumps({"iteration": "x"}), '{"iteration": NaN}', "[" * 5000]
    if what == "metrics":
        (run_folder / "metrics.json").write_text(random.choice(lines) + "\n")

    def run():
        register_dataset_files(["set.yaml"])
        trainer = Trainer(cfg)
        trainer.resume_or_load(resume=True)
        trainer.train()
        return trainer.iter

    return Case("resume", what, {"whole": ACCEPT, "tag": REFUSE}.get(what, EITHER), run)


def _saved(content: Any) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream)
    return stream.getvalue()
