"""A-150: the id 0 (unlabelled) becomes 255, and the ids 1–150 become 0–149."""

from pathlib import Path

from .pairs import list_pairs
from .raw import benchmark, require_folder
from .tasks import Part

__all__ = ["parts"]

NAME = "ade20k_150_test_sem_seg"
IGNORED = (0,)
REMEDY = "unpack ADEChallengeData2016.zip of the scene parsing challenge there, not the full ADE20K"


def parts(root: Path) -> list[Part]:
    """The validation images.

    Raises:
        UsageError: a folder is missing or empty.
    """
    folder = root / "ADEChallengeData2016"
    require_folder(folder, REMEDY, others=[root / "ADE20K_2021_17_01", root / "ADE20K_2016_07_26"])
    labels = folder / "annotations/validation"
    tasks = list_pairs(root, NAME, labels, IGNORED, REMEDY, REMEDY)
    return [Part("A-150", benchmark(NAME).num_images, tasks)]
