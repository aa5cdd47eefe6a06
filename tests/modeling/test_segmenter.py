"""From images to predictions: the views of images of any size, in batches.

The system of these tests labels each pixel by its colour, and pads its input itself. So whatever shows every pixel at
its own size gives the same prediction.
"""

import pytest
import torch
import torch.nn.functional as F

from errseg.errors import UsageError
from errseg.modeling import OpenVocabularySegmenter
from errseg.modeling.prediction import Prediction, labels_and_confidences
from errseg.modeling.views import Views
from errseg.modeling.vocabulary import EncodedNames, TokenizedNames

NAMES = ("red", "green", "blue", "grey")
SIZES = [(37, 53), (64, 64), (37, 53), (70, 33)]
OTHER_SIZE = {"height": 50, "width": 40}


class Colors(OpenVocabularySegmenter):
    text_is_trained = False

    def __init__(self, **views):
        super().__init__((128.0,) * 3, (50.0,) * 3, Views(64, **{"native": True, **views}))
        self.seen = []  # shapes of the batches
        self.eval()

    def segment(self, images, text, num_kept, show=False):
        self.seen.append(tuple(images.shape))
        height, width = images.shape[-2:]
        padded = F.pad(images, (0, -width % 32, 0, -height % 32))
        maps = padded.sigmoid()[..., :height, :width]
        kept = torch.arange(text.shape[0]).expand(images.shape[0], -1)
        mix = text.expand(images.shape[0], -1, -1)
        return Prediction(maps, kept, total=torch.ones_like(mix[:, :1]), mix=mix)


def resized(maps, size):
    return F.interpolate(maps[None], size, mode="bilinear")[0]


def predict(model, batch):
    text = torch.cat([torch.eye(3), torch.full((1, 3), 0.34)])
    encoded = EncodedNames(TokenizedNames(NAMES, len(NAMES), torch.arange(4), torch.arange(4)), text)
    with torch.no_grad():
        views = model.predict_views(batch, encoded)
    sizes = [(each.get("height", each["image"].shape[1]), each.get("width", each["image"].shape[2])) for each in batch]
    return [labels_and_confidences(*each) for each in zip(views, sizes, strict=True)]


@pytest.fixture
def batch():
    random = torch.Generator().manual_seed(0)
    images = [F.interpolate(torch.rand(1, 3, 5, 4, generator=random) * 255, size, mode="bilinear")[0] for size in SIZES]
    return [{"image": image.byte()} for image in images]


def test_an_image_is_seen_at_its_own_size(batch):
    model = Colors()
    labels, _ = predict(model, batch[:1])[0]
    assert model.seen == [(1, 3, 37, 53)] and len(labels.unique()) > 2
    maps = ((batch[0]["image"] - 128.0) / 50).sigmoid()
    scores = torch.cat([maps, 0.34 * maps.sum(0, keepdim=True)])
    assert (scores.argmax(0) == labels).float().mean() > 0.999


def test_images_of_one_size_share_a_batch_and_others_change_nothing(batch):
    model = Colors()
    found = predict(model, batch)
    assert sorted(model.seen) == [(1, 3, 64, 64), (1, 3, 70, 33), (2, 3, 37, 53)]
    for inputs, each in zip(batch, found, strict=True):
        torch.testing.assert_close([each], predict(Colors(), [inputs]))


@pytest.mark.parametrize("options", [{"flip": True}, {"sliding_window": True}, {"sliding_window": True, "flip": True}])
def test_mirrors_and_windows_of_pixels_change_nothing(options, batch):
    model = Colors(**options)
    batch[0] |= OTHER_SIZE
    found, expected = predict(model, batch), predict(Colors(), batch)
    assert all(max(shape[-2:]) <= 64 for shape in model.seen) or not model.views.sliding_window
    for one, other in zip(found[1:], expected[1:], strict=True):
        torch.testing.assert_close(one, other)
    assert found[0][0].shape == (50, 40) and (found[0][0] == expected[0][0]).float().mean() > 0.99


def test_scales_are_of_the_images_own_size(batch):
    model = Colors(scales=(0.5, 1.0, 2.0))
    _, confidences = predict(model, batch[:1])[0]
    assert model.seen == [(1, 3, 18, 26), (1, 3, 37, 53), (1, 3, 74, 106)]
    maps = [resized((batch[0]["image"] - 128.0) / 50, shape[-2:]).sigmoid() for shape in model.seen]
    maps = sum(resized(each, (37, 53)) for each in maps)
    torch.testing.assert_close(confidences, maps.amax(0).maximum(0.34 * maps.sum(0)) / maps.sum(0))


@pytest.mark.parametrize("shape", [(1, 40, 40), (4, 40, 40), (40, 40, 3), (40, 40), (3, 0, 5)])
@pytest.mark.parametrize("training", [False, True])
def test_an_image_of_another_shape_is_one_sentence(shape, training):
    model = Colors()
    model.training = training
    with pytest.raises(UsageError, match=r"An image is a tensor of shape .*; give \(3, H, W\), RGB from 0 to 255"):
        model([{"image": torch.zeros(shape)}])


def test_labels_that_cannot_be_stacked():
    batch = [{"sem_seg": torch.zeros(4, 6)}, {"sem_seg": torch.zeros(4, 5), "file_name": "b.png"}]
    with pytest.raises(UsageError, match=r"b.png has labels of the size \(4, 5\), and the first image .* \(4, 6\)"):
        Colors.stack_labels(batch)
    with pytest.raises(UsageError, match="no images to train on"):
        Colors.stack_labels([])
