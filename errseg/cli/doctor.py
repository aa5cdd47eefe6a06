"""Report the parts of this installation, and what it lacks.

  errseg doctor

Reports versions, the Detectron2 that is used, GPUs, systems and data sets.
Exit status 1: something that errseg needs is missing. A GPU and data sets are
not needed.
"""

import argparse
import importlib.metadata
import os
import platform
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from .options import CHECKOUT
from .parser import Parser

NEEDS_MODELS = False  # this command must work even if errseg cannot be imported
SHARED_MEMORY = 1 << 30  # bytes; a few data workers need this much
OPTIONAL = {  # package: the only part that needs it
    **dict.fromkeys(("pytest", "pytest-xdist", "ruff", "playwright", "mypy", "setuptools"), "the tests need"),
    "pillow-heif": "pictures in HEIC and HEIF files need",
    **dict.fromkeys(("gradio", "starlette"), "errseg web needs"),
    **dict.fromkeys(("onnx", "onnxscript", "onnxruntime"), "errseg export --format onnx needs"),
    **dict.fromkeys(("openvino", "nncf"), "errseg export --format openvino needs"),
    **dict.fromkeys(("ray", "pyarrow", "fsspec"), "errseg predict --engine ray needs"),
}


@dataclass
class Finding:
    """One line of the report."""

    name: str
    value: str
    remedy: str = ""  # how to solve it; empty: nothing to do
    missing: bool = False  # errseg cannot run without it

    def lines(self, width: int) -> str:
        """The finding with its name padded to ``width`` columns, its remedy on a line below."""
        line = f"{'MISSING ' if self.missing else ''}{self.value}".rstrip()
        return f"  {self.name:<{width}}  {line}" + (f"\n  {'':<{width}}  -> {self.remedy}" if self.remedy else "")


def add_arguments(parser: Parser) -> None:
    """Declare the options: there are none."""


def run(args: argparse.Namespace) -> int:
    """Print the report."""
    packages = check_packages(requirements())
    detectron2 = check_detectron2()
    sections = {"Packages": packages, "Detectron2": detectron2, "Devices": check_gpus() + check_shared_memory()}
    if not any(finding.missing for finding in detectron2):
        sections["Systems and their configurations"] = check_systems()
        folder = os.environ.get("DETECTRON2_DATASETS", "datasets")
        sections[f"Data sets under {os.path.abspath(folder)} (DETECTRON2_DATASETS)"] = check_datasets()
    for title, findings in sections.items():
        width = max((len(finding.name) for finding in findings), default=0)
        print("\n".join([title] + [finding.lines(width) for finding in findings]))
    missing = [finding.name for findings in sections.values() for finding in findings if finding.missing]
    print(f"Missing: {', '.join(missing)}." if missing else "Nothing that errseg needs is missing.")
    return 1 if missing else 0


def requirements(checkout: Path = CHECKOUT) -> dict[str, list[str]]:
    """The packages that errseg uses, with the tested versions, which are known only in a checkout."""
    pins = checkout / "requirements.txt"
    if pins.is_file():
        return read_pins(pins.read_text(encoding="utf-8"))
    try:
        texts = importlib.metadata.requires("errseg") or []
    except importlib.metadata.PackageNotFoundError:
        return {}
    return {re.split(r"[^\w.-]", text)[0]: [] for text in texts if "extra" not in text or "dev" not in text}


def read_pins(text: str) -> dict[str, list[str]]:
    """The tested versions of each package in a requirements file: several where they depend on Python's version."""
    pins: dict[str, list[str]] = {}
    for name, version in re.findall(r"^([\w.-]+)==([^\s;]+)", text, flags=re.MULTILINE):
        pins.setdefault(name, []).append(version)
    return pins


def check_packages(pins: dict[str, list[str]]) -> list[Finding]:
    """The version of Python and of every package, and the tested version where it differs."""
    version = platform.python_version()
    old = sys.version_info < (3, 10)
    findings = [Finding("python", f"{version} ({sys.executable})", "use Python 3.10 or newer" if old else "", old)]
    for name, tested in pins.items():
        try:
            # A local label such as +cu130 names the build of the same release.
            found = importlib.metadata.version(name)
            same = not tested or found.split("+")[0] in tested
            findings.append(Finding(name, found if same else f"{found} (tested with {' or '.join(tested)})"))
        except importlib.metadata.PackageNotFoundError:
            needed = name not in OPTIONAL
            value = "" if needed else f"absent (only {OPTIONAL[name]} it)"
            remedy = f"scripts/setup.sh, or: pip install {name}=={tested[-1]}" if tested else f"pip install {name}"
            findings.append(Finding(name, value, remedy, needed))
    return findings


def check_detectron2() -> list[Finding]:
    """errseg itself, the Detectron2 that it uses, and why it uses that one."""
    try:
        import errseg.everything
    except Exception as error:  # any error of the import is the finding
        remedy = (
            "scripts/setup.sh" if isinstance(error, ImportError) and error.name else "correct what the message names"
        )
        return [Finding("errseg", f"{type(error).__name__}: {error}", remedy, missing=True)]
    import detectron2

    folder = Path(detectron2.__file__).parent
    compat = folder.is_relative_to(Path(errseg.__file__).parent)
    choice = os.environ.get("ERRSEG_DETECTRON2", "")
    why = f"ERRSEG_DETECTRON2={choice}" if choice else "none is installed" if compat else "it is installed"
    which = "errseg's own stand-in" if compat else "the real one"
    return [
        Finding("errseg", f"{errseg.__version__} ({Path(errseg.__file__).parent})"),
        Finding("detectron2", f"{which}, because {why}: {detectron2.__version__} ({folder})"),
    ]


def check_gpus() -> list[Finding]:
    """The GPUs that torch can use, with their memory."""
    try:
        import torch
    except ImportError:
        return []  # reported among the packages
    if not torch.cuda.is_available():
        built = f"CUDA {torch.version.cuda}" if torch.version.cuda else "the CPU alone"
        remedy = ""
        if os.path.exists("/proc/driver/nvidia/version"):
            remedy = "update the NVIDIA driver to a version for torch's CUDA, or unset CUDA_VISIBLE_DEVICES"
        return [Finding("GPU", f"none (torch is built for {built}); everything runs on the CPU", remedy)]
    cards = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
    return [
        Finding(f"GPU {index}", f"{card.name}, {card.total_memory / 2**30:.0f} GB, CUDA {torch.version.cuda}")
        for index, card in enumerate(cards)
    ]


def check_shared_memory(folder: str = "/dev/shm") -> list[Finding]:
    """The size of shared memory, which data workers need for their images; containers often have only 64 MB."""
    try:
        size = shutil.disk_usage(folder).total
    except OSError:
        return []  # a system without such a folder
    remedy = "give the container more shared memory (docker run --shm-size=8g), or set DATALOADER.NUM_WORKERS 0"
    return [Finding("shared memory", f"{size / 2**30:.2f} GB ({folder})", remedy if size < SHARED_MEMORY else "")]


def check_systems() -> list[Finding]:
    """The systems, each with its main packaged configurations, and what it cannot do."""
    from errseg.config import config_names, config_path, load_config
    from errseg.modeling import systems

    names: dict[str, list[str]] = {}
    for name in config_names():
        if "ablations/" not in name and "/_" not in name:
            names.setdefault(load_config(config_path(name)).MODEL.META_ARCHITECTURE, []).append(name)
    findings = []
    for system in systems():
        known = ", ".join(names.get(system.meta_architecture, [])) or "none"
        lacks = f"; it cannot {', '.join(sorted(system.cannot))}" if system.cannot else ""
        findings.append(Finding(system.name, f"{known}{lacks}"))
    return findings


def check_datasets() -> list[Finding]:
    """errseg's registered data sets and whether their images and labels are on disk."""
    from detectron2.data import DatasetCatalog, MetadataCatalog

    findings = []
    for name in sorted(DatasetCatalog.list()):
        metadata = MetadataCatalog.get(name)
        if hasattr(metadata, "paper_name"):  # the other sets are Detectron2's
            absent = [path for path in (metadata.image_root, metadata.sem_seg_root) if not os.path.isdir(path)]
            findings.append(Finding(name, f"absent: no {absent[0]}" if absent else "present"))
    if any(finding.value != "present" for finding in findings):
        findings[-1].remedy = "see datasets/README.md for how to get the absent sets"
    return findings
