"""Tiny copies of the published data sets, in the layouts of their downloads, and what their labels must become.

``write_raw_<set>(root, seed)`` writes a few images and returns the converted labels, by their path under the root. The
copies vary as genuine copies do: grey and palette PNG, run-length code as a string and as a list, image ids as numbers
and as names.
"""

import json
import pickle
from pathlib import Path

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask
from scipy.io import savemat

import errseg.data.vocabularies

Labels = dict[str, np.ndarray]

COCO_IDS = [*range(11), *range(12, 25), 26, 27, *range(30, 44), *range(45, 65), 66, 69, *range(71, 82), *range(83, 90)]
COCO_IDS += range(91, 182)
CONTEXT = [("2008_000002", "val"), ("2008_000003", "train"), ("2008_000007", "val"), ("2009_000015", "val")]


def write_raw_coco_stuff(root: Path, seed: int = 0, splits: tuple[str, ...] = ("train2017", "val2017")) -> Labels:
    """Two images of each split."""
    random = np.random.default_rng(seed)
    folder, expected = Path(root) / "coco-stuff", {}
    for split in splits:
        for index in range(2):
            stem = f"{139 + index + len(split):012d}"
            raw = blocks(random, [*COCO_IDS, 255], (40 + index, 56))
            raw[:2] = 255
            write_photo(folder / f"images/{split}/{stem}.jpg", raw.shape, random)
            write_png(folder / f"annotations/{split}/{stem}.png", raw, palette=index == 1)
            classes = {raw_id: index for index, raw_id in enumerate(COCO_IDS)}
            expected[f"coco-stuff/annotations_detectron2/{split}/{stem}.png"] = mapped(raw, classes, 255, np.uint8)
    return expected


def write_raw_ade20k_150(root: Path, seed: int = 0) -> Labels:
    """Three validation images, and a training image that must not be converted."""
    random = np.random.default_rng(seed)
    folder, expected = Path(root) / "ADEChallengeData2016", {}
    for split, number in (("validation", 1), ("validation", 2), ("validation", 3), ("training", 1)):
        stem = f"ADE_{'val' if split == 'validation' else 'train'}_{number:08d}"
        raw = blocks(random, range(151), (30, 30 + 4 * number))
        write_photo(folder / f"images/{split}/{stem}.jpg", raw.shape, random)
        write_png(folder / f"annotations/{split}/{stem}.png", raw)
        if split == "validation":
            classes = {raw_id: raw_id - 1 for raw_id in range(1, 151)}
            path = f"ADEChallengeData2016/annotations_detectron2/validation/{stem}.png"
            expected[path] = mapped(raw, classes, 255, np.uint8)
    return expected


def write_raw_ade20k_full(
    root: Path, seed: int = 0, arrays: bool = False, slash: str = "", protocol: int | None = None
) -> Labels:
    """Validation images, small, wide, tall, square and large on one side alone; a training image without its files.

    Args:
        root: of the data sets.
        seed: of the pixels.
        arrays: the lists of the index are arrays of objects.
        slash: the end of the index's folders.
        protocol: of the pickle.
    """
    random = np.random.default_rng(seed)
    classes = vocabulary_ids("ade20k_847")
    raw_ids = [*list(classes)[:250], *range(1, 3689, 40), 0, 255, 256, 3688]  # half of them are not evaluated
    folders, names, expected = [], [], {}
    for index, size in enumerate([(48, 64), (520, 790), (777, 515), (514, 514), (512, 700)], 1):
        folder, stem = f"ADE20K_2021_17_01/images/ADE/validation/urban/street{index}", f"ADE_val_{index:08d}"
        raw = blocks(random, raw_ids, size)
        write_photo(Path(root) / folder / f"{stem}.jpg", size, random)
        instance = random.integers(0, 256, size)
        colours = np.stack([raw // 256 * 10 + random.integers(0, 10, size), raw % 256, instance], axis=-1)
        Image.fromarray(colours.astype(np.uint8)).save(Path(root) / folder / f"{stem}_seg.png")
        folders.append(folder + slash)
        names.append(f"{stem}.jpg")
        converted = mapped(shortened(raw), classes, 65535, np.uint16)
        expected[f"ADE20K_2021_17_01/annotations_detectron2/validation/{stem}.tif"] = converted
    folders.append("ADE20K_2021_17_01/images/ADE/training/urban/street" + slash)
    names.append("ADE_train_00016869.jpg")
    contents = {
        "filename": np.array(names, object) if arrays else names,
        "folder": np.array(folders, object) if arrays else folders,
        "objectnames": np.array([f"object {i}" for i in range(3688)], object) if arrays else ["door", "wall"],
        "objectPresence": np.zeros((3, 6), np.float32),
        "scene": [np.str_("/street"), np.float64(1.5), np.int64(2), {"a set"}, b"bytes"],
        "description": {"filename": "array of length N"},
    }
    with open(Path(root) / "ADE20K_2021_17_01/index_ade20k.pkl", "wb") as file:
        pickle.dump(contents, file, protocol)
    return expected


def write_raw_pascal_context_59(root: Path, seed: int = 0) -> Labels:
    """Three validation images and a training image, with masks that overlap, and categories beyond the 59."""
    random = np.random.default_rng(seed)
    folder, classes = Path(root) / "VOCdevkit/VOC2010", vocabulary_ids("pascal_context_59")
    images, annotations, raws = [], [], [np.zeros(context_size(index), np.int64) for index in range(len(CONTEXT))]
    for index, (stem, phase) in enumerate(CONTEXT):
        height, width = context_size(index)
        write_photo(folder / f"JPEGImages/{stem}.jpg", (height, width), random)
        key = int(stem.replace("_", "")) if index else stem
        image = {"image_id": key, "phase": phase, "height": height, "width": width, "date_captured": "31-Oct-2013"}
        images.append(image if index == 2 else {**image, "file_name": f"{stem}.jpg"})
    for place in range(6):  # the annotations of an image do not follow each other, and a later one covers earlier ones
        for index, raw in enumerate(raws):
            mask = np.zeros(raw.shape, np.uint8, order="F")
            mask[5 * place : 5 * place + 9, index:-3] = random.random(raw.shape[1] - 3 - index) < 0.8
            category = int(random.choice([*classes, 0, 1, 431]))
            raw[mask == 1] = category
            image_id, code = int(CONTEXT[index][0].replace("_", "")), encoded(mask, as_string=place % 2 == 0)
            annotations.append({"image_id": image_id, "category_id": category, "segmentation": code, "id": place})
    contents = {"images": images, "annos_segmentation": annotations, "categories": [], "annos_joints": []}
    (folder / "trainval_merged.json").write_text(json.dumps(contents))
    return {
        f"VOCdevkit/VOC2010/annotations_detectron2/pc59_val/{stem}.png": mapped(raw, classes, 255, np.uint8)
        for (stem, phase), raw in zip(CONTEXT, raws, strict=True)
        if phase == "val"
    }


def write_raw_pascal_context_459(root: Path, seed: int = 0) -> Labels:
    """The three images with all classes; two with pixels that are unlabelled."""
    write_raw_pascal_context_59(root, seed)
    random = np.random.default_rng(seed)
    folder, expected = Path(root) / "VOCdevkit/VOC2010", {}
    (folder / "trainval").mkdir(exist_ok=True)
    for index, (stem, phase) in enumerate(CONTEXT):
        raw = blocks(random, range(0 if index else 1, 460), context_size(index))
        raw[0, :3] = 255, 256, 459
        raw[1:3] = 0 if index else 1
        dtype = (np.uint16, np.uint16, np.float64, np.int32)[index]
        savemat(folder / f"trainval/{stem}.mat", {"LabelMap": raw.astype(dtype)}, do_compression=index == 2)
        if phase == "val":
            classes = {raw_id: raw_id - 1 for raw_id in range(1, 460)}
            path = f"VOCdevkit/VOC2010/annotations_detectron2/pc459_val/{stem}.tif"
            expected[path] = mapped(raw, classes, 459, np.uint16)
    return expected


def write_raw_voc(root: Path, seed: int = 0) -> Labels:
    """Three validation images, of which the last holds no object, and two training images, of which one is all void."""
    random = np.random.default_rng(seed)
    folder, expected = Path(root) / "VOCdevkit/VOC2012", {}
    stems = ["2007_000033", "2007_000042", "2007_000061", "2007_000032", "2008_000008"]
    objects = {raw_id: raw_id - 1 for raw_id in range(1, 21)}
    for index, stem in enumerate(stems):
        raw = blocks(random, {2: [0, 255], 4: [255]}.get(index, [*range(21), 255]), (33, 44 + index))
        write_photo(folder / f"JPEGImages/{stem}.jpg", raw.shape, random)
        write_png(folder / f"SegmentationClassAug/{stem}.png", raw, palette=index == 0)
        if index < 3:
            path = f"VOCdevkit/VOC2012/annotations_detectron2{{}}/val/{stem}.png"
            if index != 2:
                expected[path.format("")] = mapped(raw, objects, 255, np.uint8)
            expected[path.format("_bg")] = mapped(raw, {**objects, 0: 20}, 255, np.uint8)
        else:
            path = f"VOCdevkit/VOC2012/annotations_detectron2/train/{stem}.png"
            expected[path] = mapped(raw, objects, 255, np.uint8)
    listing = folder / "ImageSets/Segmentation/val.txt"
    listing.parent.mkdir(parents=True)
    listing.write_text("\n".join(stems[:3]) + "\n")
    return expected


WRITERS = {
    "coco_stuff": write_raw_coco_stuff,
    "ade20k_150": write_raw_ade20k_150,
    "ade20k_full": write_raw_ade20k_full,
    "pascal_context_59": write_raw_pascal_context_59,
    "pascal_context_459": write_raw_pascal_context_459,
    "voc": write_raw_voc,
}


def blocks(random: np.random.Generator, ids: range | list[int], size: tuple[int, int], side: int = 7) -> np.ndarray:
    """A label (height, width) int64 of squares with random ids."""
    height, width = size
    small = random.choice(np.array(ids), (-(-height // side), -(-width // side)))
    return np.kron(small, np.ones((side, side), np.int64))[:height, :width]


def mapped(raw: np.ndarray, classes: dict[int, int], ignore_label: int, dtype: type) -> np.ndarray:
    """The class of each pixel by ``classes``, or the ignore label."""
    values, places = np.unique(raw, return_inverse=True)
    return np.array([classes.get(int(value), ignore_label) for value in values], dtype)[places.reshape(raw.shape)]


def vocabulary_ids(name: str) -> dict[int, int]:
    """The class of each raw id, for a vocabulary of the package."""
    path = Path(errseg.data.vocabularies.__file__).parent / f"{name}.json"
    return {row["raw_id"]: row["id"] for row in json.loads(path.read_text(encoding="utf-8"))["classes"]}


def shortened(raw: np.ndarray) -> np.ndarray:
    """A label whose sides both exceed 512, with a short side of 512: the pixel at the scaled place, rounded down."""
    height, width = raw.shape
    if min(height, width) <= 512:
        return raw
    new = (512, round(width / height * 512)) if width >= height else (round(height / width * 512), 512)
    rows, columns = (np.floor(np.arange(n) * (old / n)).astype(int) for n, old in zip(new, raw.shape, strict=True))
    return raw[rows][:, columns]


def encoded(mask: np.ndarray, as_string: bool) -> dict:
    """COCO's run-length code of a mask."""
    if as_string:
        code = coco_mask.encode(mask)
        return {"size": [int(side) for side in code["size"]], "counts": code["counts"].decode()}
    flat = mask.ravel(order="F")
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flat])) != 0)
    return {"size": list(mask.shape), "counts": np.diff(np.concatenate([[0], edges, [len(flat)]])).tolist()}


def write_photo(path: Path, size: tuple[int, int], random: np.random.Generator) -> None:
    """A smooth random JPEG of (height, width)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    small = Image.fromarray(random.integers(0, 256, (4, 5, 3), dtype=np.uint8))
    small.resize(size[::-1], Image.Resampling.BICUBIC).save(path, quality=95)


def write_png(path: Path, label: np.ndarray, palette: bool = False) -> None:
    """An 8-bit label."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(label.astype(np.uint8))
    if palette:
        image.putpalette(np.random.default_rng(0).integers(0, 256, 768, dtype=np.uint8).tobytes())
    image.save(path)


def context_size(index: int) -> tuple[int, int]:
    """(height, width) of an image of PASCAL-Context."""
    return 36 + index, 50
