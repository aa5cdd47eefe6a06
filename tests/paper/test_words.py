"""Table I counts the labels; Table IV compares names."""

import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog
from PIL import Image

from errseg.errors import UsageError
from errseg.mini import world
from errseg.paper.words import _text_tower, redundancy, similarity


def test_redundancy_is_that_of_the_labels(ask):
    sheet = redundancy(ask())
    assert [row.label for row in sheet.rows] == ["mini seen", "mini unseen", "mini large"]
    for row, name in zip(sheet.rows, ask().sets, strict=True):
        counts = [len(np.unique(Image.open(x["sem_seg_file_name"]))) for x in DatasetCatalog.get(name)]
        images, names, mean, redundant = (cell.value for cell in row.cells.values())
        assert (images, mean) == (len(counts), pytest.approx(sum(counts) / len(counts)))
        assert redundant == pytest.approx(100 * (1 - mean / names)) and names in (96, 800)


def test_missing_data_sets_are_one_sentence(ask):
    with pytest.raises(UsageError, match="is missing: there is no directory"):
        redundancy(ask(mini=False))


def test_similarity_is_the_best_cosine_with_a_name_of_the_training_set(ask, drawn):
    request = ask(checkpoints={"tiny": str(drawn / "run")})
    sheet = similarity(request)
    own = similarity(
        ask(checkpoints=request.checkpoints, names=["zebra, horse", *world.VOCABULARIES["train"][:3]])
    ).rows
    assert own[:3] == sheet.rows and own[3].label == "the given names" and len(own) == 4
    assert own[3].cells["names"].value == 5 and own[3].cells["= 1 (%)"].value >= 60
    trained = set(world.VOCABULARIES["train"])
    model = _text_tower(request)
    with torch.no_grad():
        seen, train = (model.encode_names(model.tokenize(world.VOCABULARIES[x])) for x in ("seen", "train"))
    best = (seen @ train.T).max(1).values
    for row, split in zip(sheet.rows, ("seen", "unseen", "large"), strict=True):
        names = world.VOCABULARIES[split]
        values = [cell.value for cell in row.cells.values()]
        assert values[0] == len(names) and values[1] >= 100 * np.mean([name in trained for name in names]) - 1e-3
        assert values[1:] == sorted(values[1:])
    assert sheet.rows[0].cells["> 0.9 (%)"].value == pytest.approx(100 * float((best > 0.9).float().mean()))
