"""The example program beside an exported model. It is short and does not need errseg."""

from errseg.modeling.views import MULTIPLE

from .formats import FORMATS
from .graph import IMAGES, PICTURE_SIZE, TEXT
from .sizes import LEAST, InputSize

__all__ = ["example"]

PACKAGES = {"onnx": "onnxruntime", "torch_export": "torch", "openvino": "openvino"}
EXAMPLE = '''\
"""The names in a picture, and overlay.png: python example.py PHOTO. Needs numpy, Pillow and {package}."""

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
{size}images = np.asarray(photo.resize(({width}, {height}), Image.BILINEAR)).transpose(2, 0, 1)[None].copy()
{run}
for i in sorted(np.unique(labels), key=lambda i: -(labels == i).sum()):
    print(f"{{(labels == i).mean():6.1%}}  confidence {{scores[labels == i].mean():.2f}}  {{names[i]}}")
colors = np.random.default_rng(3).integers(0, 256, (len(names), 3), np.uint8)
Image.blend(photo, Image.fromarray(colors[labels[0]]).resize(photo.size, Image.NEAREST), 0.6).save("overlay.png")
'''
LOAD = {
    "onnx": 'model = onnxruntime.InferenceSession(folder / "{file}", providers=["CPUExecutionProvider"])',
    "torch_export": 'model = torch.export.load(folder / "{file}").module()',
    # In float32: some processors compute in bfloat16 otherwise, cosines too
    "openvino": 'model = openvino.compile_model(folder / "{file}", "CPU", {{"INFERENCE_PRECISION_HINT": "f32"}})',
}
RUN = {
    "onnx": 'labels, scores = model.run(None, {{"{images}": images{more}}})',
    "torch_export": "with torch.no_grad():\n"
    "    labels, scores = map(np.asarray, model(torch.from_numpy(images){more}))",
    "openvino": 'labels, scores = model({{"{images}": images{more}}}).to_tuple()',
}
TEXT_ARGUMENT = {"onnx": f', "{TEXT}": text', "torch_export": ", torch.from_numpy(text)"}
TEXT_ARGUMENT["openvino"] = TEXT_ARGUMENT["onnx"]
SIZE_ARGUMENT = {
    "onnx": f', "{PICTURE_SIZE}": np.array([photo.height, photo.width])',
    "torch_export": ", torch.tensor([photo.height, photo.width])",
}
SIZE_ARGUMENT["openvino"] = SIZE_ARGUMENT["onnx"]
# Lines for an open vocabulary
LOAD_TEXT = f'\ntext = np.load(folder / "{TEXT}.npy")  # float32, a row for each name; any two or more will do'
MERGE = "\nlabels = np.array([names.index(name) for name in names])[labels]  # of synonyms, the first row"


# The lines that choose a size with the area of the example and nearly the aspect ratio of the picture
FIT = """\
ratio = min(max((photo.height / photo.width) ** 0.5, 8**-0.5), 8**0.5)
height, width = (max({multiple} * round({side} * each / {multiple}), {least}) for each in (ratio, 1 / ratio))
"""


def example(format: str, size: InputSize, open_vocabulary: bool, native_size: bool = False) -> str:
    """The source of ``example.py``."""
    fit = FIT.format(multiple=MULTIPLE, side=size.height, least=LEAST) if size.is_dynamic else ""
    load = LOAD[format].format(file=FORMATS[format])
    more = TEXT_ARGUMENT[format] if open_vocabulary else ""
    run = RUN[format].format(images=IMAGES, more=more + (SIZE_ARGUMENT[format] if native_size else ""))
    return EXAMPLE.format(
        package=PACKAGES[format],
        load=load + LOAD_TEXT if open_vocabulary else load,
        run=run + MERGE if open_vocabulary else run,
        size=fit,
        height="height" if fit else size.height,
        width="width" if fit else size.width,
    )
