"""What README.md shows: its Python is run line by line, and what it points to is there."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import errseg
from errseg.checkpoint import ERRSegCheckpointer

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_python_runs(build, tiny_cfg, tmp_path, monkeypatch):
    (block,) = re.findall(r"### Use it from Python\n\n```python\n(.+?)```", README, re.DOTALL)
    named = '"configs/errseg_convnext_base.yaml", weights="errseg_base.pth"'
    assert named in block
    ERRSegCheckpointer(build(), str(tmp_path)).save("errseg_base")
    (tmp_path / "config.yaml").write_text(tiny_cfg.dump())
    photo = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    Image.fromarray(photo).save(tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    space = {"photos": (photo for _ in range(5))}
    exec(block.replace(named, '"config.yaml", weights="errseg_base.pth"'), space)
    assert isinstance(space["result"], errseg.Result) and next(space["photos"], None) is None
    assert space["dense"].shape == (32, 4, 4) and space["cosines"].shape == (2, 4, 4)
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert written == ["photo.json", "photo_labels.png", "photo_overlay.png"] and Path("overlay.png").is_file()


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\]\(((?!http)[^)#]+)", README))))
def test_what_it_links_to_is_there(path):
    assert (ROOT / path).exists()


@pytest.mark.parametrize("path", sorted(set(re.findall(r"(?:scripts|tools|datasets)/\w+\.(?:sh|py)", README))))
def test_commands_are_there(path):
    assert (ROOT / path).is_file()
