"""Compare our model with recorded numbers of the authors' released one, on weights that anyone can rebuild.

A fixture (``*.npz``) names the model size, the vocabulary, K and the resolution, and holds an image with the released
model's intermediate results, or a training batch with its loss and gradient norms.
"""

import math
import os
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from .agreement import share_of_equal_pixels
from .checkpoint import from_official, to_official
from .config import get_cfg
from .errors import UsageError, short
from .modeling import ERRSeg
from .safe_files import open_regular, read_json

MAX_BYTES = 1 << 30  # of a fixture's arrays
SIZES = {"base": "convnext_base_w_320", "large": "convnext_large_d_320"}
LIMITS = {  # past these a fixture fails
    "max_logit_diff": 1e-3,
    "score_diff": 1e-4,
    "prediction_agreement": 0.999,
    "trained_tensors_differing": 0,
    "loss_diff": 1e-4,
    "max_grad_norm_diff": 1e-2,
}


def read_fixture(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """The arrays of a fixture.

    Raises:
        UsageError: the file is missing, no ``.npz`` of plain arrays, or larger than ``MAX_BYTES`` unpacked.
    """
    with os.fdopen(open_regular(path, "fixture"), "rb") as file:
        try:
            with zipfile.ZipFile(file) as archive:
                size = sum(member.file_size for member in archive.infolist())
            if size > MAX_BYTES:
                raise UsageError(f"The fixture {path} has {size} bytes of arrays, more than {MAX_BYTES}, the limit.")
            file.seek(0)
            with np.load(file, allow_pickle=False) as arrays:
                return dict(arrays)
        except UsageError:
            raise
        except Exception as error:  # a damaged archive or array raises nearly anything
            raise UsageError(
                f"{path} is not a readable .npz of plain arrays ({short(error, 300)}); get the fixture again."
            ) from error


def rebuild_weights(shapes: dict[str, list[int]]) -> dict[str, Tensor]:
    """The made-up weights of a released checkpoint's key table: each key seeds its own values."""
    weights = {}
    for key, shape in shapes.items():
        x = np.random.default_rng(zlib.crc32(key.encode())).standard_normal(shape, np.float32)
        if len(shape) >= 2:
            x = x / np.sqrt(x[0].size, dtype=np.float32)
        elif key.endswith(("weight", "gamma")):
            x = 1 + np.float32(0.1) * x
        else:
            x = np.float32(0.02) * x
        weights[key] = torch.from_numpy(np.asarray(x, dtype=np.float32))
    return weights


def fixture_model(fixture: dict[str, np.ndarray], key_tables: Path) -> nn.Module:
    """The model of a fixture with its rebuilt weights, on the CPU in float32, drop-out and drop-path off.

    Args:
        fixture: the arrays of an ``.npz``.
        key_tables: the folder of ``official_state_dict_{base,large}.json``.
    """
    missing = [key for key in ("model", "K", "resolution") if key not in fixture]
    if missing:
        raise UsageError(f"The fixture lacks {', '.join(missing)}: it is no record of a released model.")
    size = str(fixture["model"])
    if size not in SIZES:
        raise UsageError(f"The fixture is of the model {size!r}; errseg has {' and '.join(SIZES)}.")
    cfg = get_cfg()
    cfg.MODEL.DEVICE = "cpu"
    cfg.MODEL.CLIP.NAME = SIZES[size]
    cfg.MODEL.CRM.NUM_CLASSES_TRAIN = int(fixture["K"])
    cfg.MODEL.ESCF.DROP_PATH = 0.0
    cfg.INPUT.RESOLUTION_TRAIN = cfg.INPUT.RESOLUTION_TEST = int(fixture["resolution"])
    model = ERRSeg(cfg)
    shapes = read_json(key_tables / f"official_state_dict_{size}.json", "key table")
    model.load_state_dict(from_official(rebuild_weights(shapes)))
    return model


def measures_of(fixture: dict[str, np.ndarray], key_tables: Path) -> Iterator[tuple[str, float]]:
    """The measures of one fixture: intermediates' largest absolute differences first, then those of ``LIMITS``."""
    model = fixture_model(fixture, key_tables)
    if "loss" in fixture:
        yield from _training_measures(model.train(), fixture)
    else:
        model.eval().set_vocabulary(fixture["class_names"].tolist(), num_classes=int(fixture["K"]))
        yield from _inference_measures(model, fixture)


compare = measures_of  # the former name


def passes(name: str, value: float) -> bool:
    """Whether a measure is within its limit; intermediates have none."""
    if name not in LIMITS:
        return True
    return value >= LIMITS[name] if name == "prediction_agreement" else value <= LIMITS[name]


@torch.no_grad()
def _inference_measures(model: nn.Module, fixture: dict[str, np.ndarray]) -> Iterator[tuple[str, float]]:
    image = torch.from_numpy(fixture["image"]).permute(2, 0, 1)
    outputs = _record(model, image)
    for name in (key.removeprefix("sample/") for key in fixture if key.startswith("sample/")):
        if name in outputs:
            shape = tuple(fixture[f"shape/{name}"])
            yield name, _sampled_difference(outputs[name], fixture[f"sample/{name}"], shape)
        else:
            yield f"{name} (not compared)", math.nan
    kept, logits = outputs["kept"], outputs["logits"]
    if "class_scores" in fixture:
        yield "class_scores", _difference(outputs["class_scores"], fixture["class_scores"])
    if "selected_classes" in fixture:  # where they differ, what follows compares different classes
        ours, theirs = set(kept.flatten().tolist()), set(fixture["selected_classes"].flatten().tolist())
        yield "selected_classes_differing", float(len(ours ^ theirs))
    if "logits_4096" in fixture:
        yield "max_logit_diff", _difference(logits.flatten()[_sampled(logits.numel(), 4096)], fixture["logits_4096"])
    scores = outputs["scores"]
    if "scores_4096" in fixture:
        selected = scores[kept[0]].flatten()
        yield "score_diff", _difference(selected[_sampled(selected.numel(), 4096)], fixture["scores_4096"])
    yield "prediction_agreement", share_of_equal_pixels([scores.argmax(0)], [fixture["prediction"]])


def _record(model: nn.Module, image: Tensor) -> dict[str, Tensor]:
    """Run one image and keep the intermediate results under the fixture's names and in its layouts."""
    outputs, hooks, head = {}, [], model.sem_seg_head

    def keep(module: nn.Module, name: str, convert) -> None:
        hooks.append(module.register_forward_hook(lambda _, args, result: outputs.update({name: convert(result)})))

    keep(head.hsm, "cost_embedding", lambda x: x.flatten(0, 1).permute(0, 3, 1, 2))
    keep(head.escf.image_guidance, "image_guidance", lambda x: x.permute(0, 3, 1, 2))
    keep(head.escf.text_guidance, "text_guidance", lambda x: x)
    for i in range(1, len(head.escf.layers), 2):  # each recorded layer is an SFM and a CFM
        keep(head.escf.layers[i], f"fusion_layer_{i // 2}", lambda x: x.permute(0, 4, 1, 2, 3))
    for i, stage in enumerate(head.gud.stages):
        keep(stage, f"upsample_stage_{i + 1}", lambda x: x)
    keep(head, "head", lambda x: x)
    hooks.append(model.backbone.register_forward_hook(lambda _, args, maps: outputs.update(_encoder_names(maps))))
    hooks.append(
        head.crm.register_forward_hook(
            lambda crm, args, _: outputs.update(cost_map_os16=args[0].unsqueeze(1), class_scores=crm.scores(args[0]))
        )
    )
    try:
        outputs["scores"] = model([{"image": image}])[0]["sem_seg"]
    finally:
        for hook in hooks:
            hook.remove()
    logits, outputs["kept"] = outputs.pop("head")
    outputs["logits"] = outputs["selected_logits"] = logits[0]
    return outputs


def _encoder_names(maps: dict[str, Tensor]) -> dict[str, Tensor]:
    names = {"E16": "encoder_os16_dense", "E32": "encoder_clip_vis_dense"}
    return {names.get(name, f"encoder_{name}"): x for name, x in maps.items()}


def _training_measures(model: nn.Module, fixture: dict[str, np.ndarray]) -> Iterator[tuple[str, float]]:
    model.set_vocabulary(fixture["class_names"].tolist())
    for module in model.modules():
        if isinstance(module, nn.Dropout) or type(module).__name__ == "DropPath":
            module.eval()
    batch = [
        {"image": torch.from_numpy(image).permute(2, 0, 1), "sem_seg": torch.from_numpy(label.astype(np.int64))}
        for image, label in zip(fixture["images"], fixture["labels"], strict=True)
    ]
    loss = sum(model(batch).values())
    loss.backward()
    norms = {to_official(name): float(p.grad.norm()) for name, p in model.named_parameters() if p.requires_grad}
    recorded = dict(zip(fixture["grad_norm_names"].tolist(), fixture["grad_norms"].tolist(), strict=True))
    yield "trained_tensors_differing", float(len(norms.keys() ^ recorded.keys()))
    yield "loss_diff", abs(loss.item() - float(fixture["loss"]))
    floor = 1e-7 * max(recorded.values())  # below it: rounding of what is zero, as attention's key biases are
    yield (
        "max_grad_norm_diff",
        max(abs(norms.get(name, 0.0) - norm) / max(norm, floor) for name, norm in recorded.items()),
    )


def _sampled(n: int, most: int) -> np.ndarray:
    """The flat indices at which an array of n values was recorded."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).astype(np.int64))


def _difference(ours: Tensor, theirs: np.ndarray) -> float:
    return float((ours - torch.from_numpy(theirs)).abs().max())


def _sampled_difference(ours: Tensor, theirs: np.ndarray, shape: tuple[int, ...]) -> float:
    if tuple(ours.shape) != shape:
        raise ValueError(
            f"The recorded shape is {shape}, ours is {tuple(ours.shape)}; the fixture is of another model."
        )
    return _difference(ours.contiguous().flatten()[_sampled(ours.numel(), 256)], theirs)
