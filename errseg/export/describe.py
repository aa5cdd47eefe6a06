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
from errseg.modeling.views import Views

from .graph import IMAGES, LABELS, MOST_NAMES, SCORES, TEXT, ExportModule

__all__ = ["describe"]

PIXELS = "0 to 255; planes of red, green and blue, each row by row from the top left"


def describe(
    model: OpenVocabularySegmenter, cfg: CfgNode, module: ExportModule, num_names: int, file: dict[str, Any]
) -> dict[str, Any]:
    """All that a user of the file needs to know, and the origin of the file.

    Args:
        model: the exported model.
        cfg: its configuration.
        module: the traced module.
        num_names: the number of names in names.json.
        file: facts about the file: its format, name, opset, digest, agreement.
    """
    side, is_open = model.views.resolution, module.text is None
    return {
        **file,
        "open_vocabulary": is_open,
        "names": num_names,
        "num_classes": as_plain(module.num_kept) if _drops_names(cfg) else None,  # K
        "precision": model.precision,
        "resolution": side,
        "color_order": "RGB",
        "resize": f"to {side} x {side}, aspect ratio not kept; bilinear as Pillow's Image.BILINEAR, which antialiases "
        "where it shrinks (OpenCV's INTER_LINEAR does not) and rounds to whole bytes",
        "normalization": {
            "where": "inside the model",
            "mean": list(cfg.MODEL.PIXEL_MEAN),
            "std": list(cfg.MODEL.PIXEL_STD),
        },
        "difference_from_evaluation": _difference(cfg, model.views),
        "inputs": _inputs(cfg, module, side),
        "outputs": _outputs(module, side),
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


def _difference(cfg: CfgNode, views: Views) -> str:
    shortest, side = cfg.INPUT.MIN_SIZE_TEST, views.resolution
    first = f"resizes a picture's shorter side to {shortest} (INPUT.MIN_SIZE_TEST)" if shortest else ""
    back = "resizes the scores, not the labels, back to the picture"
    if views.native:
        seen = first or "sees a picture at its own size"
        return f"errseg's own prediction {seen}, keeps the aspect ratio, and {back}; labels differ for other sizes"
    then = f"first {first}, and then " if first else ""
    return (
        f"errseg's own prediction {then}resizes to {side} x {side} without antialiasing, and {back}; labels differ "
        "along edges"
    )


def _inputs(cfg: CfgNode, module: ExportModule, side: int) -> list[dict[str, Any]]:
    inputs = [{"name": IMAGES, "dtype": "uint8", "shape": ["batch", 3, side, side], "values": PIXELS}]
    if module.text is None:
        values = (
            f"a text embedding a row, 2 to {MOST_NAMES} of them, of any length above 0 (cosines count), from "
            "Segmenter.embed_text; "
        )
        if _drops_names(cfg):
            name, num_kept = system_of(cfg).name, module.num_kept
            if isinstance(num_kept, AutoKept):
                values += f"{name} keeps as many as fit the image: {num_kept}"
            else:
                values += f"of more than {num_kept}, {name} keeps {num_kept} for each image, of fewer all"
        else:
            values += "all are kept for each image"
        inputs.append({"name": TEXT, "dtype": "float32", "shape": ["names", module.embed_dim], "values": values})
    return inputs


def _outputs(module: ExportModule, side: int) -> list[dict[str, Any]]:
    shape = ["batch", side, side]
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
