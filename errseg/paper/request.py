"""What is asked of a table or a figure: on which data, with which weights, runs and files."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from detectron2.data import MetadataCatalog

from errseg.api import Segmenter, load
from errseg.data.benchmarks import BENCHMARKS, require_dataset
from errseg.errors import UsageError
from errseg.evaluation.paper import CONTENT
from errseg.mini.ablate import FULL, SPLITS
from errseg.mini.datasets import DATASET_NAMES

__all__ = ["FIGURES", "MINI", "REAL", "WEIGHTS", "Request", "title_of"]

FIGURES = json.loads(Path(__file__).with_name("figures.json").read_text(encoding="utf-8"))
REAL, MINI = "errseg_convnext_base", "mini/errseg_mini"  # the configurations of the full model
OURS = "ERR-Seg"  # the name of a checkpoint without one, and of the full model
WEIGHTS = "give --checkpoint NAME=FILE; the authors' weights are at huggingface.co/lchen1019/ERR-Seg"


@dataclass(frozen=True)
class Request:
    """The options of ``errseg paper``.

    Attributes:
        command: what was typed, for messages, such as "errseg paper table 5".
        runs: the folder of training runs; of the mini world, it also holds ``clip.pt``.
        out: the folder of the results; evaluations are kept in it.
        mini: on the mini world, not on the paper's data sets.
        seeds: training runs of each row.
        gpus: the number for missing training runs on the paper's data; None: they are not started.
        config: a configuration; "": the item's own.
        checkpoints: files of weights or folders of runs, by the names that tables show.
        evaluations, benchmarks: files, by name.
        images: pictures.
        names: of a picture's classes, as ``errseg.load(…).set_vocabulary`` takes them; None: the data set's.
        kept: K of pictures, or "auto"; None: as for ``Segmenter.set_vocabulary``.
        limit: pictures of a figure.
        device: "auto", "cpu" or "cuda".
        opts: KEY VALUE pairs.
    """

    command: str
    runs: Path
    out: Path
    mini: bool = False
    seeds: int = 1
    gpus: int | None = None
    config: str = ""
    checkpoints: dict[str, str] = field(default_factory=dict)
    evaluations: dict[str, Path] = field(default_factory=dict)
    benchmarks: dict[str, Path] = field(default_factory=dict)
    images: tuple[str, ...] = ()
    names: Any = None
    kept: int | str | None = None
    limit: int = 4
    device: str = "auto"
    opts: tuple[str, ...] = ()

    @property
    def sets(self) -> list[str]:
        """The registered names of the data sets: the mini world's, or the paper's five in its order."""
        if self.mini:
            return [DATASET_NAMES[split] for split in SPLITS]
        registered = {row.paper_name: row.name for row in BENCHMARKS}
        return [registered[name] for name in CONTENT["data sets"]]

    @property
    def training_set(self) -> str:
        """The registered name of the training set."""
        return DATASET_NAMES["train"] if self.mini else CONTENT["base"]["DATASETS.TRAIN"][0]

    def present(self, names: list[str] | None = None) -> tuple[list[str], list[str]]:
        """The data sets that are there, and a note about those that are missing.

        Args:
            names: registered names; None: ``sets``.

        Raises:
            UsageError: none is there.
        """
        names, there, errors = self.sets if names is None else names, [], []
        if self.mini:
            from errseg.mini.generate import generate
            from errseg.mini.layout import data_root

            generate(data_root())
        for name in names:
            try:
                require_dataset(name)
                there.append(name)
            except UsageError as error:
                errors.append(error)
        if not there:
            raise errors[0]
        missing = ", ".join(title_of(name) for name in names if name not in there)
        return there, [f"Without {missing}, which are missing: errseg data prepare makes them."] if missing else []

    def models(self, *keys: Any) -> dict[str, Segmenter]:
        """The models of the checkpoints, by name. On the mini world without a checkpoint, it is the full model.

        Args:
            keys: configuration keys and values; those of the command line follow.

        Raises:
            UsageError: there is no checkpoint, or one cannot be loaded.
        """
        given = self.checkpoints
        if not given and self.mini:
            given = {OURS: self._mini_run()}
        if not given:
            raise UsageError(f"{self.command} needs weights; {WEIGHTS}.")
        return {
            name: load(
                self.config or path, path if self.config else None, self.device, None, [*keys, *self.opts], False
            )
            for name, path in given.items()
        }

    def _mini_run(self) -> str:
        """The folder of the quickstart's run, or else of the ablations' full model, which is trained if missing."""
        from .runs import mini_results

        quickstart = self.runs / "errseg"
        if (quickstart / "model_final.pth").is_file():
            return str(quickstart)
        mini_results(self, FULL, 0)
        from errseg.mini.ablate import folder_of

        return str(folder_of(self.runs, FULL, 0))


def title_of(name: str) -> str:
    """The name of a data set in tables."""
    return MetadataCatalog.get(name).get("paper_name", name)
