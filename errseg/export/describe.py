"""The description of an exported model: preprocessing.json."""

import datetime
from pathlib import Path
from typing import Any

import torch
from detectron2.config import CfgNode

import errseg
from errseg.config import as_data
from errseg.evaluation.provenance import file_digest, state_digest
from errseg.modeling import OpenVocabularySegmenter, system_of
from errseg.modeling.num_kept import AutoKept, as_plain
from errseg.modeling.views import MULTIPLE, Views

from .graph import IMAGES, LABELS, MOST_NAMES, PICTURE_SIZE, SCORES, TEXT, ExportModule
from .sizes import LEAST, InputSize, input_size

__all__ = ["describe"]

PIXELS = "0 to 255; planes of red, green and blue, each row by row from the top left"


def describe(
    model: OpenVocabularySegmenter,
    cfg: CfgNode,
    module: ExportModule,
    num_names: int,
    file: dict[str, Any],
    size: InputSize | None = None,
) -> dict[str, Any]:
    """All that a user of the file needs to know, and the origin of the file.

    Args:
        model: the exported model.
        cfg: its configuration.
        module: the traced module.
        num_names: the number of names in names.json.
        file: facts about the file: its format, name, opset, digest, agreement.
        size: of the images that the file takes; None: the square of the configuration.
    """
    size, is_open = size or input_size(None, model.views.resolution), module.text is None
    sides = ("height", "width") if size.is_dynamic else (size.height, size.width)
    return {
        **file,
        "open_vocabulary": is_open,
        "names": num_names,
        "num_classes": as_plain(module.num_kept) if _drops_names(cfg) else None,  # K
        "precision": model.precision,
        "resolution": size.height if size.is_square else None,
        "size": None if size.is_dynamic else list(sides),
        "color_order": "RGB",
        "resize": f"{_resize(size)}; bilinear as Pillow's Image.BILINEAR, which antialiases where it shrinks (OpenCV's "
        "INTER_LINEAR does not) and rounds to whole bytes",
        "normalization": {
            "where": "inside the model",
            "mean": list(cfg.MODEL.PIXEL_MEAN),
            "std": list(cfg.MODEL.PIXEL_STD),
        },
        "difference_from_evaluation": _difference(cfg, model.views, size, module.native_size),
        "label_map": "at the picture's size" if module.native_size else "at the image's size",
        "inputs": _inputs(cfg, module, sides, size),
        "outputs": _outputs(module, sides, size),
        "errseg": {
            "version": errseg.__version__,
            "torch": torch.__version__,
            "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            "weights": _weights(model, cfg),
            "config": _config(cfg),
        },
    }


def _drops_names(cfg: CfgNode) -> bool:
    """Whether the model keeps only K names for an image where a vocabulary has more."""
    return system_of(cfg).num_kept(cfg, MOST_NAMES, None) != 0


def _resize(size: InputSize) -> str:
    if not size.is_dynamic:
        return f"to {size}, height x width, aspect ratio not kept"
    return (
        f"to any height and width that are multiples of {MULTIPLE}, {LEAST} or more; example.py keeps the area at "
        f"about {size.height} x {size.width}, and nearly the aspect ratio"
    )


def _difference(cfg: CfgNode, views: Views, size: InputSize, native_size: bool) -> str:
    shortest, side = cfg.INPUT.MIN_SIZE_TEST, views.resolution
    first = f"resizes a picture's shorter side to {shortest} (INPUT.MIN_SIZE_TEST)" if shortest else ""
    back = "resizes the scores, not the labels, back to the picture"
    back += ", as this file does" if native_size else ""
    if views.native:
        seen = first or "sees a picture at its own size"
        return f"errseg's own prediction {seen}, keeps the aspect ratio, and {back}; labels differ for other sizes"
    then = f"first {first}, and then " if first else ""
    same = size == input_size(None, side)
    other = "" if same else f"; it sees a square of {side} x {side}, not the sizes of this file"
    return (
        f"errseg's own prediction {then}resizes to {side} x {side} without antialiasing, and {back}; labels differ "
        f"along edges{other}"
    )


def _inputs(cfg: CfgNode, module: ExportModule, sides: tuple[Any, Any], size: InputSize) -> list[dict[str, Any]]:
    batch = 1 if size.is_dynamic else "batch"
    inputs = [{"name": IMAGES, "dtype": "uint8", "shape": [batch, 3, *sides], "values": PIXELS}]
    if module.text is None:
        if len(module.embed_shape) == 1:
            row, source = "a text embedding a row", "Segmenter.embed_text"
        else:
            row, source = "a row for each name, with a text embedding for each template", "Segmenter.encoded.text"
        values = f"{row}, 2 to {MOST_NAMES} of them, of any length above 0 (cosines count), from {source}; "
        if _drops_names(cfg):
            name, num_kept = system_of(cfg).name, module.num_kept
            if isinstance(num_kept, AutoKept):
                values += f"{name} keeps as many as fit the image: {num_kept}"
            else:
                values += f"of more than {num_kept}, {name} keeps {num_kept} for each image, of fewer all"
        elif system_of(cfg).varies(cfg):
            values += "some are rejected, for each image by itself"
        else:
            values += "all are kept for each image"
        inputs.append({"name": TEXT, "dtype": "float32", "shape": ["names", *module.embed_shape], "values": values})
    if module.native_size:
        values = "height and width of the pictures: the size of the label map; one size for a batch"
        inputs.append({"name": PICTURE_SIZE, "dtype": "int64", "shape": [2], "values": values})
    return inputs


def _outputs(module: ExportModule, sides: tuple[Any, Any], size: InputSize) -> list[dict[str, Any]]:
    sides = ("picture_height", "picture_width") if module.native_size else sides
    shape = [1 if size.is_dynamic else "batch", *sides]
    dtype = str(module.label_dtype).removeprefix("torch.")
    values = "indices of names.json, from 0"
    if module.text is None:
        values = f"rows of {TEXT}, from 0; names.json has those of {TEXT}.npy"
    return [
        {"name": LABELS, "dtype": dtype, "shape": shape, "values": values},
        {"name": SCORES, "dtype": "float32", "shape": shape, "values": "confidence in the pixel's label, 0 to 1"},
    ]


def _weights(model: OpenVocabularySegmenter, cfg: CfgNode) -> dict[str, str | None]:
    """The name of the weight file without its folder, its digest, and the digest of the model's parameters."""
    path, clip = cfg.MODEL.WEIGHTS, cfg.MODEL.CLIP.PRETRAINED
    is_file = bool(path) and Path(path).is_file()
    random = f"none: random weights, and CLIP's {Path(clip).name}" if clip else "none: random weights"
    return {
        "file": Path(path).name if path else random,
        "sha256": file_digest(path) if is_file else None,
        "state_sha256": state_digest(model.state_dict().items()),
    }


def _config(cfg: CfgNode) -> dict[str, Any]:
    """The keys that define the model, without paths of folders."""
    content = as_data(cfg)
    model = {**content["MODEL"], "WEIGHTS": Path(cfg.MODEL.WEIGHTS).name}
    model["CLIP"] = {**model["CLIP"], **{key: Path(model["CLIP"][key]).name for key in ("NAME", "PRETRAINED")}}
    return {"MODEL": model, "INPUT": content["INPUT"], "TEST": content["TEST"]}
