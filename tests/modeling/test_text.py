import pytest
import torch

from errseg.modeling.text import Prompter, embed_vocabulary

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
    vocabulary = prompter.vocabulary(["sofa, couch", "dog"])
    assert vocabulary.tokens.shape == (6, 77) and vocabulary.owner.tolist() == [0, 0, 0, 0, 1, 1]
    embeddings = embed_vocabulary(vocabulary, encode)
    expected = encode(vocabulary.tokens)[:4].mean(0)
    torch.testing.assert_close(embeddings[0], expected / expected.norm())


def test_chunks_change_nothing():
    vocabulary = Prompter(NAME, (PROMPT,)).vocabulary([f"name {i}" for i in range(300)])
    with torch.no_grad():
        chunked = embed_vocabulary(vocabulary, encode)
    torch.testing.assert_close(chunked, encode(vocabulary.tokens))


@pytest.mark.parametrize("names", [[], "cat", ["cat", " "], ["cat", " , "], ["cat", 3]])
def test_names_that_make_no_vocabulary(names):
    with pytest.raises(ValueError, match="vocabulary"):
        Prompter(NAME, (PROMPT,)).vocabulary(names)


@pytest.mark.parametrize(
    ("templates", "synonyms", "message"),
    [((), "first", "TEMPLATES"), (("a photo",), "first", "'a photo'"), ((PROMPT,), "all", "SYNONYMS = 'all'")],
)
def test_prompts_that_cannot_be(templates, synonyms, message):
    with pytest.raises(ValueError, match=message):
        Prompter(NAME, templates, synonyms)


def test_equal_prompts_are_listed_once(caplog):
    for _ in range(2):
        Prompter(NAME, (PROMPT,)).vocabulary(["bag", "cat", "bag, purse", "bag, sack"])
    assert len(caplog.records) == 1
    assert "0 (bag) = 2 (bag, purse) = 3 (bag, sack)" in caplog.text and "cat" not in caplog.text


def test_more_classes_than_names_keeps_all(caplog):
    for _ in range(2):
        assert Prompter(NAME, (PROMPT,)).vocabulary(["a", "b"], 48).num_classes == 2
    assert caplog.text.count("every class stays") == 1
    assert Prompter(NAME, (PROMPT,)).vocabulary(["a", "b"], 0).num_classes == 2
    with pytest.raises(ValueError, match="-1"):
        Prompter(NAME, (PROMPT,)).vocabulary(["a", "b"], -1)
