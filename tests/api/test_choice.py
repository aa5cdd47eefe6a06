"""One Segmenter, several threads, several vocabularies: each call is of the names that it began with."""

import copy
import pickle
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, islice

import numpy as np
import pytest

import errseg
from errseg.errors import UsageError

VOCABULARIES = [
    ["cat", "grass", "sky, heaven", "red car"],
    ["dog", "cup"],
    {"plant": ["tree", "flower"], "road": [], "wall": ["brick"], "lake": []},
    [f"thing {i}" for i in range(40)],
]


@pytest.fixture
def segmenter(build, tiny_cfg):
    return errseg.Segmenter(build("MODEL.CRM.NUM_CLASSES_TEST", 3), tiny_cfg)


@pytest.fixture
def often():
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def picture(seed=0, size=(40, 56)):
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)


def same(one, other):
    return (
        one.names == other.names
        and one.kept == other.kept
        and np.array_equal(one.labels, other.labels)
        and np.array_equal(one.scores, other.scores)
    )


def expected_of(segmenter, image):
    results = []
    for names in VOCABULARIES:
        segmenter.set_vocabulary(names)
        results.append(segmenter(image))
    return results


def test_threads_with_vocabularies_of_their_own(segmenter, often):
    image = picture()
    expected = expected_of(segmenter, image)

    def work(number):
        """Sets all vocabularies in turn, or its own once."""
        right = 0
        for i in range(10):
            mine = (number + i) % 4 if number < 4 else number % 4
            if number < 4 or i == 0:
                segmenter.set_vocabulary(VOCABULARIES[mine])
            right += same(segmenter(image), expected[mine]) and segmenter.names == expected[mine].names
        return right

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(work, range(6))) == [10] * 6


def test_threads_that_set_none_follow_the_latest(segmenter):
    image = picture()
    expected = expected_of(segmenter, image)
    with ThreadPoolExecutor(1) as pool:
        assert same(pool.submit(segmenter, image).result(), expected[-1])
        segmenter.set_vocabulary(VOCABULARIES[0])
        assert same(pool.submit(segmenter, image).result(), expected[0])


def test_a_vocabulary_set_in_the_middle_of_a_call(segmenter):
    """The call of another thread has begun, and is encoding the image."""
    image = picture()
    expected = expected_of(segmenter, image)
    encoding, go_on = threading.Event(), threading.Event()
    segmenter.set_vocabulary(VOCABULARIES[0])

    def wait(*_):
        encoding.set()
        assert go_on.wait(60)

    handle = segmenter.model.backbone.register_forward_pre_hook(wait)
    with ThreadPoolExecutor(1) as pool:
        called = pool.submit(segmenter, image)
        assert encoding.wait(60)
        handle.remove()
        segmenter.set_vocabulary(VOCABULARIES[1])
        now = segmenter(image)
        go_on.set()
        assert same(called.result(), expected[0]) and same(now, expected[1])


@pytest.mark.parametrize("batch_size", [1, 2])
def test_a_generator_keeps_the_vocabulary_it_began_with(segmenter, batch_size):
    images = [picture(i) for i in range(4)]
    segmenter.set_vocabulary(VOCABULARIES[0])
    expected = segmenter(images, background="nothing", min_confidence=0.4)
    results = segmenter(iter(images), background="nothing", min_confidence=0.4, batch_size=batch_size)
    for names, (result, alone) in zip(cycle(VOCABULARIES), zip(results, expected, strict=True), strict=False):
        assert result.names == alone.names and (result.labels == alone.labels).mean() > 0.999
        segmenter.set_vocabulary(names)  # before the first result is asked for, between them, and within a batch


def test_generators_in_turns(segmenter):
    image = picture()
    expected, generators = expected_of(segmenter, image), []
    for names in VOCABULARIES:
        segmenter.set_vocabulary(names)
        generators.append(segmenter(image for _ in range(3)))
    for number, generator in islice(cycle(enumerate(generators)), 12):
        assert same(next(generator), expected[number])


def test_a_failure_leaves_the_vocabulary_of_before(segmenter, monkeypatch):
    image = picture()
    segmenter.set_vocabulary(VOCABULARIES[0])
    before = segmenter(image)

    def fail(tokens):
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(segmenter.model.backbone, "encode_text", fail)
        with pytest.raises(MemoryError):
            segmenter.set_vocabulary(VOCABULARIES[1])
    for names, options in ((["cat", "CAT"], {}), (["dog"], {"num_classes": -1}), (["a " * 99], {})):
        with pytest.raises(UsageError):
            segmenter.set_vocabulary(names, **options)
    assert same(segmenter(image), before)
    assert segmenter.encoded.tokenized is segmenter.model.vocabulary and len(segmenter.encoded.text) == 5


def test_a_model_in_training_mode_is_a_sentence(segmenter):
    image = picture()
    segmenter.set_vocabulary(VOCABULARIES[0])
    before, results = segmenter(image), segmenter(iter([image]))
    segmenter.model.train()
    for call in (lambda: segmenter(image), lambda: next(results), lambda: segmenter.embed(image)):
        with pytest.raises(UsageError, match=r"in training mode; call segmenter\.model\.eval\(\)"):
            call()
    segmenter.set_vocabulary(VOCABULARIES[1])
    segmenter.model.eval()
    assert segmenter(image).names == ("dog", "cup")
    segmenter.set_vocabulary(VOCABULARIES[0])
    assert same(segmenter(image), before)


def test_weights_that_change_count_at_once(segmenter, build, tiny_cfg):
    image = picture()
    segmenter.set_vocabulary(VOCABULARIES[0])
    state = {key: value * 0.5 for key, value in segmenter.model.state_dict().items()}
    fresh = errseg.Segmenter(build(), tiny_cfg)
    fresh.model.load_state_dict(state)
    fresh.set_vocabulary(VOCABULARIES[0])
    segmenter.model.load_state_dict(state)
    assert same(segmenter(image), fresh(image))


def test_segmenters_of_one_model_have_their_own_vocabularies(segmenter, tiny_cfg):
    image = picture()
    expected = expected_of(segmenter, image)
    others = [errseg.Segmenter(segmenter.model, tiny_cfg) for _ in VOCABULARIES]
    for other, names in zip(others, VOCABULARIES, strict=True):
        other.set_vocabulary(names)
    assert all(same(other(image), result) for other, result in zip(others, expected, strict=True))
    segmenter.model.set_vocabulary(["ant", "bee", "wasp"])
    assert same(segmenter(image), expected[-1])


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda made: pickle.loads(pickle.dumps(made))])
def test_copies(segmenter, copied):
    image = picture()
    segmenter.set_vocabulary(VOCABULARIES[0])
    other = copied(segmenter)
    assert same(other(image), segmenter(image))
    other.set_vocabulary(VOCABULARIES[1])
    assert len(segmenter.names) == 4 and len(other.names) == 2
