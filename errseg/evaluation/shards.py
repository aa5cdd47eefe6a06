"""Evaluation in shards: each run evaluates every n-th picture, and a merge adds up what they counted.

OUTPUT_DIR/shard_1_of_3/shard.json has, for each data set, the confusion matrix, the confusion of each picture and the
pictures' digests. All are integers, so that the merged scores are those of one run to the last digit.
"""

import hashlib
import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.evaluation import inference_on_dataset
from detectron2.utils import comm
from torch import nn

from errseg.config import as_data
from errseg.config.settings import flatten
from errseg.data import build_test_loader, require_dataset
from errseg.data.checksum import DataChecksum
from errseg.errors import UsageError, short
from errseg.failures import explained
from errseg.modeling import system_of
from errseg.modeling.num_kept import AUTO, AutoKept
from errseg.safe_files import read_json

from .evaluate import (
    build_evaluator,
    check_names,
    held_predictions,
    result_of,
    reusing_loader,
    set_dataset_vocabulary,
    write_result,
)
from .evaluator import LabelMaps, VocabularyEvaluator
from .paper import paper_row
from .per_image import Cells, cells_of
from .predictions import PredictionStore, place_of_image
from .provenance import provenance
from .report import file_stems, results_table, warn_of_missing, write_json
from .split import check_split

__all__ = ["FILE", "Shard", "evaluate_shard", "merge_shards", "shard_of"]

FILE = "shard.json"
OF_THE_MACHINE = {"OUTPUT_DIR", "MODEL.WEIGHTS", "DATALOADER.NUM_WORKERS"}  # may differ; weights have a digest
logger = logging.getLogger(__name__)


class Shard(NamedTuple):
    """One of ``count`` parts of each data set: the pictures ``number - 1``, ``number - 1 + count``, and so on."""

    number: int  # from 1
    count: int

    @property
    def folder(self) -> str:
        """The name of its output folder."""
        return f"shard_{self.number}_of_{self.count}"

    @property
    def share(self) -> slice:
        """Its part of a list of records."""
        return slice(self.number - 1, None, self.count)


def shard_of(text: str) -> Shard:
    """The shard that a text such as "2/3" names.

    Raises:
        UsageError: it names none.
    """
    found = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
    shard = Shard(*map(int, found.groups())) if found else Shard(0, 0)
    if not 1 <= shard.number <= shard.count:
        raise UsageError(f"--shard is {short(text)}; give I/N with I from 1 to N, such as 1/3.")
    return shard


def evaluate_shard(
    cfg: CfgNode,
    model: nn.Module,
    names: Sequence[str],
    weights: str | None,
    shard: Shard,
    save_predictions: str | Path | None = None,
) -> None:
    """Evaluate a part of registered data sets, and write what it counts to OUTPUT_DIR/shard.json.

    Args:
        cfg, model, names, weights: as for ``errseg.evaluation.evaluate``.
        shard: which pictures.
        save_predictions: a folder; the predictions are in its ``shard.folder``. Those that are there are counted, not
            made again.

    Raises:
        UsageError: as ``evaluate``; the system does not segment; or a data set has fewer pictures than shards.
    """
    system_of(cfg).require("segment")
    for name in names:
        require_dataset(name)
        if len(DatasetCatalog.get(name)) < shard.count:
            raise UsageError(
                f"{name} has {len(DatasetCatalog.get(name))} pictures; give --shard at most as many parts."
            )
    check_names(model, names)
    check_split(cfg, names)
    content = provenance(cfg, model, weights) if comm.is_main_process() else {}
    sets: dict[str, Any] = {}
    folder = Path(save_predictions) / shard.folder if save_predictions else None
    held = held_predictions(folder, cfg, model, names) if folder else nullcontext()
    with explained(cfg.OUTPUT_DIR), explained(folder or cfg.OUTPUT_DIR), held:
        for name in names:
            kept = set_dataset_vocabulary(cfg, model, name)
            store = PredictionStore(folder, name) if folder else None
            evaluator, share = build_evaluator(cfg, name, store), shard.share
            loader = reusing_loader(cfg, name, store, share) if store else build_test_loader(cfg, name, share=share)
            inference_on_dataset(LabelMaps(model), loader, evaluator)
            if comm.is_main_process():
                sets[name] = _counted(name, evaluator) | {"k": AUTO if isinstance(kept, AutoKept) else kept}
        if comm.is_main_process():
            write_json(Path(cfg.OUTPUT_DIR) / FILE, {"shard": list(shard), "sets": sets, **content})
            logger.info("Shard %d of %d is written to %s", *shard, Path(cfg.OUTPUT_DIR) / FILE)


def _counted(name: str, evaluator: VocabularyEvaluator) -> dict[str, Any]:
    """What an evaluator has counted, and which data set it is of, as data for JSON."""
    records, metadata = DatasetCatalog.get(name), MetadataCatalog.get(name)
    root = Path(metadata.get("image_root", ""))
    listing = "\n".join(place_of_image(record, root).as_posix() for record in records)
    codes = evaluator.matrix.ravel().nonzero()[0]
    return {
        "listing": hashlib.sha256(listing.encode()).hexdigest(),
        "pictures": len(records),
        "classes": list(metadata.stuff_classes),
        "checksum": evaluator.checksum.state(),
        "matrix": [codes.tolist(), evaluator.matrix.ravel()[codes].tolist()],
        "digests": [digest.hex() for digest, *_ in evaluator.images.images],
        "per_image": evaluator.images.pack(in_order=True),
    }


def read_shards(folders: Sequence[str | Path]) -> list[dict[str, Any]]:
    """The shards in some folders, by their numbers.

    Raises:
        UsageError: a file is missing or no shard; shards differ in their run; or one is missing or given twice.
    """
    found: dict[int, tuple[Path, dict[str, Any]]] = {}
    first: tuple[Path, dict[str, Any]] | None = None
    for folder in folders:
        path = Path(folder) / FILE
        content = read_json(path, "shard")
        try:
            number, count = content["shard"]
            shard = shard_of(f"{number}/{count}")
            run = {
                "another number of shards": count,
                "other weights": content["weights"]["state_sha256"],
                "another configuration": _settings(content["config"]),
                "other data sets": {
                    name: [each[key] for key in ("listing", "pictures", "classes", "k")]
                    for name, each in content["sets"].items()
                },
            }
        except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
            raise UsageError(f"{path} is no shard of an evaluation; evaluate it again.") from error
        if first is None:
            first = path, run
        for difference, value in run.items():
            if value != first[1][difference]:
                raise UsageError(f"{path} is of {difference} than {first[0]}; merge the shards of one run.")
        if shard.number in found:
            raise UsageError(f"{path} and {found[shard.number][0]} are the same shard {number}/{count}; give it once.")
        found[shard.number] = path, content
    missing = [f"{number}/{count}" for number in range(1, count + 1) if number not in found]
    if missing:
        raise UsageError(f"The shards {', '.join(missing[:5])} are missing; evaluate them with --shard, and add them.")
    return [found[number][1] | {"path": found[number][0]} for number in sorted(found)]


def _settings(config: dict[str, Any]) -> dict[str, Any]:
    """The values of a configuration that all shards have to share."""
    return {key: value for key, value in flatten(config).items() if key not in OF_THE_MACHINE}


def merge_shards(cfg: CfgNode, folders: Sequence[str | Path]) -> dict[str, Any]:
    """Merge shards, and write to OUTPUT_DIR what ``errseg.evaluation.evaluate`` writes.

    Args:
        cfg: the configuration of the run.
        folders: those of all shards, in any order.

    Returns:
        The results, as ``evaluate`` returns them.

    Raises:
        UsageError: as ``read_shards``; or the numbers of a shard are damaged, or its pictures are not all there.
    """
    shards, results = read_shards(folders), {}
    if _settings(shards[0]["config"]) != _settings(as_data(cfg)):
        raise UsageError(
            f"{shards[0]['path']} is of another configuration than the config.yaml beside it; evaluate again."
        )
    last = max(shards, key=lambda shard: str(shard.get("date")))
    content = {key: last.get(key) for key in ("date", "weights", "versions")} | {"config": as_data(cfg)}
    row = paper_row(content["config"])
    content["paper"] = row and {"row": row.name, "mIoU": row.mIoU}
    names = list(shards[0]["sets"])
    stems = file_stems({name: MetadataCatalog.get(name).get("paper_name", name) for name in names})
    with explained(cfg.OUTPUT_DIR):
        for name in names:
            evaluator = build_evaluator(cfg, name)
            if list(MetadataCatalog.get(name).stuff_classes) != shards[0]["sets"][name]["classes"]:
                raise UsageError(
                    f"{shards[0]['path']} has other classes of {name} than this machine; use one data set."
                )
            _add(evaluator, [(shard["path"], shard["sets"][name]) for shard in shards])
            warn_of_missing(name, evaluator.checksum.num_images)
            results[name] = result_of(cfg, name, evaluator, shards[0]["sets"][name]["k"])
            write_result(Path(cfg.OUTPUT_DIR), stems[name], results, name, evaluator, content)
    logger.info("Results\n%s", results_table(results, row))
    return results


def _add(evaluator: VocabularyEvaluator, parts: list[tuple[Path, dict[str, Any]]]) -> None:
    """Add the counts of all shards of a data set, with its pictures in the order of one run."""
    whole = parts[0][1]["pictures"]
    images: dict[int, Cells] = {}
    for start, (path, part) in enumerate(parts):
        try:
            cells = list(_cells(part, evaluator.num_classes))
            codes, pixels = (np.array(numbers, np.int64) for numbers in part["matrix"])
            matrix = np.zeros_like(evaluator.matrix)
            matrix.reshape(-1)[codes] = pixels
            counted = np.zeros(evaluator.num_classes**2, np.int64)
            for _, own_codes, own_pixels in cells:
                counted[own_codes] += own_pixels
            if not np.array_equal(matrix[:-1, :-1].ravel(), counted):
                raise ValueError("its matrix is not the sum of its pictures")
            evaluator.matrix += matrix
            checksum = DataChecksum(part["checksum"])
        except (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError) as error:
            raise UsageError(f"{path} is damaged ({short(error)}); evaluate this shard again.") from error
        places = range(start, whole, len(parts))
        if not len(cells) == checksum.num_images == len(places):
            raise UsageError(
                f"{path} has {len(cells)} pictures, but its shard has {len(places)}; evaluate this shard again."
            )
        images.update(zip(places, cells, strict=True))
        evaluator.checksum.merge(checksum)
    evaluator.images.images = [images[place] for place in sorted(images)]


def _cells(part: dict[str, Any], num_classes: int) -> Iterator[Cells]:
    """The confusions of a shard's pictures, as ``ImageConfusions`` holds them."""
    rows, codes, pixels = cells_of(part["per_image"], num_classes)
    ends = np.searchsorted(rows, np.arange(part["per_image"]["images"]), side="right")
    counts = zip(np.split(codes, ends)[:-1], np.split(pixels, ends)[:-1], strict=True)
    for digest, (own_codes, own_pixels) in zip(part["digests"], counts, strict=True):
        yield bytes.fromhex(digest), own_codes.astype(np.uint32), own_pixels.astype(np.uint32)
