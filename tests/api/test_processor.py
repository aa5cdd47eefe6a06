"""The interface of transformers: its results are those of the segmenter."""

import pytest
import torch

from errseg.errors import UsageError
from errseg.modeling.layers import resize
from tests.tiny import SYSTEMS, blobs, tiny_segmenter

NAMES = ["cat", "grass", "sky, heaven", "sea"]
OWNERS = [0, 1, 2, 2, 3]  # of the prompts: "sky" and "heaven" are two


@pytest.fixture(scope="module")
def segmenters():
    """A segmenter of each system, with names."""
    made = {system: tiny_segmenter(system) for system in SYSTEMS}
    for each in made.values():
        each.set_vocabulary(NAMES)
    return made


@pytest.mark.parametrize("system", SYSTEMS)
def test_code_written_for_transformers(segmenters, system):
    segmenter, images = segmenters[system], [blobs(), blobs(seed=4)]
    processor, model = segmenter.processor, segmenter.model

    inputs = processor(images=images, return_tensors="pt").to("cpu")
    with torch.no_grad():
        outputs = model(**inputs)
    maps = processor.post_process_semantic_segmentation(outputs, target_sizes=[image.shape[:2] for image in images])

    expected = segmenter(images, batch_size=2)
    assert len(outputs) == 2 and inputs.pixel_values is inputs["pixel_values"]
    for labels, result in zip(maps, expected, strict=True):
        assert labels.dtype == torch.int64 and (labels.numpy() == result.labels).all()
    assert outputs["logits"].shape[:2] == (2, len(OWNERS))
    with torch.no_grad():  # the scores too, for a label map of few names tells little
        scores = model([segmenter.inputs(image) for image in images])
    for logits, each in zip(resize(outputs.logits, images[0].shape[:2]), scores, strict=True):
        torch.testing.assert_close(logits, each["sem_seg"], rtol=1e-4, atol=1e-5)
        assert logits.std() > 1e-3
    for labels, logits in zip(processor.post_process_semantic_segmentation(outputs), outputs.logits, strict=True):
        assert (labels == torch.tensor(OWNERS)[logits.argmax(0)]).float().mean() > 0.999


@pytest.mark.parametrize("system", SYSTEMS)
def test_pictures_of_several_sizes(segmenters, system):
    segmenter, images = segmenters[system], [blobs(), blobs(64, 40, seed=4)]
    inputs = segmenter.processor(images, return_tensors=None)
    with torch.no_grad():
        outputs = segmenter.model(**inputs)
    sizes = torch.tensor([image.shape[:2] for image in images])
    maps = segmenter.processor.post_process_semantic_segmentation(outputs, target_sizes=sizes)
    assert all((labels.numpy() == result.labels).all() for labels, result in zip(maps, segmenter(images), strict=True))
    if segmenter.model.views.native:
        with pytest.raises(UsageError, match=r"sees these pictures at 2 sizes.*return_tensors=None"):
            segmenter.processor(images)
    else:
        assert segmenter.processor(images).pixel_values.shape == (2, 3, 64, 64)


def test_what_has_no_place_in_this_interface(segmenters):
    segmenter = segmenters["ERRSeg"]
    processor, model = segmenter.processor, segmenter.model
    outputs = model(**processor(blobs()))
    for call, words in (
        (lambda: processor(blobs(), return_tensors="np"), "return_tensors = 'np'"),
        (lambda: processor([]), "There are no pictures"),
        (lambda: processor.post_process_semantic_segmentation(outputs, [(9, 9), (9, 9)]), "2 sizes for 1 pictures"),
        (lambda: processor.post_process_semantic_segmentation(outputs, [(9, 0)]), r"target_sizes has \(9, 0\)"),
        (lambda: model(pixel_values=torch.zeros(1, 64, 64, 3)), "shape .1, 64, 64, 3.; give .B, 3, h, w"),
        (lambda: model(), "without pictures; give batched_inputs or pixel_values"),
    ):
        with pytest.raises(UsageError, match=words):
            call()
    with pytest.raises(AttributeError):
        processor(blobs()).pixel_mask  # noqa: B018
    several = tiny_segmenter("ERRSeg", "TEST.FLIP", True)
    with pytest.raises(UsageError, match="sees 2 views of a picture .TEST.SCALES, TEST.FLIP"):
        several.processor(blobs())
    several.set_vocabulary(["cat", "dog"])
    with pytest.raises(UsageError, match="outputs are of other names"):
        several.processor.post_process_semantic_segmentation(outputs)
    several.model.train()
    with pytest.raises(UsageError, match="in training mode"):
        several.model(pixel_values=torch.zeros(1, 3, 64, 64))
