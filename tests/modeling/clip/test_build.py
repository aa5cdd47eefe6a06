"""CLIP's published weights: what is cached loads, whatever the hub and the cache allow."""

import pytest

from errseg.errors import UsageError
from errseg.modeling.clip import build as clip


@pytest.mark.parametrize("reachable", [True, False])
def test_a_cached_file_of_a_read_only_cache_loads(monkeypatch, reachable):
    asked = []

    def download(config):
        asked.append(clip.hub.HF_HUB_OFFLINE)
        if not clip.hub.HF_HUB_OFFLINE:
            raise PermissionError("Read-only file system: refs/main")
        return "cached.safetensors"

    monkeypatch.setattr("open_clip.pretrained.download_pretrained", download)
    monkeypatch.setattr(clip, "hub_reachable", lambda: reachable)
    before = clip.hub.HF_HUB_OFFLINE
    assert clip._download("ViT-B-32", "openai") == "cached.safetensors"
    assert asked == ([False, True] if reachable else [True]) and clip.hub.HF_HUB_OFFLINE == before


def test_what_is_not_cached_is_one_warning(monkeypatch, caplog):
    def download(config):
        raise FileNotFoundError("nothing\nhere")

    monkeypatch.setattr("open_clip.pretrained.download_pretrained", download)
    monkeypatch.setattr(clip, "hub_reachable", lambda: True)
    assert clip._download("ViT-B-32", "openai") is None
    assert len(caplog.records) == 1 and "\n" not in caplog.text.strip() and "give a local file" in caplog.text


@pytest.mark.parametrize(
    ("name", "tag", "other"),
    [("ViT-B-16", "openai", "ViT-B-16-quickgelu"), ("ViT-L-14", "metaclip_400m", "ViT-L-14-quickgelu")],
)
def test_a_tag_for_another_activation_is_refused_before_a_download(monkeypatch, name, tag, other):
    monkeypatch.setattr(clip, "_download", lambda *_: pytest.fail("downloaded"))
    with pytest.raises(
        UsageError, match=f"'{tag}' has weights for QuickGELU.*'{name}'.*set MODEL.CLIP.NAME to '{other}'"
    ):
        clip.load_clip_weights(None, name, tag)
    for fitting in ((other, tag), (name, "laion400m_e32")):
        monkeypatch.setattr(clip, "_download", lambda *_: None)
        assert clip.load_clip_weights(None, *fitting).startswith(clip.RANDOM)
