"""The embeddings of many prompts are kept on disk, by prompt and text tower."""

import os
import shutil

import pytest
import torch

from errseg.errors import UsageError
from errseg.modeling.clip import embedding, prompts, text_cache
from tests.conftest import NAMES
from tests.tiny import tiny_cfg_of, tiny_model

OTHERS = ["dog", "cup", "street lamp"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The folder of the cache, which takes vocabularies of two names already, in files of three prompts."""
    monkeypatch.setenv("ERRSEG_TEXT_CACHE", str(tmp_path / "cache"))
    for module in (embedding, prompts, text_cache):
        monkeypatch.setattr(module, "MANY", 2)
    monkeypatch.setattr(text_cache, "ROWS", 3)
    return tmp_path / "cache"


@pytest.fixture
def encoded(monkeypatch):
    """The number of prompts that text towers have encoded, as a list with an entry for each call."""
    from errseg.modeling.clip import text_tower

    calls, before = [], text_tower.encode_embedded

    def count(clip, first, rest, *others):
        calls.append(len(rest))
        return before(clip, first, rest, *others)

    for module in ("errseg.modeling.clip.text_tower", "errseg.modeling.deop.prompt"):
        monkeypatch.setattr(f"{module}.encode_embedded", count)
    return calls


def text_of(model, names):
    model.set_vocabulary(names)
    return model.text_embeddings


@pytest.mark.parametrize("system", ["ERRSeg", "SED", "CATSeg", "DeOP"])
def test_a_prompt_is_encoded_once(folder, encoded, system):
    cfg = tiny_cfg_of(system)
    model = tiny_model(cfg).eval()
    shutil.rmtree(folder, ignore_errors=True)
    encoded.clear()
    first, prompts_of_name = text_of(model, NAMES), len(model.tokenize(["dog"]).tokens)
    assert sum(encoded) >= len(NAMES)
    again = tiny_model(cfg).eval()
    encoded.clear()
    assert torch.equal(text_of(again, NAMES), first) and not encoded
    mixed = text_of(again, [NAMES[4], *OTHERS, NAMES[0]])  # only what is new
    assert sum(encoded) == prompts_of_name * len(OTHERS)
    torch.testing.assert_close(mixed[[0, 4]], first[[4, 0]], rtol=0, atol=1e-6)
    again.caches_text = False
    torch.testing.assert_close(text_of(again, [NAMES[4], *OTHERS, NAMES[0]]), mixed)


def test_other_weights_have_other_embeddings(folder, build):
    model = build().eval()
    before = model.text_embeddings
    with torch.no_grad():
        weight = model.backbone.clip.ln_final.weight
        weight.mul_(torch.linspace(0.5, 2, len(weight)))
    changed = text_of(model, NAMES)
    model.caches_text = False
    torch.testing.assert_close(changed, text_of(model, NAMES))
    assert (changed - before).abs().max() > 0.01


@pytest.mark.parametrize("damage", ["cut", "changed", "foreign"])
def test_a_damaged_file_is_made_again(folder, build, caplog, damage):
    model = build().eval()
    expected = model.text_embeddings
    for path in sorted(folder.iterdir()):
        content = path.read_bytes()
        if damage == "cut":
            content = content[:-5]
        elif damage == "changed":
            content = content[:-5] + bytes([content[-5] ^ 64]) + content[-4:]
        path.write_bytes(b"[1, 2]" if damage == "foreign" else content)
    torch.testing.assert_close(text_of(model, NAMES), expected)
    warnings = [record.getMessage() for record in caplog.records if "text cache is damaged" in record.getMessage()]
    assert len(warnings) == 2 and all("made again" in each for each in warnings)  # of embeddings, and of tokens
    caplog.clear()
    assert torch.equal(text_of(model, NAMES), model.text_embeddings) and "damaged" not in caplog.text


def test_the_folder_stays_within_its_limit(folder, build, monkeypatch):
    model = build().eval()
    for path in folder.iterdir():
        os.utime(path, (1, 1))
    limit = sum(path.stat().st_size for path in folder.iterdir()) + 100
    monkeypatch.setenv("ERRSEG_TEXT_CACHE_GB", str(limit / 1e9))
    before = set(folder.iterdir())
    model.set_vocabulary(OTHERS)
    left = set(folder.iterdir())
    assert sum(path.stat().st_size for path in left) <= limit and len(left - before) == 2 and before - left
    monkeypatch.setenv("ERRSEG_TEXT_CACHE_GB", "much")
    with pytest.raises(UsageError, match="ERRSEG_TEXT_CACHE_GB = 'much'"):
        model.set_vocabulary(NAMES)


def test_off_and_a_folder_that_cannot_be_written(folder, build, monkeypatch, caplog):
    monkeypatch.setenv("ERRSEG_TEXT_CACHE", "off")
    model = build().eval()
    assert not folder.exists()
    folder.write_text("no folder")
    monkeypatch.setenv("ERRSEG_TEXT_CACHE", str(folder))
    torch.testing.assert_close(text_of(model, NAMES), model.text_embeddings)
    assert "cannot be written" in caplog.text


def test_a_text_tower_in_training_is_not_kept(folder, build):
    model = build()
    shutil.rmtree(folder)
    assert model.text_is_trained
    model.train().eval()
    model.set_vocabulary(OTHERS)
    assert not [path for path in folder.iterdir() if not path.name.startswith("tokens-")]


def test_names_with_errors_are_not_kept(folder, build):
    model = build()
    for _ in range(2):
        with pytest.raises(UsageError, match="the same to the model"):
            model.set_vocabulary(["bag", "Bag"])


def test_an_encoding_that_was_stopped_goes_on(folder, encoded, build, monkeypatch):
    monkeypatch.setattr(embedding, "CHUNK", 2)
    monkeypatch.setenv("ERRSEG_TEXT_CACHE", "off")
    model = build().eval()
    expected, encode = model.text_embeddings, type(model.backbone).encode_text
    monkeypatch.setenv("ERRSEG_TEXT_CACHE", str(folder))
    encoded.clear()

    def stop(tokens):
        if sum(encoded) == 6:
            raise KeyboardInterrupt
        return encode(model.backbone, tokens)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(model.backbone, "encode_text", stop)
        model.set_vocabulary(NAMES)
    encoded.clear()
    torch.testing.assert_close(text_of(model, NAMES), expected)
    assert sum(encoded) == 4  # 4 of the 8 prompts were in a file, 2 were waiting for more


def test_two_processes_may_write_the_same_names_at_once(folder, build, monkeypatch):
    from errseg.modeling.clip.text_files import TextFiles

    model, write = build().eval(), TextFiles.write
    other = build().eval()

    def meanwhile(files, name, arrays):
        monkeypatch.setattr(TextFiles, "write", write)
        other.set_vocabulary(OTHERS)  # between the reading and the writing of this one
        write(files, name, arrays)

    monkeypatch.setattr(TextFiles, "write", meanwhile)
    assert torch.equal(text_of(model, OTHERS), other.text_embeddings)
    assert torch.equal(text_of(build().eval(), OTHERS), other.text_embeddings)
    assert not list(folder.glob("*.tmp"))


def test_a_user_without_a_home_has_no_cache(monkeypatch):
    from errseg.modeling.clip import text_files

    def no_home():
        raise RuntimeError("Could not determine home directory.")

    for variable in (text_files.VARIABLE, "XDG_CACHE_HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(text_files.Path, "home", no_home)
    assert text_files.text_files() is None
