"""The report of the quickstart: the results table, ``results.json``, the curves, and pictures of predictions.

errseg mini report OUTPUT --seconds 700
"""

import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog
from matplotlib import pyplot as plt
from matplotlib.patches import Patch
from tabulate import tabulate
from torch import Tensor, nn

from errseg.atomic import replacing
from errseg.colors import colors_of
from errseg.data.files import read_label, read_rgb
from errseg.engine import load_config
from errseg.modeling import build, system_of_model
from errseg.modeling.prediction import label_map
from errseg.visualization import overlay

from .datasets import DATASET_NAMES
from .world import GROUNDS

__all__ = [
    "load_model",
    "measure_scenes",
    "plot_curves",
    "plot_predictions",
    "results_of",
    "segment_scenes",
    "write_report",
]

EVALUATED = ("seen", "unseen", "large")
MEASURED = 100  # scenes of each data set
PICTURED = 5  # scenes of each data set that are drawn


def load_model(cfg: CfgNode, weights: Path) -> nn.Module:
    """The trained model, ready to predict."""
    return build(cfg, str(weights))


@torch.no_grad()
def segment_scenes(model: nn.Module, dataset: str, count: int) -> list[dict[str, np.ndarray]]:
    """The first scenes of a data set, segmented into its own vocabulary.

    Returns:
        For each scene: ``image`` (H, W, 3) uint8, ``truth`` and ``prediction`` (H, W) ids.
    """
    scenes = []
    for inputs, truth in _labelled(model, dataset, count):
        [views] = model.predict_views([inputs])
        prediction = label_map(views, truth.shape).numpy()
        image = inputs["image"].numpy().transpose(1, 2, 0)
        scenes.append({"image": image, "truth": truth.numpy(), "prediction": prediction})
    return scenes


def measure_scenes(model: nn.Module, dataset: str, count: int) -> dict[str, float]:
    """The measures of the system's record over the first scenes of a data set, each as a share in percent."""
    measures = system_of_model(model).measures
    sums = {name: np.zeros(2, dtype=np.int64) for name in measures}
    ignored = MetadataCatalog.get(dataset).ignore_label
    for inputs, truth in _labelled(model, dataset, count):
        for name, measure in measures.items():
            sums[name] += measure(model, inputs, truth.masked_fill(truth == ignored, -1))
    return {name: 100 * float(right) / float(number) for name, (right, number) in sums.items()}


def _labelled(model: nn.Module, dataset: str, count: int) -> Iterator[tuple[dict, Tensor]]:
    """The inputs and the labels (H, W) of the first scenes of a data set, whose vocabulary the model gets."""
    metadata = MetadataCatalog.get(dataset)
    model.set_vocabulary(metadata.stuff_classes, num_classes=metadata.num_classes_test)
    for record in DatasetCatalog.get(dataset)[:count]:
        image = read_rgb(record["file_name"])
        pixels = torch.from_numpy(image.transpose(2, 0, 1).copy())
        truth = torch.from_numpy(read_label(record["sem_seg_file_name"]).astype(np.int64))
        yield {"image": pixels, "height": image.shape[0], "width": image.shape[1]}, truth


def results_of(evaluation: Path, model: nn.Module) -> dict[str, dict[str, float]]:
    """The scores of each data set, from the ``evaluation.json`` of a run, and the measures of the system's record.

    ``mIoU`` is the evaluator's. ``objects`` and ``grounds`` are the mean IoUs of the names of objects and of grounds.
    Every ground is a seen name, so that ``objects`` of "unseen" is the mean of only the never-seen names.
    """
    results = {}
    evaluated = json.loads(evaluation.read_text(encoding="utf-8"))["results"]
    for split in EVALUATED:
        result = evaluated[DATASET_NAMES[split]]
        ious = {name: iou for name, iou in zip(result["classes"], result["iou"], strict=True) if iou is not None}
        results[split] = {
            "names": len(result["classes"]),
            "K": result["num_classes_test"],
            "mIoU": result["mIoU"],
            "objects": float(np.mean([iou for name, iou in ious.items() if name not in GROUNDS])),
            "grounds": float(np.mean([iou for name, iou in ious.items() if name in GROUNDS])),
            "measures": measure_scenes(model, DATASET_NAMES[split], MEASURED),
        }
    return results


def plot_curves(metrics: Path, path: Path) -> None:
    """Draw the loss of each iteration, the smoothed loss and the mIoU of each evaluation, from ``metrics.json``."""
    records = [json.loads(line) for line in metrics.read_text(encoding="utf-8").splitlines()]
    losses = [(r["iteration"], r["total_loss"]) for r in records if "total_loss" in r]
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
    iterations, values = np.array(losses).T
    window = max(1, len(values) // 40)
    smooth = np.convolve(values, np.ones(window) / window, mode="valid")
    left.plot(iterations, values, color="0.8", linewidth=0.7)
    left.plot(iterations[window - 1 :], smooth, color="tab:blue")
    left.set(xlabel="iteration", ylabel="loss", yscale="log", title="Training loss")
    for split in EVALUATED:
        key = f"{DATASET_NAMES[split]}/mIoU"
        points = [(r["iteration"] + 1, r[key]) for r in records if key in r]
        if points:
            right.plot(*np.array(points).T, marker="o", label=f"{split} names")
    right.set(xlabel="iteration", ylabel="mIoU (%)", ylim=(0, 100), title="Evaluation")
    if right.lines:
        right.legend()
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    _save_figure(figure, path)


def plot_predictions(scenes: Sequence[dict[str, np.ndarray]], names: Sequence[str], path: Path) -> None:
    """Draw a row for each scene: image, prediction, truth, and a legend of the names in prediction or truth."""
    figure, grid = plt.subplots(
        len(scenes),
        4,
        figsize=(10.4, 2.6 * len(scenes)),
        width_ratios=(1, 1, 1, 0.95),
        squeeze=False,
        layout="constrained",
    )
    colours = np.array(colors_of(tuple(names)))
    for row, scene in zip(grid, scenes, strict=True):
        ids, areas = np.unique(np.stack([scene["truth"], scene["prediction"]]), return_counts=True)
        ids = ids[np.argsort(-areas)]
        row[0].imshow(scene["image"])
        for axes, kind in zip(row[1:3], ("prediction", "truth"), strict=True):
            axes.imshow(overlay(scene["image"], scene[kind], names))
        present = np.unique(scene["truth"])
        shown = [i for i in ids if i in present or (scene["prediction"] == i).mean() > 0.005][:10]
        handles = [Patch(color=colours[i] / 255, label=names[i] + ("" if i in present else " (wrong)")) for i in shown]
        row[3].legend(handles=handles, loc="center left", frameon=False, fontsize=9, borderaxespad=0)
        for axes in row:
            axes.axis("off")
    for axes, title in zip(grid[0], ("image", "prediction", "truth"), strict=False):
        axes.set_title(title, fontsize=11)
    _save_figure(figure, path)


def _save_figure(figure: plt.Figure, path: Path) -> None:
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110, format="png", bbox_inches="tight")
    plt.close(figure)


def write_report(output: Path, config: str, seconds: float) -> str:
    """Write the report of a run into its folder.

    Args:
        output: the folder of the run. It holds ``clip.pt``, and the OUTPUT_DIR of the training under its own name.
        config: a YAML file, or the name of a packaged configuration.
        seconds: the time that the steps before took.

    Returns:
        The table and the total time, as text.
    """
    start = time.perf_counter()
    cfg = load_config(config, ["MODEL.CLIP.PRETRAINED", str(output / "clip.pt")])
    trained = output / Path(cfg.OUTPUT_DIR).name
    model = load_model(cfg, trained / "model_final.pth")
    results = results_of(trained / "evaluation.json", model)
    plot_curves(trained / "metrics.json", output / "curves.png")
    for split in EVALUATED:
        scenes = segment_scenes(model, DATASET_NAMES[split], PICTURED)
        names = MetadataCatalog.get(DATASET_NAMES[split]).stuff_classes
        plot_predictions(scenes, names, output / f"overlays_{split}.png")

    summary = {split: round(result["mIoU"], 2) for split, result in results.items()}
    seconds += time.perf_counter() - start
    summary |= {"seconds": round(seconds), "details": results}
    with replacing(output / "results.json") as temporary:
        temporary.write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")

    scores, measures = ("mIoU", "objects", "grounds"), system_of_model(model).measures
    rows = [
        [split, r["names"], r["K"] or "all", *(f"{r[score]:.1f}" for score in scores)]
        + [f"{r['measures'][name]:.1f}" for name in measures]
        for split, r in results.items()
    ]
    table = tabulate(rows, ["set", "names", "K", "mIoU", "of objects", "of grounds", *measures], tablefmt="pipe")
    return f"{table}\n\n{seconds / 60:.1f} minutes. Pictures and numbers: {output}"


if __name__ == "__main__":
    import sys

    from errseg.cli import main

    sys.exit(main(["mini", "report", *sys.argv[1:]]))
