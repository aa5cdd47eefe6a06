"""Ids of models on the hub, and their files: downloaded once, read from the cache without a network."""

import pytest

from errseg.errors import UsageError
from errseg.hub import HubModel, fetch, hub_model


@pytest.mark.parametrize(
    ("text", "model"),
    [
        ("me/errseg", HubModel("me/errseg")),
        ("me/errseg@v1.0", HubModel("me/errseg", "v1.0")),
        ("hf://me/errseg", HubModel("me/errseg")),
        ("hf://me/errseg@v1/large/errseg_large.pth", HubModel("me/errseg", "v1", "large/errseg_large.pth")),
        *((text, None) for text in ("errseg", "a/b/c", "weights/errseg.pth", "runs/x.yaml", "/a/b", "../b", "a\\b/c")),
    ],
)
def test_what_is_an_id(text, model):
    assert hub_model(text) == model


def test_an_address_that_is_no_id_is_refused():
    with pytest.raises(UsageError, match="hf://errseg is no id of a model; give hf://OWNER/NAME"):
        hub_model("hf://errseg")


def test_what_is_downloaded_and_what_stays_there(hub):
    hub.files["me/errseg"] = {
        "main": {"model.safetensors": b"new", "config.yaml": b"{}", "setup.py": b"x", "other.pth": b"x"},
        "v1": {"errseg_base.pth": b"old"},
    }
    path = fetch(HubModel("me/errseg"))
    assert path.read_bytes() == b"new" and sorted(each.name for each in path.parent.iterdir()) == [
        "config.yaml",
        "model.safetensors",
    ]
    assert fetch(HubModel("me/errseg", "v1")).read_bytes() == b"old"
    hub.close()  # and the cache goes on
    assert fetch(HubModel("me/errseg")) == path
    assert fetch(HubModel("me/errseg", "v1")).name == "errseg_base.pth"
    with pytest.raises(UsageError, match=r"There is no file or folder me/other, and the hub's cache has no model .*\("):
        fetch(HubModel("me/other"))
    hub.close = lambda: None


def test_offline_by_the_hubs_own_variable(hub, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UsageError, match="HF_HUB_OFFLINE is set"):
        fetch(HubModel("me/errseg"))
    assert not hub.asked


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (HubModel("me/none"), "no file or folder me/none, and no public model of this id on http.*hf auth login"),
        (HubModel("me/two", "v9"), "me/two has no revision v9"),
        (HubModel("me/two"), r"holds 2 checkpoints \(a.pth, large/b.pth\); choose one, as in hf://me/two/a.pth"),
        (HubModel("me/two", None, "c.pth"), "has no checkpoint c.pth; there is a.pth, large/b.pth"),
        (HubModel("me/two", None, "../up.pth"), "has no checkpoint ../up.pth"),
        (HubModel("me/text"), "me/text holds no checkpoint"),
    ],
)
def test_what_the_hub_lacks_is_one_sentence(hub, model, message):
    hub.files["me/two"] = {"main": {"a.pth": b"a", "large/b.pth": b"b", "../up.pth": b"up", "notes.md": b""}}
    hub.files["me/text"] = {"main": {"README.md": b""}}
    with pytest.raises(UsageError, match=message) as error:
        fetch(model)
    assert "\n" not in str(error.value)
