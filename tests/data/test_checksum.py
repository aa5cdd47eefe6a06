"""The checksum by which machines compare their data."""

import numpy as np
import pytest

from errseg.data import DataChecksum


def checksum(*images):
    result = DataChecksum()
    for name, label in images:
        result.add(name, np.array(label))
    return result


A, B = ("x/a.jpg", [[0, 1], [1, 255]]), ("x/b.jpg", [[2, 2], [2, 2]])


def test_neither_order_nor_folder_nor_processes_count():
    whole = checksum(A, B)
    assert whole.num_images == 2 and len(whole.hexdigest()) == 64
    assert checksum(B, ("/elsewhere/a.jpg", A[1])).hexdigest() == whole.hexdigest()
    assert checksum(("C:\\data\\a.jpg", A[1]), B).hexdigest() == whole.hexdigest()
    part = checksum(A)
    part.merge(DataChecksum(checksum(B).state()))
    assert part.hexdigest() == whole.hexdigest() and part.num_images == 2
    part.merge(DataChecksum())
    assert part.hexdigest() == whole.hexdigest()


@pytest.mark.parametrize(
    "other",
    [
        [A],
        [A, B, B],
        [A, ("x/c.jpg", B[1])],
        [A, ("x/b.jpg", [[2, 2], [2, 3]])],
        [("x/a.jpg", [[0, 0], [1, 255]]), B],
        [("x/a.jpg", B[1]), ("x/b.jpg", A[1])],
        [],
    ],
)
def test_every_difference_counts(other):
    assert checksum(*other).hexdigest() != checksum(A, B).hexdigest()


def test_the_number_is_the_same_everywhere():
    """It must never change: users compare tables of different versions."""
    assert checksum(A, B).hexdigest() == checksum(("a.jpg", np.uint16(A[1])), ("b.jpg", np.int64(B[1]))).hexdigest()
    assert checksum(A, B).hexdigest() == "dff83ddc87ebd066e2740c669b5af28fc7551770823bd4319d0d130ec346df0c"
