"""Draw saved predictions over their images, without the model."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from detectron2.data import DatasetCatalog, MetadataCatalog
from PIL import Image

from errseg.atomic import replacing
from errseg.data import register_dataset_files, require_dataset
from errseg.data.files import read_rgb
from errseg.data.parallel import default_workers, parallel_map
from errseg.errors import UsageError
from errseg.visualization import panel

from .ledger import entry_of, saved_sets
from .predictions import PredictionStore

__all__ = ["Rendering", "render_predictions"]

WRITTEN, KEPT, ABSENT = "written", "kept", "absent"


class Rendering(NamedTuple):
    """The outcome of drawing a data set: counts of images."""

    folder: Path  # the folder of the overlays
    written: int
    kept: int  # overlays that existed already
    absent: int  # images without a prediction
    problems: list[str]  # a sentence for each file that could not be used


def render_predictions(
    predictions: str | Path, dataset: str, out: str | Path | None = None, workers: int | None = None
) -> Rendering:
    """Draw each saved prediction of a data set over its image, with the names beside it.

    An overlay that is newer than its prediction is kept.

    Args:
        predictions: a folder that ``--save-predictions`` has written.
        dataset: a registered name, or the path of a data-set file.
        out: the folder of the overlays (JPEG); None: ``overlays`` in ``predictions``.
        workers: processes that draw; None: one for each CPU.

    Raises:
        UsageError: the data set is missing; the folder holds no predictions of it, or predictions for other images or
            another vocabulary; or ``out`` cannot be written.
    """
    register_dataset_files([dataset])
    require_dataset(dataset, "--dataset")
    store = PredictionStore(predictions, dataset)
    _check(predictions, dataset, store)
    folder = (Path(out) if out else Path(predictions) / "overlays") / store.root.name
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"The overlays cannot be written to {folder} ({error}); give another --out.") from error
    records, names = DatasetCatalog.get(dataset), MetadataCatalog.get(dataset).stuff_classes
    workers = default_workers() if workers is None else workers
    draw = partial(_draw, store, names, folder)
    outcomes = list(parallel_map(draw, records, workers, f"Overlays of {store.root.name}"))
    problems = [outcome for outcome in outcomes if outcome not in (WRITTEN, KEPT, ABSENT)]
    return Rendering(folder, *(outcomes.count(kind) for kind in (WRITTEN, KEPT, ABSENT)), problems)


def _check(predictions: str | Path, dataset: str, store: PredictionStore) -> None:
    sets, name = saved_sets(predictions), store.root.name
    if name not in sets:
        raise UsageError(f"{predictions} holds no predictions of {dataset}, only of {', '.join(sets) or 'nothing'}.")
    now = entry_of(dataset)
    if sets[name].get("images") != now["images"]:
        raise UsageError(
            f"The predictions of {name} in {predictions} were made for other images than {dataset} has now; give the "
            f"data set that they belong to ({sets[name].get('dataset')})."
        )
    if sets[name]["vocabulary"] != now["vocabulary"]:
        raise UsageError(
            f"The predictions of {name} in {predictions} were made with other names or label ids than {dataset} has "
            "now; evaluate again into another folder."
        )


def _draw(store: PredictionStore, names: Sequence[str], folder: Path, record: dict[str, Any]) -> str:
    """Draw one overlay; returns WRITTEN, KEPT or ABSENT, or a sentence that says what failed."""
    prediction = store.path(record)
    target = folder / prediction.relative_to(store.root).with_suffix(".jpg")
    if not prediction.is_file():
        return ABSENT
    if target.is_file() and target.stat().st_mtime_ns >= prediction.stat().st_mtime_ns:
        return KEPT
    try:
        classes, image = store.load(record), read_rgb(record["file_name"])
    except UsageError as error:
        return str(error)
    picture = panel(image, classes, names, size=image.shape[:2])
    with replacing(target) as temporary:
        Image.fromarray(picture).save(temporary, format="JPEG", quality=90)
    return WRITTEN
