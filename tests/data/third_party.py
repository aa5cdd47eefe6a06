"""A made-up data set of a third party, in its own layout."""

from pathlib import Path

import numpy as np
import yaml
from PIL import Image

NAMES = ["sky", "grass, lawn", "red car"]


def write_pair(image: Path, label: Path, ids: np.ndarray) -> None:
    """An image whose colours follow from its label."""
    image.parent.mkdir(parents=True, exist_ok=True)
    label.parent.mkdir(parents=True, exist_ok=True)
    colors = np.random.default_rng(0).integers(0, 256, (int(ids.max()) + 1, 3), dtype=np.uint8)
    Image.fromarray(colors[ids]).save(image)
    Image.fromarray(ids).save(label)


def write_dataset(root: Path, count: int = 6, **changes: object) -> Path:
    """Images in two folders of towns, labels with ids 1 to 3 and 0 for void; the YAML file, with changed keys."""
    random = np.random.default_rng(1)
    for index in range(count):
        stem = f"{('north', 'south')[index % 2]}/{index:03d}"
        ids = np.kron(random.integers(1, 4, (3, 4)), np.ones((16, 16), int)).astype(np.uint8)
        ids[:4] = 0
        write_pair(root / f"pictures/{stem}.jpg", root / f"masks/{stem}.png", ids)
    return write_yaml(root / "towns.yaml", **changes)


def write_yaml(path: Path, **changes: object) -> Path:
    """The data-set file for it; a key with the value None is left out."""
    content = {"images": "pictures", "labels": "masks", "names": NAMES, "ignore": 0, "label_offset": -1, **changes}
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {key: value for key, value in content.items() if value is not None}
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path
