"""A model whose predictions the images tell, and data sets for it."""

import numpy as np
from PIL import Image
from torch import nn

from errseg.data import register_sem_seg


class Vocabulary:
    def __init__(self, names, num_kept):
        self.names, self.num_kept = names, num_kept


class Oracle(nn.Module):
    """Predicts, for each pixel, the prompt whose number red and green give; gives scores alone."""

    def __init__(self):
        super().__init__()
        self.history = []
        self.predicted = []  # file names
        self.set_vocabulary(["before"], num_classes=1)

    def set_vocabulary(self, names, num_classes=None):
        self.vocabulary = Vocabulary(list(names), num_classes)
        self.history.append((len(names), num_classes))

    def forward(self, batch):
        assert not self.training
        self.predicted += [x["file_name"] for x in batch]
        numbers = [x["image"][0].long() + 256 * x["image"][1].long() for x in batch]
        scores = [nn.functional.one_hot(x, len(self.vocabulary.names)) for x in numbers]
        return [{"sem_seg": x.permute(2, 0, 1).float()} for x in scores]


class LabelOracle(Oracle):
    """The same, by label maps."""

    def forward(self, batch):
        raise AssertionError("no scores are needed")

    def label_maps(self, batch):
        return [scores["sem_seg"].argmax(0) for scores in Oracle.forward(self, batch)]


def write_set(root, name, predictions, labels, **settings):
    """Register a data set whose images hold the predictions; files that are there stay."""
    extension = settings.get("sem_seg_ext", "png")
    for kind in ("images", "labels"):
        (root / name / kind).mkdir(parents=True, exist_ok=True)
    for number, (prediction, label) in enumerate(zip(predictions, labels, strict=True)):
        image = np.stack([prediction & 255, prediction >> 8, prediction * 0], axis=2).astype(np.uint8)
        for path, array in ((f"images/{number}.png", image), (f"labels/{number}.{extension}", np.asarray(label))):
            if not (root / name / path).exists():
                Image.fromarray(array).save(root / name / path)
    register_sem_seg(name, root / name / "images", root / name / "labels", image_ext="png", **settings)


def random_set(root, name, images=6, classes=5, ignore=255, seed=0, **settings):
    """Register a data set of small random images of several sizes; the last class is never true."""
    random, last = np.random.default_rng(seed), classes - 1
    dtype = np.uint8 if ignore == 255 else np.uint16
    predictions, labels = [], []
    for _ in range(images):
        size = random.integers(3, 9, 2)
        label = random.integers(0, last, size)
        other = np.where(random.random(size) < 0.2, last, random.integers(0, classes, size))
        predictions.append(np.where(random.random(size) < 0.5, label, other))
        labels.append(np.where(random.random(size) < 0.2, ignore, label).astype(dtype))
    names = [f"class {i}" for i in range(classes)]
    write_set(root, name, predictions, labels, classes=names, ignore_label=ignore, **settings)
