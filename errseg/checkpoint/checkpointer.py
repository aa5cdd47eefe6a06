"""The checkpointer of training and evaluation: atomic writes, safe reads, strict loading."""

import logging
import os
from pathlib import Path
from typing import Any

import torch
from detectron2.checkpoint import DetectionCheckpointer

from ..atomic import replacing
from ..errors import UsageError
from ..modeling.build import fitting_weights, note_checkpoint
from ..modeling.segmenter import OpenVocabularySegmenter
from ..weight_files import load_state_dict_file, write_safetensors
from .last import TAG, last_checkpoint
from .resume import check_optimizer

logger = logging.getLogger(__name__)


class ERRSegCheckpointer(DetectionCheckpointer):
    """Detectron2's checkpointer, with four differences.

    A file is written under a temporary name and renamed, so that a crash does not destroy the last whole file. Files
    are read as data, never as pickled code. Loading is strict: keys that are missing, unknown or of another shape, and
    values that are not finite, are an error that names them. A released checkpoint is recognised and its keys renamed.
    """

    def save(self, name: str, **kwargs: Any) -> None:
        """Write ``<save_dir>/<name>.pth`` with the model, the checkpointables and ``kwargs``, on the main process."""
        if not self.save_dir or not self.save_to_disk:
            return
        data = {"model": self.model.state_dict()}
        data |= {key: item.state_dict() for key, item in self.checkpointables.items()}
        path = os.path.join(self.save_dir, f"{name}.pth")
        for ending in ("pth", "safetensors"):
            for stale in Path(self.save_dir).glob(f"*.{ending}.tmp"):  # of a process that was killed while it saved
                stale.unlink()
        self.logger.info("Saving checkpoint to %s", path)
        # Give torch an open file: given a path, it does not report why writing failed.
        with replacing(path) as temporary, temporary.open("wb") as file:
            torch.save(data | kwargs, file)
        self.tag_last_checkpoint(f"{name}.pth")

    def save_weights(self, name: str, **metadata: str) -> None:
        """Write the weights alone to ``<save_dir>/<name>.safetensors``, on the main process.

        Args:
            name: of the file, without its ending.
            metadata: facts for the header of the file.
        """
        if not self.save_dir or not self.save_to_disk:
            return
        path = os.path.join(self.save_dir, f"{name}.safetensors")
        self.logger.info("Saving weights to %s", path)
        write_safetensors(self.model.state_dict(), path, **metadata)

    def tag_last_checkpoint(self, last_filename_basename: str) -> None:
        """Write the name of the newest checkpoint to ``<save_dir>/last_checkpoint``."""
        with replacing(os.path.join(self.save_dir, TAG)) as temporary:
            with open(temporary, "w") as file:
                file.write(last_filename_basename)

    def get_checkpoint_file(self) -> str:
        """The path of the newest checkpoint of ``save_dir``; "" where there is none. See ``last_checkpoint``."""
        return last_checkpoint(self.save_dir)

    def resume_or_load(self, path: str, *, resume: bool = True) -> dict[str, Any]:
        """Continue from the newest checkpoint of ``save_dir`` if ``resume`` and there is one; else load weights alone.

        Raises:
            UsageError: as ``load``; or the checkpoint lacks one of the checkpointables.
        """
        if resume and self.has_checkpoint():
            return self.load(self.get_checkpoint_file(), checkpointables=list(self.checkpointables))
        return self.load(path, checkpointables=[])

    def load(self, path: str, checkpointables: list[str] | None = None) -> dict[str, Any]:
        """Load a checkpoint into the model and the checkpointables; all of it is checked before any of it is loaded.

        If a checkpointable has a method ``check_state_dict(state, path)``, that method checks its state.

        Args:
            path: a file; "" loads nothing.
            checkpointables: names of those to load beside the model; None: those that the file has.

        Returns:
            The other entries of the file, such as the iteration.

        Raises:
            UsageError: see ``load_state_dict_file``; or the weights do not fit the model, or a state its object.
        """
        if not path:
            return {}
        content = load_state_dict_file(path, self.model.state_dict().keys())
        weights = fitting_weights(path, content.pop("model"), self.model)
        if checkpointables is None:
            checkpointables = [key for key in self.checkpointables if key in content]
        states = {key: self._checked_state(path, key, content) for key in checkpointables}
        self.model.load_state_dict(weights)
        for key, state in states.items():
            self.checkpointables[key].load_state_dict(state)
        if isinstance(self.model, OpenVocabularySegmenter):
            note_checkpoint(self.model, path)
        return content

    def _checked_state(self, path: str, key: str, content: dict[str, Any]) -> Any:
        """The state of a checkpointable, removed from ``content`` and checked."""
        if key not in content:
            raise UsageError(
                f"{path} has no {key!r}, which a checkpoint to resume from has: it holds weights alone; give it as "
                "MODEL.WEIGHTS, without --resume."
            )
        state, item = content.pop(key), self.checkpointables[key]
        if isinstance(item, torch.optim.Optimizer):
            check_optimizer(path, key, state, item)
        elif hasattr(item, "check_state_dict"):
            item.check_state_dict(state, path)
        return state
