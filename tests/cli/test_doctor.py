"""errseg doctor: what it finds, what it calls missing, and the remedies."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from errseg.cli import doctor
from errseg.modeling import systems

ROOT = Path(__file__).resolve().parents[2]


def test_pins() -> None:
    text = '# numbers\nnumpy==2.4.6; python_version >= "3.11"\nnumpy==2.2.6; python_version < "3.11"\ntorch==2.11.0\n'
    assert doctor.read_pins(text) == {"numpy": ["2.4.6", "2.2.6"], "torch": ["2.11.0"]}


def test_every_requirement_is_a_pin() -> None:
    text = (ROOT / "requirements.txt").read_text()
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert sum(map(len, doctor.read_pins(text).values())) == len(lines)


def test_missing_package_has_a_remedy(monkeypatch) -> None:
    versions = {"torch": "2.11.0+cu130", "timm": "1.0.9"}

    def version(name: str) -> str:
        if name not in versions:
            raise doctor.importlib.metadata.PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(doctor.importlib.metadata, "version", version)
    python, torch, timm, yacs = doctor.check_packages({"torch": ["2.11.0"], "timm": ["1.0.31"], "yacs": ["0.1.8"]})
    assert not python.missing
    assert (torch.value, torch.missing) == ("2.11.0+cu130", False)
    assert (timm.value, timm.missing) == ("1.0.9 (tested with 1.0.31)", False)
    assert yacs.missing and "MISSING" in yacs.lines(8) and "pip install yacs==0.1.8" in yacs.lines(8)
    pytest_, gradio = doctor.check_packages({"pytest": ["9.2.0"], "gradio": ["6.31.0"]})[1:]
    assert not pytest_.missing and gradio.value == "absent (only errseg web needs it)" and not gradio.missing


@pytest.mark.parametrize("available", [False, True])
def test_gpus(monkeypatch, available: bool) -> None:
    import torch

    card = SimpleNamespace(name="A card", total_memory=80 * 2**30)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: available)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: card)
    findings = doctor.check_gpus()
    assert not any(finding.missing for finding in findings)
    if available:
        assert [finding.name for finding in findings] == ["GPU 0", "GPU 1"]
        assert "A card, 80 GB" in findings[0].value
    else:
        assert "runs on the CPU" in findings[0].value


def test_detectron2(monkeypatch) -> None:
    import detectron2

    import errseg

    monkeypatch.delenv("ERRSEG_DETECTRON2", raising=False)
    found, which = doctor.check_detectron2()
    assert errseg.__version__ in found.value
    assert str(Path(detectron2.__file__).parent) in which.value
    assert "none is installed" in which.value if "compat" in which.value else "it is installed" in which.value


def test_broken_import_is_a_finding(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "errseg", None)
    (finding,) = doctor.check_detectron2()
    assert finding.missing and "setup.sh" in finding.remedy


def test_datasets(monkeypatch, tmp_path) -> None:
    from detectron2.data import DatasetCatalog, MetadataCatalog

    names = ["doctor_here", "doctor_gone"]
    for name, root in zip(names, [tmp_path, tmp_path / "gone"], strict=True):
        DatasetCatalog.register(name, list)
        MetadataCatalog.get(name).set(image_root=str(root), sem_seg_root=str(root), paper_name="D")
    try:
        findings = {finding.name: finding for finding in doctor.check_datasets()}
    finally:
        for name in names:
            DatasetCatalog.remove(name)
            MetadataCatalog.remove(name)
    assert findings["doctor_here"].value == "present"
    gone = findings["doctor_gone"]
    assert not gone.missing and str(tmp_path / "gone") in gone.value
    assert any("datasets/README.md" in finding.remedy for finding in findings.values())


def test_systems() -> None:
    found = {finding.name: finding.value for finding in doctor.check_systems()}
    assert found.keys() == {system.name for system in systems()}
    assert "errseg_convnext_base" in found["ERR-Seg"] and "deop_vit_b16" not in found["ERR-Seg"]
    assert "deop_vit_b16" in found["DeOP"] and found["DeOP"].endswith("; it cannot export --size dynamic")
    assert found["DeOP's proposals"].endswith("it cannot export, inspect, plain")
    assert not any("ablations" in value for value in found.values())


def test_command(command) -> None:
    status, out, errors = command("doctor")
    assert status == 0, out + errors
    for word in ("torch", "open_clip_torch", "detectron2", "GPU", "Nothing that errseg needs is missing."):
        assert word in out


def test_little_shared_memory_has_a_remedy(monkeypatch) -> None:
    for size, remedy in ((64 << 20, "--shm-size=8g"), (8 << 30, "")):
        monkeypatch.setattr(doctor.shutil, "disk_usage", lambda folder, size=size: SimpleNamespace(total=size))
        (finding,) = doctor.check_shared_memory()
        assert remedy in finding.remedy and bool(remedy) == bool(finding.remedy) and not finding.missing
    assert doctor.check_shared_memory.__defaults__ == ("/dev/shm",)


def test_a_system_without_shared_memory() -> None:
    assert doctor.check_shared_memory("no/such/folder") == []
