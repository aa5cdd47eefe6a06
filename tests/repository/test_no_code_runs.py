"""No file runs code or reaches the network, at whatever door of errseg it is put."""

import io
import json
import os
import pickle
import socket
import zipfile

import numpy as np
import pytest
import torch

import errseg
from errseg.checkpoint import load_state_dict_file
from errseg.cli import main
from errseg.config import load_config
from errseg.errors import UsageError
from errseg.unpickle import unpickle
from tests.conftest import TINY_CLIP

TOUCH = "touch {mark}"
YAML_PAYLOADS = {
    "apply": "MODEL: {{DEVICE: !!python/object/apply:os.system ['touch {mark}']}}",
    "new": "MODEL: {{DEVICE: !!python/object/new:os.system ['touch {mark}']}}",
    "eval": "SEED: !!python/object/apply:eval [\"__import__('os').system('touch {mark}')\"]",
    "exec": "SEED: !!python/object/apply:builtins.exec [\"open('{mark}', 'w')\"]",
    "popen": "SEED: !!python/object/apply:subprocess.Popen [[touch, '{mark}']]",
    "key": "? !!python/object/apply:os.system ['touch {mark}']\n: 1",
    "name": "SEED: !!python/name:os.system",
    "module": "SEED: !!python/module:os",
    "long tag": "SEED: !<tag:yaml.org,2002:python/object/apply:os.system> ['touch {mark}']",
    "tag directive": "%TAG !p! tag:yaml.org,2002:python/object/apply:\n---\nSEED: !p!os.system ['touch {mark}']",
    "anchored": "A: &a !!python/object/apply:os.system ['touch {mark}']\nSEED: *a",
    "root": "!!python/object/apply:os.system ['touch {mark}']",
    "address": "_BASE_: http://127.0.0.1:9/evil.yaml",
    "address in a list": "_BASE_: ['https://localhost/evil.yaml']",
    "hub": "_BASE_: detectron2://evil.yaml",
    "CLIP of a hub": "MODEL: {{CLIP: {{NAME: 'hf-hub:owner/model'}}}}",
    "literal": "SEED: \"__import__('os').system('touch {mark}')\"",
}


class Payload:
    """What a pickle runs when it is read."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


@pytest.fixture(autouse=True)
def watched(monkeypatch, tmp_path):
    """A folder to work in; the test fails where a payload has run or a connection was tried."""
    monkeypatch.chdir(tmp_path)
    tried = []

    def refuse(self, address):
        tried.append(address)
        raise OSError("no network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    yield
    assert not (tmp_path / "mark").exists() and tried == []


@pytest.fixture
def mark(tmp_path):
    return tmp_path / "mark"


def refused(call, *arguments):
    """A sentence, from Python."""
    with pytest.raises(UsageError) as caught:
        call(*arguments)
    assert "\n" not in str(caught.value) and "Traceback" not in str(caught.value)


def command(*words):
    """A sentence and status 2, from a command line; called in this process."""

    def run(capsys):
        assert main([*map(str, words)]) == 2
        error = capsys.readouterr().err
        assert "Traceback" not in error and "nsafe" not in error

    return run


CONFIG_COMMANDS = {
    "train": command("train", "--config", "evil.yaml"),
    "evaluate": command("evaluate", "--config", "evil.yaml", "--weights", "x.png", "MODEL.DEVICE", "cpu"),
    "predict": command("predict", "x.png", "--classes", "cat", "--config-file", "evil.yaml"),
    "export": command("export", "--classes", "cat", "--config", "evil.yaml"),
    "inspect": command("inspect", "x.png", "--classes", "cat", "--config", "evil.yaml"),
    "web": command("web", "--config", "evil.yaml"),
    "benchmark": command("benchmark", "--config", "evil.yaml"),
    "mini report": command("mini", "report", "x", "--config", "evil.yaml", "--seconds", 1),
}


@pytest.mark.parametrize("payload", YAML_PAYLOADS)
def test_configurations_from_python(payload, mark, tmp_path):
    """A file, the base of a file, a run's folder, and the file beside a checkpoint."""
    text = YAML_PAYLOADS[payload].format(mark=mark)
    (tmp_path / "evil.yaml").write_text(text)
    (tmp_path / "heir.yaml").write_text("_BASE_: evil.yaml")
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.yaml").write_text(text)
    (run / "last_checkpoint").write_text("model.pth")
    torch.save({"model": {"w": torch.zeros(1)}}, run / "model.pth")
    for source in ("evil.yaml", "heir.yaml", run, run / "model.pth"):
        refused(errseg.load, source)
    if payload not in ("CLIP of a hub", "literal"):  # texts as good as others, until a model is built
        refused(load_config, "evil.yaml")
        for unsafe in ((), (True,)):
            refused(errseg.get_cfg().merge_from_file, "heir.yaml", *unsafe)


@pytest.mark.parametrize("name", CONFIG_COMMANDS)
@pytest.mark.parametrize("payload", ["apply", "address"])
def test_configurations_from_command_lines(name, payload, mark, tmp_path, capsys):
    (tmp_path / "evil.yaml").write_text(YAML_PAYLOADS[payload].format(mark=mark))
    (tmp_path / "x.png").write_bytes(b"")
    CONFIG_COMMANDS[name](capsys)


@pytest.mark.parametrize(
    "call",
    [
        command("data", "check", "evil.yaml"),
        command("train", "--config", "good.yaml", "--dataset", "evil.yaml"),
        command("predict", "x.png", "--vocabulary", "evil.yaml"),
        command("render", "x", "--dataset", "evil.yaml", "--out", "y"),
    ],
)
def test_data_set_files(call, mark, tmp_path, capsys):
    (tmp_path / "good.yaml").write_text("MODEL: {DEVICE: cpu}")
    (tmp_path / "evil.yaml").write_text(
        f"images: !!python/object/apply:os.system ['touch {mark}']\nlabels: x\nnames: [a]\n"
    )
    (tmp_path / "x").mkdir()
    (tmp_path / "x.png").write_bytes(b"")
    call(capsys)


def pickles(command):
    """Files with a payload as torch, numpy and Python write them, by their endings."""
    payload = Payload(command)
    buffers = {}
    for name, content in (("plain", payload), ("model", {"model": payload}), ("beside", {"model": {}, "x": payload})):
        for zipped in (True, False):
            buffers[f"{name} {zipped}.pth"] = io.BytesIO()
            torch.save(content, buffers[f"{name} {zipped}.pth"], _use_new_zipfile_serialization=zipped)
        buffers[f"{name}.pkl.pth"] = io.BytesIO(pickle.dumps(content))
    buffers["array.npz.pth"] = io.BytesIO()
    np.savez(buffers["array.npz.pth"], x=np.array([payload], dtype=object))
    buffers["script.pth"] = io.BytesIO()
    with zipfile.ZipFile(buffers["script.pth"], "w") as archive:
        archive.writestr("a/data.pkl", pickle.dumps(payload))
        archive.writestr("a/constants.pkl", pickle.dumps(payload))
        archive.writestr("a/version", "3")
    return {name: buffer.getvalue() for name, buffer in buffers.items()}


def test_checkpoints(mark, tmp_path):
    """As a checkpoint, as CLIP's weights, as a run's last checkpoint, and under another ending."""
    for name, content in pickles(TOUCH.format(mark=mark)).items():
        for ending in ("pth", "pt", "bin", "safetensors"):
            path = tmp_path / f"{name.removesuffix('.pth')}.{ending}"
            path.write_bytes(content)
            refused(load_state_dict_file, str(path))
            refused(errseg.load, path)
        refused(errseg.load, _config(tmp_path), path)
        refused(errseg.load, _config(tmp_path, f"MODEL: {{CLIP: {{PRETRAINED: '{path}'}}}}"))


def test_indices_and_arrays(mark, tmp_path, capsys):
    for content in pickles(TOUCH.format(mark=mark)).values():
        (tmp_path / "index.pkl").write_bytes(content)
        refused(unpickle, tmp_path / "index.pkl", "index", "get the file again")
        (tmp_path / "fixture.npz").write_bytes(content)
        command("parity", tmp_path / "fixture.npz")(capsys)


def _config(folder, text="SEED: 1"):
    """The file of a model that is built in a moment, with some keys more."""
    (folder / "clip.json").write_text(json.dumps(TINY_CLIP))
    (folder / "base_of_tiny.yaml").write_text(f"MODEL: {{DEVICE: cpu, CLIP: {{NAME: '{folder / 'clip.json'}'}}}}")
    (folder / "tiny.yaml").write_text(f"{text}\n_BASE_: base_of_tiny.yaml")
    return folder / "tiny.yaml"
