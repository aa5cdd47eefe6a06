"""Names as people give them."""

import json
from itertools import count

import pytest

from errseg.api.names import as_vocabulary, names_from_file, names_from_text
from errseg.data.vocabularies import load_vocabulary
from errseg.errors import UsageError
from errseg.mini.world import VOCABULARIES
from tests.data.third_party import NAMES, write_dataset


def test_a_list_with_synonyms_and_odd_spaces():
    vocabulary = as_vocabulary(["cat", " sky,\n heaven ", "Ärger 猫"])
    assert vocabulary.classes == ("cat", "sky, heaven", "Ärger 猫")
    assert vocabulary.prompts == ("cat", "sky", "heaven", "Ärger 猫")
    assert vocabulary.prompt_classes == (0, 1, 1, 2)


def test_synonyms_by_name():
    vocabulary = as_vocabulary({"person": ["man", "woman, lady"], "sky": []})
    assert vocabulary.classes == ("person", "sky")
    assert vocabulary.prompts == ("person", "man", "woman", "lady", "sky")
    assert vocabulary.prompt_classes == (0, 0, 0, 0, 1)


def test_a_shared_synonym_belongs_to_the_first():
    vocabulary = as_vocabulary({"sofa": ["couch"], "bed": ["Couch", "cot"]})
    assert vocabulary.prompts == ("sofa", "couch", "bed", "cot") and vocabulary.prompt_classes == (0, 0, 1, 1)


def test_vocabularies_of_this_package_are_asked_for_as_they_are():
    assert as_vocabulary("ade20k_150") == load_vocabulary("ade20k_150")
    assert as_vocabulary(load_vocabulary("voc_21")).prompt_classes[-2:] == (20, 20)


def test_names_of_data_sets(tmp_path):
    """Registered ones, and those of a file, are asked for as in an evaluation."""
    assert as_vocabulary("mini_large_sem_seg").classes == VOCABULARIES["large"]
    background = as_vocabulary("voc_2012_test_background_sem_seg")
    assert background.prompt_classes == load_vocabulary("voc_21").prompt_classes
    assert as_vocabulary(str(write_dataset(tmp_path))).classes == tuple(NAMES)
    with pytest.raises(UsageError, match=r"gone\.yaml does not exist"):
        as_vocabulary(str(tmp_path / "gone.yaml"))


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ([], "no names"),
        ({}, "no names"),
        ("cat", "give a list of names, or one of ade20k_150"),
        (["cat", " "], "blank"),
        (["cat", ", ,"], "blank"),
        ({"cat": [""]}, "blank"),
        (["cat", 3], "3 is no text"),
        (["cat", "cat "], "'cat' is there twice"),
        (["Cat", "cat"], "'Cat' and 'cat' are the same"),
        (["cat, dog", "dog, cat"], "are the same"),
        (["a\x00b"], "cannot be shown"),
        (["a\u202eb"], "cannot be shown"),
        (b"cat", "names are b'cat'; give a list"),
        (count(), "The name 0 is no text"),
        ((f"name {i}" for i in count()), "more than 20 names"),
        (["a" * 10**6, "a" * 10**6], "The name 'aaa.*aaa' is there twice"),
        ({"caf\u00e9": [], "CAFE\u0301": []}, "are the same to the model"),
        ({0: "cat", 2: "dog"}, "none to 1"),
        ("gone.txt", "gone.txt does not exist"),
        (None, "names are None; give a list"),
        (3, "names are 3; give a list"),
        ({"cat": None}, "synonyms of 'cat' are None; give a list"),
    ],
    ids=lambda value: str(value)[:25],
)
def test_what_is_no_vocabulary(names, words, monkeypatch):
    monkeypatch.setattr("errseg.api.names.MOST_NAMES", 20)
    with pytest.raises(UsageError, match=words) as error:
        as_vocabulary(names)
    assert len(str(error.value)) < 500


def test_names_by_id_and_in_files(tmp_path):
    (tmp_path / "names.txt").write_text("1 cat\n2 red car\n")
    for names in ({0: "cat", 1: "red car"}, {"0": "cat", "1": "red car"}, tmp_path / "names.txt"):
        assert as_vocabulary(names).classes == ("cat", "red car")
    assert as_vocabulary(str(tmp_path / "names.txt")).prompts == ("cat", "red car")
    assert as_vocabulary({"caf\u00e9": ["CAFE\u0301", "bar"]}).prompts == ("caf\u00e9", "bar")  # one synonym


def test_joiners_are_letters_of_some_languages():
    names = ("می\u200cخواهم", "क्\u200dष", "👩\u200d🚀")
    assert as_vocabulary(names).classes == as_vocabulary(iter(names)).prompts == names


def test_a_line_of_text():
    assert names_from_text(' cat, "sky, heaven" ,grass,, ') == ["cat", "sky, heaven", "grass"]
    assert names_from_text("men's shoe, 5\" screen") == ["men's shoe", '5" screen']
    for text in ("", " , ", '"cat, dog', 'a, "b" c'):
        with pytest.raises(UsageError, match="odd quote|no names"):
            names_from_text(text)


def test_files(tmp_path):
    text, listing, synonyms = tmp_path / "names.txt", tmp_path / "names.json", tmp_path / "synonyms.json"
    text.write_text("cat\n\nsky, heaven\n猫\n", encoding="utf-8")
    listing.write_text(json.dumps(["cat", "dog"]))
    synonyms.write_text(json.dumps({"cat": ["kitten"]}))
    assert names_from_file(text) == ["cat", "sky, heaven", "猫"]
    assert names_from_file(str(listing)) == ["cat", "dog"] and names_from_file(synonyms) == {"cat": ["kitten"]}
    for content in ("[]", "3", "{", '[3, "cat"]', '["cat", "cat"]'):
        listing.write_text(content)
        with pytest.raises(UsageError, match=r"names\.json"):
            names_from_file(listing)
    text.write_bytes(b"caf\xe9")
    with pytest.raises(UsageError, match="UTF-8"):
        names_from_file(text)
    with pytest.raises(UsageError, match="does not exist"):
        names_from_file(tmp_path / "none.txt")
