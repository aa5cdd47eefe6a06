"""The image and text features that guide a model's aggregation and its decoder."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..arrays import Inspection
from .style import (
    MAPS,
    SEQUENTIAL,
    WIDTH,
    add_caption,
    close_gaps,
    grid_height,
    new_figure,
    short,
    show_map,
    show_picture,
)

__all__ = ["draw_guidance", "principal_colours"]

MOST_NAMES = 10
LINES = 14  # lines of small type beside a square panel


def draw_guidance(inspection: Inspection) -> Figure:
    """Draw the first three principal components of each guiding map as colours (first row), the mean of its channels
    (second row), and the similarity of the names' text guidance.
    """
    guidance, picture = inspection.guidance, inspection.image
    maps = {} if guidance.image is None else {"aggregation": guidance.image}
    maps |= {f"decoder, {name}": x for name, x in guidance.decoder.items()}
    columns = 1 + len(maps)
    width = WIDTH if columns > 2 else 5.0
    figure = new_figure(grid_height(picture, 2, columns, width, 0.35), width)
    axes = figure.subplots(2, columns, squeeze=False)
    show_picture(axes[0, 0], picture, "picture")
    for place, (title, x) in enumerate(maps.items(), 1):
        show_map(axes[0, place], principal_colours(x), picture, title)
        mean = x.mean(0)
        show_map(axes[1, place], mean, picture, cmap=SEQUENTIAL)
        axes[1, place].set_xlabel(f"{len(x)} channels, {x.shape[1]} × {x.shape[2]}", fontsize=7, labelpad=2)
    if maps:
        axes[0, 1].set_ylabel("PCA", fontsize=7)
        axes[1, 1].set_ylabel("mean", fontsize=7)
    if guidance.text is None:
        axes[1, 0].set_visible(False)
    else:
        _text(axes[1, 0], inspection)
    add_caption(figure, _caption(inspection, bool(maps)))
    close_gaps(figure, axes.flat)
    return figure


def principal_colours(x: np.ndarray) -> np.ndarray:
    """The first three principal components of a map as red, green and blue: (C, h, w) -> (h, w, 3) in [0, 1].

    Each component runs from its 1st to its 99th percentile; its sign is such that the largest weight is positive.
    """
    pixels = x.reshape(len(x), -1).T.astype(np.float64)
    pixels = pixels - pixels.mean(0)
    _, vectors = np.linalg.eigh(pixels.T @ pixels)
    vectors = vectors[:, ::-1][:, :3]
    vectors = vectors * np.sign(vectors[np.abs(vectors).argmax(0), np.arange(vectors.shape[1])])
    colours = np.zeros((len(pixels), 3))
    colours[:, : vectors.shape[1]] = pixels @ vectors
    low, high = np.percentile(colours, (1, 99), axis=0)
    colours = (colours - low) / np.maximum(high - low, 1e-12)
    return colours.clip(0, 1).reshape(*x.shape[1:], 3)


def _text(axes: Axes, inspection: Inspection) -> None:
    """Draw the cosines between the text guidance of the largest names."""
    kept, text = inspection.kept, inspection.guidance.text
    height, width = inspection.image.shape[:2]
    most = min(max(round(LINES * height / width), 2), MOST_NAMES)  # as many names as fit beside a flat panel
    ids = [index for index in inspection.winners.tolist() if index in kept][:most]
    rows = text[[kept.tolist().index(index) for index in ids]]
    rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    axes.imshow(rows @ rows.T, cmap=MAPS, vmin=0, vmax=1, aspect="auto")
    axes.set_box_aspect(height / width)
    axes.set_yticks(range(len(ids)), short([inspection.names[index] for index in ids], 18), fontsize=5.5)
    axes.set_xticks([])
    axes.set_xlabel("text guidance, cosines", fontsize=7, labelpad=2)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _caption(inspection: Inspection, has_maps: bool) -> str:
    text = ""
    if has_maps:
        text = (
            "PCA: red, green and blue are the first three principal components of the channels; mean: of the channels."
        )
    if inspection.guidance.text is not None:
        text += f" Text guidance: cosines of the largest names, from 0 (dark) to 1, of {len(inspection.kept)} kept."
    return text.strip()
