"""Compare our models with recorded numbers of the authors' released models, on weights that anyone can rebuild.

A fixture (``*.npz``) holds an image with the released model's intermediate results, or a training batch with its loss
and gradient norms. The system's record (``modeling/parity.py``) defines the other arrays and the comparisons.
"""

import math
import os
import zipfile
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from .agreement import share_of_equal_pixels
from .errors import UsageError, short
from .modeling import OpenVocabularySegmenter, System, build, systems
from .modeling.build import NoRandomWeights
from .modeling.parity import Fixture, Measures, Parity, difference, sampled
from .modeling.taps import watch
from .safe_files import open_regular, read_json

__all__ = ["LIMITS", "fixture_model", "limits", "measures_of", "passes", "read_fixture", "rebuild_weights"]

MAX_BYTES = 1 << 30  # limit for a fixture's arrays
COMMON_LIMITS = {  # limits of the measures that every system has
    "prediction_agreement": 0.999,
    "trained_tensors_differing": 0,
    "loss_diff": 1e-4,
    "max_grad_norm_diff": 1e-2,
}


def read_fixture(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """The arrays of a fixture.

    Raises:
        UsageError: the file is missing, is not an ``.npz`` of plain arrays, or has more than ``MAX_BYTES`` unpacked.
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
        except Exception as error:  # a damaged archive or array raises many types
            raise UsageError(
                f"{path} is not a readable .npz of plain arrays ({short(error, 300)}); get the fixture again."
            ) from error


def rebuild_weights(shapes: dict[str, list[int]]) -> dict[str, Tensor]:
    """Made-up weights for the keys and shapes of a released checkpoint; each key is the seed of its values."""
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


def system_of_fixture(fixture: Fixture) -> tuple[System, Parity]:
    """The system whose released model a fixture records, and its entry in the system's record.

    Raises:
        UsageError: the fixture fits no system.
    """
    lacks = []
    for system in systems():
        if system.parity is not None:
            missing = [key for key in system.parity.needs if key not in fixture]
            foreign = [key for key in system.parity.lacks if key in fixture]
            if not missing and not foreign:
                return system, system.parity
            lacks += [f"lacks {', '.join(missing)} of {system.name}'s"] if missing else []
            lacks += [f"has {', '.join(foreign)}, which {system.name}'s lack"] if foreign else []
    raise UsageError(f"The fixture {', and '.join(lacks)}: it does not record a released model.")


def fixture_model(fixture: Fixture, key_tables: Path) -> OpenVocabularySegmenter:
    """The model of a fixture with its rebuilt weights, on the CPU in float32.

    Args:
        fixture: the arrays of an ``.npz``.
        key_tables: the folder of the tables of released keys and shapes, such as ``official_state_dict_base.json``.

    Raises:
        UsageError: the fixture fits no system or none of its models, or there is no such table.
    """
    system, parity = system_of_fixture(fixture)
    cfg, table = parity.config(fixture), key_tables / parity.key_table(fixture)
    shapes = read_json(table, "key table")
    cfg.MODEL.DEVICE = "cpu"
    cfg.MODEL.WEIGHTS = str(table)  # no warning of random weights: the rebuilt ones follow
    with NoRandomWeights():
        model = build(cfg)
    weights = parity.rebuilt(rebuild_weights(shapes), fixture)
    model.load_state_dict(system.released.from_released(weights))
    return model


def measures_of(fixture: Fixture, key_tables: Path) -> Measures:
    """The measures of a fixture: first the largest absolute difference of each intermediate result, then the others."""
    model = fixture_model(fixture, key_tables)
    num_kept = int(fixture["K"]) if "K" in fixture else None
    if "loss" in fixture:
        model.train().set_vocabulary(fixture["class_names"].tolist(), num_kept)
        yield from _training_measures(model, fixture)
    else:
        model.set_vocabulary(fixture["class_names"].tolist(), num_kept)
        yield from _inference_measures(model, fixture)


def limits() -> dict[str, float]:
    """The limit of each measure that has one; above it, a fixture fails."""
    own = [system.parity.limits for system in systems() if system.parity is not None]
    return COMMON_LIMITS | {name: limit for each in own for name, limit in each.items()}


LIMITS = limits()


def passes(name: str, value: float) -> bool:
    """Whether a measure is within its limit; intermediate results have no limit."""
    limit = limits().get(name)
    if limit is None:
        return True
    return value >= limit if name == "prediction_agreement" else value <= limit


@torch.no_grad()
def _inference_measures(model: OpenVocabularySegmenter, fixture: Fixture) -> Measures:
    _, parity = system_of_fixture(fixture)
    image = torch.from_numpy(fixture["image"]).permute(2, 0, 1)
    names = [key.removeprefix("sample/") for key in fixture if key.startswith("sample/")]
    taps = {parity.recorded[name].tap for name in names if name in parity.recorded}
    with watch(model, taps.union(parity.taps)) as seen:
        scores = model([{"image": image}])[0]["sem_seg"]
    for name in names:
        if name in parity.recorded:
            tap, layout = parity.recorded[name]
            yield name, _sampled_difference(layout(seen[tap][0]), name, fixture)
    further = dict(parity.measures(model, seen, scores, fixture))
    yield from ((f"{name} (not compared)", math.nan) for name in names if name not in (*parity.recorded, *further))
    yield from further.items()
    yield "prediction_agreement", share_of_equal_pixels([scores.argmax(0)], [fixture["prediction"]])


def _training_measures(model: OpenVocabularySegmenter, fixture: Fixture) -> Measures:
    system, parity = system_of_fixture(fixture)
    to_released = system.released.to_released
    for module in model.modules():
        if isinstance(module, nn.Dropout) or type(module).__name__ == "DropPath":
            module.eval()
        if isinstance(getattr(module, "dropout", None), float):  # an attention's, of its softmax
            module.dropout = 0.0
    batch = [
        {"image": torch.from_numpy(image).permute(2, 0, 1), "sem_seg": torch.from_numpy(label.astype(np.int64))}
        for image, label in zip(fixture["images"], fixture["labels"], strict=True)
    ]
    loss = sum(model(batch).values())
    loss.backward()
    norms = {to_released(name): float(p.grad.norm()) for name, p in model.named_parameters() if p.requires_grad}
    recorded = dict(zip(fixture["grad_norm_names"].tolist(), fixture["grad_norms"].tolist(), strict=True))
    yield "trained_tensors_differing", float(len(norms.keys() ^ recorded.keys()))
    yield "loss_diff", abs(loss.item() - float(fixture["loss"]))
    # Smaller norms are rounding errors of zero gradients, as of attention's key biases
    floor = parity.gradient_floor * max(recorded.values())
    yield (
        "max_grad_norm_diff",
        max(abs(norms.get(name, 0.0) - norm) / max(norm, floor) for name, norm in recorded.items()),
    )


def _sampled_difference(ours: Tensor, name: str, fixture: Fixture) -> float:
    """The largest difference between an intermediate result and the recorded one, at the recorded places."""
    theirs, shape = fixture[f"sample/{name}"], tuple(fixture[f"shape/{name}"].tolist())
    if tuple(ours.shape) != shape:
        raise UsageError(
            f"The fixture's {name} has the shape {shape}, ours has {tuple(ours.shape)}: it records another model."
        )
    return difference(ours.contiguous().flatten()[sampled(ours.numel(), 256)], theirs)
