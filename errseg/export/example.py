"""The example beside an exported model: short, and without errseg."""

from .formats import FORMATS
from .graph import IMAGES, TEXT

__all__ = ["example"]

PACKAGES = {"onnx": "onnxruntime", "torch_export": "torch"}
EXAMPLE = '''\
"""The names in a picture: python example.py PHOTO [OVERLAY]. Needs numpy, Pillow and {package}."""

import json
import sys
from pathlib import Path

import numpy as np
import {package}
from PIL import Image, ImageOps

folder = Path(__file__).resolve().parent
names = json.loads((folder / "names.json").read_text(encoding="utf-8"))
{load}
photo = ImageOps.exif_transpose(Image.open(sys.argv[1])).convert("RGB")
images = np.asarray(photo.resize(({side}, {side}), Image.BILINEAR)).transpose(2, 0, 1)[None].copy()
{run}

labels = np.array([names.index(name) for name in names])[labels[0]]  # ({side}, {side}), indices of names
areas = np.bincount(labels.ravel(), minlength=len(names))
for i in np.argsort(-areas)[: (areas > 0).sum()]:
    print(f"{{areas[i] / labels.size:6.1%}}  confidence {{scores[0][labels == i].mean():.2f}}  {{names[i]}}")
colors = np.random.default_rng(3).integers(0, 256, (len(names), 3), np.uint8)
overlay = Image.fromarray(colors[labels]).resize(photo.size, Image.NEAREST)
Image.blend(photo, overlay, 0.6).save(sys.argv[2] if len(sys.argv) > 2 else "overlay.png")
'''
TEXT_LINE = f'text = np.load(folder / "{TEXT}.npy")  # (names, D); any others do, of two names or more\n'
LOAD = {
    "onnx": 'model = onnxruntime.InferenceSession(str(folder / "{file}"), providers=["CPUExecutionProvider"])',
    "torch_export": 'model = torch.export.load(folder / "{file}").module()',
}
RUN = {
    "onnx": 'labels, scores = model.run(None, {{"{images}": images{text}}})',
    "torch_export": "with torch.no_grad():\n    labels, scores = model(torch.from_numpy(images){text})\n"
    "labels, scores = labels.numpy(), scores.numpy()",
}
TEXT_ARGUMENT = {"onnx": f', "{TEXT}": text', "torch_export": ", torch.from_numpy(text)"}


def example(format: str, resolution: int, open_vocabulary: bool) -> str:
    """The source of ``example.py``."""
    load = LOAD[format].format(file=FORMATS[format])
    return EXAMPLE.format(
        package=PACKAGES[format],
        load=TEXT_LINE + load if open_vocabulary else load,
        run=RUN[format].format(images=IMAGES, text=TEXT_ARGUMENT[format] if open_vocabulary else ""),
        side=resolution,
    )
