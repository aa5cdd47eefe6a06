import pytest
import torch

from errseg.data.vocabularies import load_vocabulary, vocabulary_names
from errseg.errors import UsageError
from errseg.modeling.clip import prompts
from errseg.modeling.clip.embedding import embed_names
from errseg.modeling.clip.prompts import Prompter

PROMPT = "A photo of a {} in the scene"
NAME = "convnext_base_w_320"


def encode(tokens):
    """A stand-in for the text tower: a fixed random unit vector for each prompt."""
    vectors = [torch.randn(6, generator=torch.Generator().manual_seed(int(row.sum()))) for row in tokens]
    return torch.nn.functional.normalize(torch.stack(vectors), dim=-1)


def test_first_synonym_is_the_papers():
    prompter = Prompter(NAME, (PROMPT,))
    assert prompter.prompts(" sofa, couch") == ["A photo of a sofa in the scene"]
    assert prompter.prompts("{x}") == ["A photo of a {x} in the scene"]


def test_mean_of_synonyms_and_templates():
    prompter = Prompter(NAME, (PROMPT, "a {}"), synonyms="mean")
    assert len(prompter.prompts("sofa, couch")) == 4
    vocabulary = prompter.tokenize(["sofa, couch", "dog"])
    assert vocabulary.tokens.shape == (6, 77) and vocabulary.owner.tolist() == [0, 0, 0, 0, 1, 1]
    embeddings = embed_names(vocabulary, encode)
    expected = encode(vocabulary.tokens)[:4].mean(0)
    torch.testing.assert_close(embeddings[0], expected / expected.norm())


def test_chunks_change_nothing():
    vocabulary = Prompter(NAME, (PROMPT,)).tokenize([f"name {i}" for i in range(300)])
    with torch.no_grad():
        chunked = embed_names(vocabulary, encode)
    torch.testing.assert_close(chunked, encode(vocabulary.tokens))


@pytest.mark.parametrize("names", [[], "cat", ["cat", " "], ["cat", " , "], ["cat", 3]])
def test_names_that_make_no_vocabulary(names):
    with pytest.raises(ValueError, match="vocabulary"):
        Prompter(NAME, (PROMPT,)).tokenize(names)


@pytest.mark.parametrize(
    ("templates", "synonyms", "message"),
    [((), "first", "templates"), (("a photo",), "first", "'a photo'"), ((PROMPT,), "all", "synonyms = 'all'")],
)
def test_prompts_that_cannot_be(templates, synonyms, message):
    with pytest.raises(ValueError, match=message):
        Prompter(NAME, templates, synonyms)


@pytest.mark.parametrize(
    ("first", "second", "synonyms"),
    [
        ("bag", "bag, purse", "first"),
        ("bag, purse", "purse, bag", "mean"),
        ("Red Car", " red  car", "first"),
        ("caf\u00e9", "cafe\u0301", "first"),  # composed and decomposed
        ("ｃａｒ", "car", "first"),  # full width
        ("AT&amp;T", "at&t", "first"),
    ],
)
def test_names_that_the_text_tower_cannot_tell_apart_are_refused(first, second, synonyms):
    prompter = Prompter(NAME, (PROMPT, "{}"), synonyms)
    with pytest.raises(UsageError, match=r"\(id 1\) and .* \(id 3\) are the same to the model") as error:
        prompter.tokenize(["dog", first, "cat", second])
    assert repr(first) in str(error.value)
    assert len(prompter.tokenize(["dog", first, "cat"]).names) == 3


def test_names_of_which_the_text_tower_reads_a_part_are_refused():
    """Two that differ behind the last token it reads would be the same to it."""
    prompter = Prompter(NAME, (PROMPT,))
    long = "word " * 67
    assert prompter.tokenize([f"{long}a"]).tokens[0].count_nonzero() == 77  # as many as fit
    for name in (f"{long}a b", f"{long}a c"):
        with pytest.raises(UsageError, match="'word word .* gives a prompt of 78 tokens, .* reads 77; shorten it"):
            prompter.tokenize(["cat", name])


def test_equal_names_of_a_published_label_set_are_listed_once(caplog):
    prompts._say_once.cache_clear()  # another test of this process may have made them say it
    names = load_vocabulary("ade20k_847").prompts
    for _ in range(2):
        vocabulary = Prompter(NAME, (PROMPT,)).tokenize([*names, "unicorn"])
    assert len(caplog.records) == 1 and caplog.text.count(" = ") == 10 and len(vocabulary.names) == 848
    first, second = (i for i, name in enumerate(names) if name.split(",")[0] == "pot")
    assert f"{first} ({names[first]}) = {second} ({names[second]})" in caplog.text
    for changed in ([*names, "Pot"], [names[second], names[first]], names[: second + 1]):
        with pytest.raises(UsageError, match="the same to the model"):
            Prompter(NAME, (PROMPT,)).tokenize(changed)


@pytest.mark.parametrize("name", vocabulary_names())
def test_the_vocabularies_of_this_package_are_taken(name):
    names = load_vocabulary(name).prompts
    assert Prompter(NAME, (PROMPT,)).tokenize(names).names == names


def test_more_classes_than_names_keeps_all(caplog):
    prompts._say_once.cache_clear()
    for _ in range(2):
        assert Prompter(NAME, (PROMPT,)).tokenize(["a", "b"], 48).num_kept == 2
    assert caplog.text.count("every name stays") == 1
    assert Prompter(NAME, (PROMPT,)).tokenize(["a", "b"], 0).num_kept == 2
    with pytest.raises(ValueError, match="-1"):
        Prompter(NAME, (PROMPT,)).tokenize(["a", "b"], -1)


def test_a_name_that_holds_the_end_of_a_prompt():
    with pytest.raises(UsageError, match="The name 'a <end_of_text> b' holds the token that ends a prompt"):
        Prompter("ViT-B-16", "a photo of a {}").tokenize(["cat", "a <end_of_text> b"])
