"""Package metadata: the versions that errseg accepts. requirements.txt pins those that it is tested with."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
VERSION = re.search(r'^__version__ = "(.+)"', (ROOT / "errseg/__init__.py").read_text(encoding="utf-8"), re.MULTILINE)

setup(
    name="errseg",
    version=VERSION[1],
    description="ERR-Seg: efficient open-vocabulary semantic segmentation by reducing redundancy",
    author="errseg authors",
    license="MIT",
    python_requires=">=3.10",
    # compat/ holds a package named `detectron2` that must not be installed as one: its files go along as data, and
    # errseg/__init__.py puts their folder on the import path where the real Detectron2 is missing.
    packages=find_packages(include=["errseg", "errseg.*"], exclude=["errseg.compat", "errseg.compat.*"]),
    package_data={
        "errseg": [
            "compat/**/*.py",
            "data/vocabularies/*.json",
            "evaluation/*.json",
            "mini/*.json",
            "web/*.html",
            "web/*.js",
            "web/*.css",
        ]
    },
    install_requires=[
        "torch>=2.6",
        "torchvision>=0.21",
        "timm>=1.0.9",
        "open_clip_torch>=2.30,<4",
        "huggingface_hub",
        "safetensors>=0.4",
        "fvcore>=0.1.5.post20221221",
        "iopath>=0.1.9",
        "yacs>=0.1.8",
        "PyYAML>=5.4",
        "termcolor",
        "tabulate",
        "tensorboard>=2.10",
        "opencv-python-headless>=4.8.1.78",
        "pycocotools>=2.0.6",
        "tqdm>=4.66.3",
        "numpy>=1.24,<3",
        "pillow>=10.3",
        "scipy>=1.10",
        "matplotlib>=3.6",
    ],
    extras_require={
        "heif": ["pillow-heif>=0.18"],  # pictures in HEIC and HEIF files
        "web": ["gradio>=6,<7", "starlette"],  # tools/web.py
        "export": ["onnx>=1.17", "onnxscript>=0.5", "onnxruntime>=1.18"],  # tools/export.py --format onnx
        "dev": ["pytest>=8", "pytest-xdist>=3.5", "ruff>=0.6", "playwright>=1.45"],
    },
)
