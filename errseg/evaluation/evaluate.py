"""Evaluation of one model on several data sets, each with its own vocabulary."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog
from detectron2.evaluation import inference_on_dataset
from detectron2.utils import comm
from tabulate import tabulate
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from errseg.atomic import replacing
from errseg.data import build_test_loader

from .evaluator import VocabularyEvaluator

__all__ = ["SCORES", "evaluate", "results_table"]

SCORES = ("mIoU", "fwIoU", "mACC", "pACC")  # percent

Result = dict[str, Any]


def evaluate(cfg: CfgNode, model: nn.Module, names: Sequence[str]) -> dict[str, Result]:
    """Evaluate on registered data sets; log the table and write ``evaluation.json`` into OUTPUT_DIR.

    Each set brings its vocabulary, ignore label and, unless MODEL.CRM.NUM_CLASSES_TEST is given, its K. The model gets
    its own vocabulary and mode back.

    Args:
        cfg: the configuration.
        model: a model with ``set_vocabulary``; may be wrapped for distributed training.
        names: registered names.

    Returns:
        By name, the paper's name of the set, K, the four scores, and the IoU of each class (None: not in the ground
        truth); empty but in the main process.

    Raises:
        UsageError: a data set is missing, or one of its files is unfit.
    """
    if isinstance(model, DistributedDataParallel):
        model = model.module
    previous = model.vocabulary
    results = {}
    try:
        for name in names:
            results[name] = _evaluate_one(cfg, model, name)
    finally:
        if previous is not None:
            model.set_vocabulary(previous.names, num_classes=previous.num_classes)
    if not comm.is_main_process():
        return {}
    if results:
        logging.getLogger(__name__).info("Results\n%s", results_table(results))
        _write_json(Path(cfg.OUTPUT_DIR) / "evaluation.json", {"results": results})
    return results


def results_table(results: dict[str, Result]) -> str:
    """The scores as Markdown, a row for each score and a column for each data set, under the paper's names."""
    rows = [[score, *(f"{result[score]:.2f}" for result in results.values())] for score in SCORES]
    header = ["", *(result["paper_name"] for result in results.values())]
    return tabulate(rows, header, tablefmt="pipe", stralign="right", disable_numparse=True)


def _evaluate_one(cfg: CfgNode, model: nn.Module, name: str) -> Result:
    metadata = MetadataCatalog.get(name)
    prompts = metadata.get("prompts", metadata.stuff_classes)
    num_classes = cfg.MODEL.CRM.NUM_CLASSES_TEST or metadata.get("num_classes_test", 0)  # 0: all
    model.set_vocabulary(prompts, num_classes=num_classes)
    evaluator = VocabularyEvaluator(name, distributed=comm.get_world_size() > 1)
    scores = inference_on_dataset(model, build_test_loader(cfg, name), evaluator).get("sem_seg", {})
    if not scores:  # another process has them
        return {}
    ious = [scores[f"IoU-{class_name}"] for class_name in metadata.stuff_classes]
    return {
        "paper_name": metadata.get("paper_name", name),
        "num_classes_test": min(num_classes or len(prompts), len(prompts)),
        **{score: float(scores[score]) for score in SCORES},
        "classes": list(metadata.stuff_classes),
        "iou": [None if iou != iou else float(iou) for iou in ious],
    }


def _write_json(path: Path, content: Any) -> None:
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
