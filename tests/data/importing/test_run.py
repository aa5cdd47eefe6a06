"""An import as a whole: the data set runs, an interrupted import goes on, nothing of somebody else is touched."""

import json

import numpy as np
import pytest
from PIL import Image

from errseg.data import check_labels, register_dataset_files
from errseg.data.importing import Options, import_data, paint
from tests.data.importing.conftest import HEIGHT, WIDTH

COLORS = {"grass": [0, 200, 0], "no": [200, 0, 0]}  # a name that YAML reads as a truth value


@pytest.fixture
def source(tmp_path, picture, write):
    """Four masks of two colours."""
    root = tmp_path / "colored"
    write(root / "colors.json", COLORS)
    for number in range(4):
        mask = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        mask[:], mask[: 3 + number] = COLORS["grass"], COLORS["no"]
        picture(root / f"images/{number}.jpg")
        (root / "masks").mkdir(exist_ok=True)
        Image.fromarray(mask).save(root / f"masks/{number}.png")
    return root


def test_the_command_makes_a_data_set_that_is_checked_and_drawn(source, command, tmp_path):
    out = tmp_path / "out"
    status, said, err = command("data", "import", source, "--out", out, "--workers", 1, "--samples", 2)
    assert status == 0 and not err, err
    assert "grass" in said and "4 pictures are in" in said and Image.open(out / "samples.png").width > 400
    assert (out / "images/0.jpg").is_symlink() and not list(out.rglob("*.tmp"))
    status, said, _ = command("data", "check", out / "dataset.yaml", "--workers", 1)
    assert status == 0 and "  4  " in said, said
    register_dataset_files([str(out / "dataset.yaml")])
    check_labels(str(out / "dataset.yaml"), workers=1)
    report = json.loads((out / "report.json").read_text())
    assert report["classes"][1] == {
        "id": 1, "name": "no", "regions": 4, "pictures": 4, "pixels": (3 + 4 + 5 + 6) * WIDTH
    }  # fmt: skip
    status, said, _ = command("data", "import", source, "--out", out, "--workers", 1, "--samples", 0)
    assert status == 0 and "4 pictures (4 of them from an earlier run)" in said
    (source / "images/3.jpg").unlink()
    status, said, _ = command("data", "import", source, "--out", out, "--workers", 1, "--samples", 0)
    assert status == 1 and "Left out: 1 pictures" in said and not (out / "labels/3.png").exists()


def test_an_interrupted_import_goes_on(source, tmp_path, monkeypatch):
    out, done = tmp_path / "out", []
    write_image = paint.write_image

    def stop_at_the_third(path, pixels):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(path)
        write_image(path, pixels)

    monkeypatch.setattr(paint, "write_image", stop_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        import_data(source, out, workers=1, samples=0)
    assert not (out / "dataset.yaml").exists() and len(list((out / "labels").iterdir())) == 2
    monkeypatch.setattr(paint, "write_image", write_image)
    assert import_data(source, out, workers=1, samples=0).kept == 2
    whole = {path.name: path.read_bytes() for path in (out / "labels").iterdir()}
    assert import_data(source, tmp_path / "other", Options(copy=True), workers=2, samples=0).kept == 0
    assert whole == {path.name: path.read_bytes() for path in (tmp_path / "other/labels").iterdir()}
    assert not (tmp_path / "other/images/0.jpg").is_symlink()


def test_what_has_changed_is_made_again(source, tmp_path, picture):
    out = tmp_path / "out"
    import_data(source, out, workers=1, samples=0)
    Image.new("RGB", (WIDTH, HEIGHT), tuple(COLORS["no"])).save(source / "masks/1.png")
    picture(source / "images/1b.jpg")
    assert import_data(source, out, workers=1, samples=0).kept == 3
    assert (np.asarray(Image.open(out / "labels/1.png")) == 1).all()
    assert import_data(source, out, Options(ignore=("no",)), workers=1, samples=0).kept == 0
    assert (np.asarray(Image.open(out / "labels/1.png")) == 255).all()


def test_two_images_of_one_name_get_two_labels(tmp_path, picture, write, imported):
    sizes = {"height": HEIGHT, "width": WIDTH}
    for name in ("x.jpg", "x.png", "X.bmp"):
        picture(tmp_path / "coco" / name)
    images = [{"id": i, "file_name": name, **sizes} for i, name in enumerate(("x.jpg", "x.png", "X.bmp"))]
    box = [[0.0, 0, 9, 0, 9, 9]]
    annotations = [{"id": i, "image_id": i, "category_id": i, "segmentation": box} for i in range(3)]
    categories = [{"id": i, "name": f"class {i}"} for i in range(3)]
    path = write(tmp_path / "coco/a.json", {"images": images, "annotations": annotations, "categories": categories})
    _, label = imported(path)
    assert [int(label(name).min()) for name in ("x", "x_png", "X_bmp")] == [0, 1, 2]
    register_dataset_files([str(tmp_path / "out/dataset.yaml")])
    check_labels(str(tmp_path / "out/dataset.yaml"), workers=1)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--out", "colored/out"), "--out colored/out is inside of colored; give a folder elsewhere."),
        (("--out", "mine"), "--out mine holds other files (notes.txt); give an empty folder."),
        (("--out", "mine/notes.txt"), "is no folder"),
        (("--out", "out", "--format", "voc"), "--format is 'voc'; give one of coco,"),
        (("--out", "out", "--format", "coco"), "The folder colored holds 1 files"),
        (("--out", "out", "--ignore", "sky"), "--ignore names 'sky', which colored does not have; it has grass, no."),
        (("--out", "out", "--images", "nowhere"), "--images nowhere is no folder; correct the path."),
        (("--out", "out", "--ignore", "no,grass"), "has no region with a name"),
        (("--out", "out", "--background", " , "), "--background is ' , ', which is no name"),
    ],
)
def test_requests_that_cannot_be_met(source, command, tmp_path, write, monkeypatch, words, reason):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "mine/notes.txt", "mine")
    if "coco" in words:
        reason = "is not as --format coco says"
    status, _, err = command("data", "import", "colored", "--workers", 1, *words)
    assert status == 2 and reason in err and "Traceback" not in err, err
    assert sorted(path.name for path in (tmp_path / "mine").iterdir()) == ["notes.txt"]
