"""The checkpointer of training and evaluation: atomic writes, safe reads, strict loading."""

import logging
import os
import pickle
from pathlib import Path
from typing import Any

import torch
from detectron2.checkpoint import DetectionCheckpointer
from safetensors.torch import load_file

from ..atomic import replacing
from ..errors import UsageError
from ..modeling.weights import WeightSources
from .official import from_official, is_official

logger = logging.getLogger(__name__)


def load_state_dict_file(path: str) -> dict[str, Any]:
    """Read a checkpoint as data: ``*.safetensors``, or a torch file of tensors, numbers, strings and containers.

    Returns:
        A dict with the state dict under "model", and whatever a training run saved beside it.

    Raises:
        UsageError: there is no such file.
        UsageError: it is damaged, or holds something else than data.
    """
    if not os.path.isfile(path):
        raise UsageError(f"MODEL.WEIGHTS = {path!r}: there is no such file; give a checkpoint's path.")
    try:
        if path.endswith(".safetensors"):
            content = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:  # torch's own words advise to trust the file
        raise UsageError(
            f"{path} is damaged, or holds other objects than tensors and numbers; save its 'model' state dict alone."
        ) from error
    except Exception as error:  # whatever a damaged or foreign file makes torch or safetensors raise
        reason = " ".join(str(error).split())[:300]
        raise UsageError(
            f"{path} is not a whole checkpoint of tensors ({reason}); get or write the file again."
        ) from error
    if not isinstance(content, dict):
        raise UsageError(
            f"{path} holds a {type(content).__name__}, not a checkpoint; give a file that errseg or the authors wrote."
        )
    if "model" in content:
        return content
    return {"model": content}


class ERRSegCheckpointer(DetectionCheckpointer):
    """Detectron2's checkpointer, with three differences.

    A file is written under a temporary name and renamed, so that a crash leaves the last whole one. Files are read as
    data, never as pickled code. Loading is strict: keys that are missing, unknown or of another shape are an error that
    names them. A released ERR-Seg checkpoint is recognised and renamed.
    """

    def save(self, name: str, **kwargs: Any) -> None:
        """Write ``<save_dir>/<name>.pth`` with the model, the checkpointables and ``kwargs``, on the main process."""
        if not self.save_dir or not self.save_to_disk:
            return
        data = {"model": self.model.state_dict()}
        data |= {key: item.state_dict() for key, item in self.checkpointables.items()}
        path = os.path.join(self.save_dir, f"{name}.pth")
        for stale in Path(self.save_dir).glob("*.pth.tmp"):  # of a process that was killed while it saved
            stale.unlink()
        self.logger.info("Saving checkpoint to %s", path)
        # To an open file: to a path, torch says nothing of why the disk does not take it.
        with replacing(path) as temporary, temporary.open("wb") as file:
            torch.save(data | kwargs, file)
        self.tag_last_checkpoint(f"{name}.pth")

    def tag_last_checkpoint(self, last_filename_basename: str) -> None:
        """Write the name of the newest checkpoint to ``<save_dir>/last_checkpoint``."""
        with replacing(os.path.join(self.save_dir, "last_checkpoint")) as temporary:
            with open(temporary, "w") as file:
                file.write(last_filename_basename)

    def load(self, path: str, checkpointables: list[str] | None = None) -> dict[str, Any]:
        """Load a checkpoint into the model and the checkpointables.

        Args:
            path: a file; "" loads nothing.
            checkpointables: which of them to load beside the model; None for all.

        Returns:
            What the file holds beyond that, such as the iteration.

        Raises:
            UsageError: see ``load_state_dict_file``; or the keys do not fit the model.
        """
        if not path:
            return {}
        content = load_state_dict_file(path)
        self._load_into_model(path, content.pop("model"))
        for key in self.checkpointables if checkpointables is None else checkpointables:
            if key in content:
                self.checkpointables[key].load_state_dict(content.pop(key))
        return content

    def _load_into_model(self, path: str, state_dict: dict[str, torch.Tensor]) -> None:
        model = self.model
        if is_official(state_dict):
            try:
                state_dict = from_official(state_dict)
            except UsageError as error:
                raise UsageError(f"{path}: {error}") from error
        own = model.state_dict()
        problems = {
            "missing": [key for key in own if key not in state_dict],
            "unknown": [key for key in state_dict if key not in own],
            "of another shape": [key for key in own if key in state_dict and own[key].shape != state_dict[key].shape],
        }
        if any(problems.values()):
            listed = "; ".join(
                f"{len(keys)} {what} ({', '.join(keys[:5])}{', ...' if len(keys) > 5 else ''})"
                for what, keys in problems.items()
                if keys
            )
            raise UsageError(
                f"MODEL.WEIGHTS = {path!r} does not fit the configured model: keys {listed}; use the configuration it "
                "was trained with, or, for a CLIP model's weights, MODEL.CLIP.PRETRAINED."
            )
        model.load_state_dict(state_dict)
        if hasattr(model, "backbone"):
            logger.info(WeightSources.checkpoint(path).describe(model))
