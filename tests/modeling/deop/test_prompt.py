"""The learned prompt, and the classification of regions."""

import pytest
import torch
import torch.nn.functional as F

from errseg.errors import UsageError
from errseg.modeling.clip import build_clip
from errseg.modeling.clip.prompts import Prompter
from errseg.modeling.deop.prompt import NAME_AND_STOP, FixedPrompt, LearnedPrompt, RegionClassifier, class_logits
from errseg.modeling.layers import call
from tests.conftest import DATA

CLIP_NAME = str(DATA / "tiny_vit.json")
NAMES = ["cat", "red car, automobile", "u.s. flag."]


@pytest.fixture
def clip():
    torch.manual_seed(0)
    return build_clip(CLIP_NAME).eval().requires_grad_(False)


def test_the_tokens_are_start_name_full_stop_end():
    prompter = Prompter(CLIP_NAME, NAME_AND_STOP, "whole", reserved=16)
    for name, tokens in zip(NAMES, prompter.tokenize(NAMES).tokens.tolist(), strict=True):
        assert tokens[: tokens.index(49407) + 1] == [49406, *prompter.tokenizer.encode(name), 269, 49407]


def test_the_vectors_stand_between_start_and_name(clip):
    prompt = LearnedPrompt(32, length=4)
    tokens = Prompter(CLIP_NAME, NAME_AND_STOP, "whole", 4).tokenize(NAMES).tokens
    found = prompt(clip, tokens, call)
    for row, ids in zip(found, tokens, strict=True):
        end = int(ids.argmax())
        embedded = clip.token_embedding(ids[: end + 1])
        x = torch.cat([embedded[:1], prompt.prefix, embedded[1:]])[None] + clip.positional_embedding[: end + 5]
        x = clip.ln_final(clip.transformer(x, attn_mask=clip.attn_mask[: end + 5, : end + 5]))[0, -1]
        torch.testing.assert_close(row, F.normalize(x @ clip.text_projection, dim=-1), atol=1e-5, rtol=1e-4)


def test_the_vectors_of_known_tokens_give_a_written_prompt(clip):
    """Learned vectors that equal the tokens of "a photo of a" give the embedding of that prompt."""
    prompt, written = LearnedPrompt(32, length=4), Prompter(CLIP_NAME, "a photo of a {} .", "whole").tokenize(NAMES)
    with torch.no_grad():
        prompt.prefix.copy_(clip.token_embedding(written.tokens[0, 1:5]))
    ours = prompt(clip, Prompter(CLIP_NAME, NAME_AND_STOP, "whole", 4).tokenize(NAMES).tokens, call)
    torch.testing.assert_close(ours, FixedPrompt()(clip, written.tokens, call), atol=1e-5, rtol=1e-4)


def test_gradients_reach_the_vectors(clip):
    prompt = LearnedPrompt(32, length=4)
    prompt(clip, Prompter(CLIP_NAME, NAME_AND_STOP, "whole", 4).tokenize(NAMES).tokens, call)[:, 0].sum().backward()
    assert (prompt.prefix.grad.abs().sum(1) > 0).all()
    assert not LearnedPrompt(32, 4, trained=False).prefix.requires_grad


def test_a_name_that_is_too_long_for_the_vectors():
    words = " ".join(["cat"] * 60)
    assert Prompter(CLIP_NAME, NAME_AND_STOP, "whole", reserved=14).tokenize([words]).names == (words,)
    with pytest.raises(UsageError, match="gives a prompt of 63 tokens, and the text tower reads 62; shorten it"):
        Prompter(CLIP_NAME, NAME_AND_STOP, "whole", reserved=15).tokenize([words])


def test_the_classifier_appends_the_no_object_embedding():
    classifier, text = RegionClassifier(6), F.normalize(torch.randn(3, 6), dim=-1)
    rows = classifier.rows(text)
    assert torch.equal(rows[:3], text)
    torch.testing.assert_close(rows[3], F.normalize(classifier.no_object[0], dim=-1))
    regions = F.normalize(torch.randn(2, 4, 6), dim=-1)
    torch.testing.assert_close(classifier(regions, text), 100 * torch.einsum("bnd,td->bnt", regions, rows))


def test_a_prompt_longer_than_the_tower(deop):
    with pytest.raises(UsageError, match="MODEL.PROMPT.LENGTH = 70 leaves no room for names in the 77 positions"):
        deop("MODEL.PROMPT.LENGTH", 70)


@torch.no_grad()
def test_synonyms_of_a_learned_prompt(deop):
    embeddings = {}
    for synonyms in ("whole", "first", "mean"):
        model = deop("MODEL.PROMPT.SYNONYMS", synonyms)
        for names in (["sky, heaven"], ["sky"], ["heaven"]):
            model.set_vocabulary(names)
            embeddings[synonyms, names[0]] = model.text_embeddings[0]
    sky, heaven = embeddings["whole", "sky"], embeddings["whole", "heaven"]
    torch.testing.assert_close(embeddings["first", "sky, heaven"], sky)
    torch.testing.assert_close(embeddings["mean", "sky, heaven"], F.normalize(sky + heaven, dim=-1))
    assert not torch.allclose(embeddings["whole", "sky, heaven"], sky, atol=1e-3)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_class_logits_are_float32_under_autocast(dtype):
    embeddings, text = (F.normalize(torch.randn(n, 64), dim=-1) for n in (5, 7))
    with torch.autocast("cpu", dtype):
        found = class_logits(embeddings, text)
    torch.testing.assert_close(found, 100 * embeddings @ text.T)
