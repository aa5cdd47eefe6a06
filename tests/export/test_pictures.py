"""An exported file beside the model, on pictures."""

import numpy as np
import pytest
from PIL import Image

from errseg.errors import UsageError
from errseg.export import PictureAgreement, agreement_on_pictures

from .conftest import ROWS, SIDE


@pytest.mark.parametrize("format", ("onnx", "torch_export"))
@pytest.mark.parametrize("open_vocabulary", (False, True), ids=("closed", "open"))
def test_pictures_of_the_models_own_size(runner, segmenter, pictures, format, open_vocabulary):
    done = agreement_on_pictures(runner(format, open_vocabulary), segmenter, pictures, open_vocabulary)
    assert len(done.agreement) == len(done.file_seconds) == len(done.own_seconds) == len(pictures)
    assert min(done.agreement) >= 0.999 and min(done.file_seconds + done.own_seconds) > 0


def test_a_picture_of_another_size_is_counted_at_its_own(segmenter, pictures, tmp_path):
    """A file that labels the left half alone with the first row, whatever it sees."""
    Image.fromarray(pictures[0]).resize((100, 30)).save(tmp_path / "wide.png")
    labels = np.zeros((1, SIDE, SIDE), np.int32)
    labels[:, :, SIDE // 2 :] = ROWS - 1
    seen = []

    def run(images, text):
        seen.append((images.shape, images.dtype, text.shape))
        return [labels, labels]

    (agreement,) = agreement_on_pictures(run, segmenter, [tmp_path / "wide.png"], open_vocabulary=True).agreement
    assert set(seen) == {((1, 3, SIDE, SIDE), np.dtype(np.uint8), (ROWS, 32))}
    result = segmenter(tmp_path / "wide.png")
    halves = result.labels[:, :50] == 0, result.labels[:, 50:] == len(segmenter.names) - 1
    assert result.labels.shape == (30, 100)
    assert agreement == pytest.approx(np.concatenate(halves, axis=1).mean())


def test_a_broken_picture_is_a_sentence(runner, segmenter, tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    with pytest.raises(UsageError, match=r"broken\.jpg"):
        agreement_on_pictures(runner("torch_export", False), segmenter, [tmp_path / "broken.jpg"])


def test_in_words():
    assert str(PictureAgreement([1.0, 0.98, 0.99], [0.5, 0.25, 1.5], [2.0, 4.0, 3.0])) == (
        "3 pictures: 99.00 % of the pixels labelled as errseg labels them (least 98.00 %), in 0.5 s (0.25 – 1.5) each; "
        "errseg itself 3 s (2 – 4)."
    )
    assert str(PictureAgreement([1.0], [0.5], [2.0])).startswith("1 picture: 100.00 % ")
