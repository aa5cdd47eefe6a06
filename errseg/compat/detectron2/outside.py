"""What Detectron2 has and this stand-in has not: using it raises a sentence that says what to use instead."""

import importlib.machinery
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

__all__ = ["Absent", "outside"]

# What errseg has for names that Detectron2's users know
INSTEAD = {
    "DatasetMapper": "errseg.data.SemSegMapper",
    "DefaultPredictor": "errseg.load",
    "DefaultTrainer": "errseg.engine.Trainer",
    "JSONWriter": "errseg.engine.Trainer, which writes metrics.json",
    "SemSegEvaluator": "errseg.evaluation.VocabularyEvaluator, which gives the same scores",
    "SimpleTrainer": "errseg.engine.StepTrainer",
    "TrainingSampler": "errseg.data.build_train_loader",
    "build_optimizer": "errseg.engine.build_optimizer",
    "sem_seg_evaluation": "errseg.evaluation.VocabularyEvaluator, which gives the same scores",
}


def outside(module: dict[str, Any]) -> Callable[[str], Any]:
    """The ``__getattr__`` of one of our modules, for the names that it has not.

    Args:
        module: its ``globals()``. They get a ``__path__``, so that ``from module import name`` asks ``_Finder`` too:
            Python drops the message of the AttributeError that it would get otherwise.
    """
    module.setdefault("__path__", [])

    def missing(name: str) -> Any:
        raise AttributeError(_sentence(f"{module['__name__']}.{name}"))

    return missing


class Absent:
    """An attribute of one of our classes that only Detectron2's class has: looking it up raises the sentence.

    Args:
        name: full name of the attribute.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        raise AttributeError(_sentence(self._name))


def _sentence(name: str) -> str:
    instead = next((f"use {INSTEAD[part]}, or " for part in name.split(".") if part in INSTEAD), "")
    return (
        f"{name} is not in the small stand-in for Detectron2 that comes with errseg; {instead}install Detectron2, "
        "which is used in place of the stand-in where it is installed."
    )


class _Finder:
    """Comes last among Python's finders, and answers for the submodules of detectron2 that no other has found."""

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name.startswith("detectron2."):
            raise ImportError(_sentence(name), name=name)
        return None


sys.meta_path.append(_Finder)
