"""COCO-Stuff: the raw ids 0–181 of the stuffthingmaps to the 171 training ids."""

from pathlib import Path

from errseg.errors import UsageError

from .pairs import list_pairs
from .raw import benchmark, require_folder
from .tasks import Part

__all__ = ["parts"]

IGNORED = (255,)
SPLITS = {  # registered name, who needs it
    "train2017": ("coco_2017_train_stuff_all_sem_seg", "training"),
    "val2017": ("coco_2017_test_stuff_all_sem_seg", "evaluation on COCO-Stuff"),
}
IMAGE_REMEDY = "unpack COCO's train2017.zip and val2017.zip into coco-stuff/images"
LABEL_REMEDY = "unpack stuffthingmaps_trainval2017.zip into coco-stuff/annotations"


def parts(root: Path) -> list[Part]:
    """The splits. A missing split has no tasks, but a note.

    Raises:
        UsageError: both splits are missing, or the images or the labels of one are.
    """
    folder = root / "coco-stuff"
    require_folder(folder, f"{IMAGE_REMEDY}, and {LABEL_REMEDY}")
    found = []
    for split, (name, user) in SPLITS.items():
        title, published, labels = f"COCO-Stuff {split}", benchmark(name).num_images, folder / "annotations" / split
        if labels.exists() or (folder / "images" / split).exists():
            found.append(Part(title, published, list_pairs(root, name, labels, IGNORED, IMAGE_REMEDY, LABEL_REMEDY)))
        else:
            found.append(Part(title, published, [], f"{title} is not there ({labels}); only {user} needs it."))
    if not any(part.tasks for part in found):
        raise UsageError(f"{folder} holds neither train2017 nor val2017; {IMAGE_REMEDY}, and {LABEL_REMEDY}.")
    return found
