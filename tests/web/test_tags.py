import pytest

from errseg.data.vocabularies import load_vocabulary
from errseg.errors import UsageError
from errseg.web.tags import MAX_NAME_LENGTH, names_of, tidy, vocabulary_of


@pytest.mark.parametrize(
    ("typed", "neat", "names"),
    [
        (["cat", "dog"], ["cat", "dog"], ["cat", "dog"]),
        (["cat, dog,, grass "], ["cat", "dog", "grass"], ["cat", "dog", "grass"]),
        (['"sky, heaven"', "sea"], ['"sky, heaven"', "sea"], ["sky, heaven", "sea"]),
        (["Cat", "cat", " "], ["Cat"], ["Cat"]),
        (['5" pipe'], ['5" pipe'], ['5" pipe']),
        (['"""quoted"""'], ['"""quoted"""'], ['"quoted"']),
        (["Größe, 猫"], ["Größe", "猫"], ["Größe", "猫"]),
        ([], [], []),
    ],
)
def test_tidy(typed, neat, names):
    assert tidy(typed, 10) == neat
    assert tidy(neat, 10) == neat  # or the page would never come to rest
    assert names_of(neat) == names


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ([str(i) for i in range(11)], "There are 11 names, and this page accepts 10"),
        ([", ".join(map(str, range(11)))], "There are 11 names, and this page accepts 10"),
        (["a" * (MAX_NAME_LENGTH + 1)], f"has {MAX_NAME_LENGTH + 1} characters"),
        (["a" * (10 * MAX_NAME_LENGTH + 1)], "far too long"),
        ([["cat"]], "is no text"),
        (['"sky, heaven'], "odd quote"),
    ],
)
def test_tags_that_are_refused(typed, words):
    with pytest.raises(UsageError, match=words):
        tidy(typed, 10)


def test_vocabulary_of_names():
    vocabulary = vocabulary_of(["cat", "sky, heaven"], "", 10)
    assert vocabulary.classes == ("cat", "sky, heaven")
    assert vocabulary.prompts == ("cat", "sky", "heaven")


def test_names_beside_a_vocabulary():
    base = load_vocabulary("voc_21")  # whose background has several prompts
    vocabulary = vocabulary_of(["Cat", "grass, lawn"], "voc_21", 30)
    assert vocabulary.classes == (*base.classes, "grass, lawn")  # cat is there already
    assert vocabulary.prompts == (*base.prompts, "grass", "lawn")
    assert vocabulary.prompt_classes == (*base.prompt_classes, 21, 21)
    assert vocabulary_of(["cat"], "voc_21", 30) == base


@pytest.mark.parametrize(
    ("names", "title", "words"),
    [
        ([], "", "There are no names"),
        (["cat", "CAT"], "", "are the same"),
        (["grass"], "voc_20", "There are 21 names, and this page accepts 20"),
        ([], "../secret", "There is no vocabulary"),
    ],
)
def test_vocabularies_that_are_refused(names, title, words):
    with pytest.raises(UsageError, match=words):
        vocabulary_of(names, title, 20)
