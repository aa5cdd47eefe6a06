"""Data-set files, labels, files of names, vocabularies, indices."""

import json
import os
import pickle
import struct
import zlib
from pathlib import Path
from random import Random

import numpy as np
import yaml
from PIL import Image

from errseg.api.names import names_from_file
from errseg.data.check import check_dataset
from errseg.data.custom import register_dataset_files
from errseg.data.labels import LabelReader
from errseg.errors import UsageError
from errseg.unpickle import unpickle

from ..bench import NAMES, Bench
from ..case import ACCEPT, EITHER, REFUSE, Case
from ..mutate import YAML_TEXTS, Payload, damage, odd_tree, odd_value

__all__ = ["dataset_file", "index", "label", "names_file", "vocabulary"]

DATASET = {"images": "images", "labels": "labels", "names": NAMES}
KEYS = {
    "ignore": [0, 255, 65535, -1, "x"],
    "label_offset": [-1, 1, -(10**9), 10**30],
    "reduce_zero_label": [True, "yes"],
    "values": [{0: "cat", 1: "dog", 2: "sea"}, {0: "ghost"}, {"x": 1}, []],
    "colors": [{"cat": [255, 0, 0]}, {"cat": "#zz"}, [[0, 0, 0]] * 3, [[0, 0]]],
    "exif": ["turned", "stored", "odd"],
    "num_classes": [0, 1, 10**12, -1],
    "image_ext": ["png", ".png", "", "/"],
}


def dataset_file(random: Random, bench: Bench, folder: Path) -> Case:
    """A data-set file; the images and labels of the data set are right."""
    bench.dataset(folder)
    right = EITHER
    choice = random.random()
    if choice < 0.3:
        data, right = random.choice(YAML_TEXTS).encode(), REFUSE
    elif choice < 0.45:
        data = damage(yaml.dump(DATASET).encode(), random)
    else:
        key = random.choice(list(KEYS))
        tree = {**DATASET, key: random.choice(KEYS[key])}
        if random.random() < 0.6:
            tree = odd_tree(tree, random)
        data = yaml.dump(tree, allow_unicode=True).encode(errors="surrogatepass")
    (folder / "set.yaml").write_bytes(data)
    return Case("check_dataset", repr(data[:120]), right, lambda: _check("set.yaml"))


def label(random: Random, bench: Bench, folder: Path) -> Case:
    """A label file; ids that are no class, and missing pixels, are refused."""
    bench.dataset(folder)
    (folder / "set.yaml").write_text(yaml.dump(DATASET))
    path = folder / "labels/a.png"
    good = np.asarray(Image.open(path))
    right, wrong = EITHER, lambda result: None
    choice = random.choice(["same", "stray", "mode", "size", "damaged", "rows", "fifo", "format"])
    if choice == "same":
        right = ACCEPT
        wrong = lambda result: None if np.array_equal(result, good) else "other labels"  # noqa: E731
    elif choice == "stray":
        ids = good.copy()
        ids[random.randrange(16), random.randrange(24)] = random.choice([3, 100, 254])
        Image.fromarray(ids).save(path)
        right = REFUSE
    elif choice == "mode":
        mode = random.choice(["RGB", "RGBA", "LA", "CMYK", "1", "F"])
        Image.fromarray(good).convert(mode).save(path, "PNG" if mode not in ("CMYK", "F") else "TIFF")
        right = REFUSE if mode in ("RGBA", "CMYK", "F") else EITHER
    elif choice == "size":
        Image.new("L", (random.choice([23, 48, 1]), 16)).save(path)
        right = REFUSE
    elif choice == "damaged":
        path.write_bytes(damage(path.read_bytes(), random))
        wrong = lambda result: None if np.array_equal(result, good) else "other labels from damaged bytes"  # noqa: E731
    elif choice == "rows":
        path.write_bytes(_without_rows(good[: random.randrange(1, 15)], (24, 16)))
        right = REFUSE
    elif choice == "fifo":
        path.unlink()
        os.mkfifo(path)
        right = REFUSE
    else:
        path.write_bytes(random.choice([b"<html>", b"", b"version https://git-lfs.github.com/spec/v1\n"]))
        right = REFUSE

    def run():
        register_dataset_files(["set.yaml"])
        return LabelReader("set.yaml")("labels/a.png", "images/a.png", (16, 24))

    return Case("LabelReader", choice, right, run, wrong)


def names_file(random: Random, bench: Bench, folder: Path) -> Case:
    """A file of names; the names must be read in the order of their ids."""
    forms = {
        "a.txt": ["cat\ndog\nsea\n", "0: cat\n1: dog\n2: sea", "cat:0\ndog:1\nsea:2", "__ignore__\n_background_\ncat"],
        "a.json": [json.dumps(NAMES), json.dumps({"0": "cat", "1": "dog", "2": "sea"}), '[{"name": "cat", "id": 0}]'],
        "a.yaml": [yaml.dump(NAMES), "names: {0: cat, 1: dog, 2: sea}", *YAML_TEXTS],
        "b.txt": ["# label:color_rgb:parts:actions\ncat:1,2,3::\ndog:4,5,6::", "cat,1,2\ndog,3,4", "0 cat\n2 dog"],
        "b.json": ['{"cat": NaN}', "[" * 10000, '{"a": 1, "a": 2}', '{"0": "cat", "5": "dog"}', "5", "null"],
        "a.csv": ["id,name\n0,cat\n1,dog\n", "cat;dog"],
    }
    name = random.choice(list(forms))
    number = random.randrange(len(forms[name]))
    data = forms[name][number].encode()
    right, wrong = EITHER, lambda result: None
    if random.random() < 0.5:
        data = damage(data, random)
    elif name in ("a.txt", "a.json", "a.yaml") and number < 2:
        right = ACCEPT
        wrong = lambda result: None if [str(each) for each in result] == NAMES else f"other names: {result}"  # noqa: E731
    (folder / name).write_bytes(data)
    return Case("names_from_file", repr(data[:100]), right, lambda: names_from_file(name), wrong)


def vocabulary(random: Random, bench: Bench, folder: Path) -> Case:
    """Arguments of ``set_vocabulary``; after a refusal, the old vocabulary must give the same labels as before."""
    odd = odd_value(random)
    names = random.choice([[*NAMES, odd], odd, [odd], {"cat": odd}])
    if random.random() < 0.2:
        names = tuple(names) if isinstance(names, list) else names
    count = random.choice([None, None, 0, 1, -1, 10**9, True])
    right = REFUSE if count == -1 else EITHER

    def run():
        image = np.zeros((16, 16, 3), np.uint8)
        before = bench.segmenter(image).labels
        try:
            bench.segmenter.set_vocabulary(names, count)
        except UsageError:
            if not np.array_equal(bench.segmenter(image).labels, before):
                raise RuntimeError("another answer after a refusal") from None
            raise
        return bench.segmenter(image)

    return Case("set_vocabulary", f"{names!r:.80}, {count!r}", right, run)


def index(random: Random, bench: Bench, folder: Path) -> Case:
    """The pickled index of ADE20K."""
    good = pickle.dumps({"filename": ["a.jpg"], "objects": np.arange(4), "n": 1})
    bombs = [pickle.dumps(Payload()), b"c__builtin__\nbytearray\n(J\x00\x28\x6b\x7ftR.", pickle.dumps([1]), b"(" * 9999]
    bad = random.random() < 0.3
    data = random.choice(bombs) if bad else damage(good, random)
    (folder / "index.pkl").write_bytes(data)
    run = lambda: unpickle("index.pkl", "index", "get it again")  # noqa: E731
    return Case("unpickle", repr(data[:60]), REFUSE if bad else EITHER, run)


def _check(name: str):
    register_dataset_files([name])
    return check_dataset(name, workers=0)


def _without_rows(rows: np.ndarray, size: tuple[int, int]) -> bytes:
    """A PNG of ``size`` whose data end before its last rows, though the file is whole."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", *size, 8, 0, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
