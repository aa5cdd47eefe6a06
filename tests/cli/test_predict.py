"""errseg predict: pictures, folders and videos as a user gives them; what is kept, what fails, what is refused."""

import json
import os
import signal
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from matplotlib import font_manager
from PIL import Image
from pycocotools import mask as coco_mask

import errseg
from errseg import fonts
from errseg.api import Result
from errseg.cli import main, options
from errseg.colors import colors_of
from errseg.locking import LOCK
from tests.conftest import TINY_CLIP, TINY_RUN
from tests.warm import Program

ROOT = Path(__file__).parents[2]
NAMES = 'cat, 猫, "sky, heaven", café'


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    """The folder of a run: a tiny model of random weights and its configuration."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "clip.json").write_text(json.dumps(TINY_CLIP))
    base = ROOT / "configs/base.yaml"
    (folder / "config.yaml").write_text(TINY_RUN.format(base=base, clip=folder / "clip.json", output=folder))
    cfg = errseg.get_cfg()
    cfg.merge_from_file(str(folder / "config.yaml"))
    cfg.MODEL.CLIP.PRETRAINED = ""
    torch.manual_seed(0)
    torch.save({"model": errseg.build_model(cfg).state_dict()}, folder / "model_final.pth")
    return folder


@pytest.fixture(scope="module")
def model(run_folder):
    """The same model from Python, with NAMES."""
    model = errseg.load(run_folder, verbose=False)
    model.set_vocabulary(["cat", "猫", "sky, heaven", "café"])
    return model


@pytest.fixture
def predict(command, run_folder, monkeypatch, tmp_path):
    """``predict(*arguments, names=NAMES)``: exit status, output, errors; outputs go into ``out``."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments, names=("--classes", NAMES)):
        model = ("--weights", run_folder / "model_final.pth", "--device", "cpu")
        return command("predict", "--out", "out", *model, *names, *arguments)

    return call


def picture(seed, size=(40, 60)):
    small = np.random.default_rng(seed).integers(0, 256, (4, 6, 3)).astype(np.uint8)
    return np.asarray(Image.fromarray(small).resize(size[::-1], Image.Resampling.BILINEAR))


@pytest.fixture
def photos(tmp_path):
    """Pictures in a folder and a folder in it."""
    for number, name in enumerate(("a.png", "b.png", "deep/a.png")):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(number)).save(path)
    return tmp_path / "photos"


def write_video(path, frames=6, size=(48, 64)):
    path.parent.mkdir(parents=True, exist_ok=True)
    code = {".mp4": "mp4v", ".avi": "MJPG"}[path.suffix]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*code), 5, size[::-1])
    for number in range(frames):
        writer.write(picture(number, size))
    writer.release()
    return path


def read_video(path):
    capture, frames = cv2.VideoCapture(str(path)), []
    while (frame := capture.read())[0]:
        frames.append(frame[1][:, :, ::-1])
    return capture.get(cv2.CAP_PROP_FPS), frames


def times(folder):
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*_labels.png")}


def test_every_format_says_what_the_model_says(predict, photos, model):
    status, out, err = predict(photos / "a.png", "--format", "overlay,labels,json,rle")
    assert status == 0 and "model_final.pth: ERR-Seg, " in err
    result, folder = model(photos / "a.png"), Path("out")
    labels = np.asarray(Image.open(folder / "a_labels.png"))
    assert labels.dtype == np.uint8 and np.array_equal(labels, result.labels)
    content = json.loads((folder / "a.json").read_text(encoding="utf-8"))
    assert content["names"] == ["cat", "猫", "sky, heaven", "café"] and content["image"] == str(photos / "a.png")
    assert sum(each["area"] for each in content["classes"]) == labels.size == content["width"] * content["height"]
    annotations = json.loads((folder / "a_rle.json").read_text(encoding="utf-8"))["annotations"]
    assert len(annotations) == len(result.classes)
    for each in annotations:
        assert np.array_equal(coco_mask.decode(each["segmentation"]) > 0, labels == each["category_id"])
    overlay = np.asarray(Image.open(folder / "a_overlay.png"))
    shown = set(map(tuple, overlay.reshape(-1, 3).tolist()))
    assert all(colors_of(result.names)[each.id] in shown for each in result.classes)  # the legend's
    for each in result.classes:
        assert f"{100 * each.share:.1f} %" in out and f"{each.score:.2f}" in out
    assert "done    1" in out and "a_overlay.png" in out.splitlines()[-1]


def test_folders_patterns_videos(predict, photos, tmp_path):
    write_video(tmp_path / "film/clip.mp4")
    (photos / "broken.jpg").write_bytes(b"nothing")
    status, out, err = predict("photos", "film", "photos/dee*/*.png", "--batch", 2)
    assert status == 1
    folder = tmp_path / "out"
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    pictures = {f"{stem}{end}" for stem in ("a", "b", "deep/a") for end in ("_overlay.png", "_labels.png", ".json")}
    frames = {f"clip_frames/{number:06d}{end}" for number in range(6) for end in ("_labels.png", ".json")}
    assert files == pictures | frames | {"clip_overlay.mp4", "predict.json", LOCK}
    assert "done    4" in out and "failed  1" in out
    assert err.splitlines()[-1].strip().startswith("The image photos/broken.jpg cannot be read")
    rate, shown = read_video(folder / "clip_overlay.mp4")
    assert rate == 5 and len(shown) == 6 and len({frame.shape for frame in shown}) == 1


def test_a_second_run_keeps_what_is_done(predict, photos):
    predict(photos)
    before = times(Path("out"))
    (Path("out") / "b.json").unlink()
    status, out, _ = predict(photos, "--batch", 2)
    after = times(Path("out"))
    assert status == 0 and "done    1" in out and "kept    2" in out
    assert [name for name in before if before[name] != after[name]] == ["b_labels.png"]
    assert "kept    3" in predict(photos, "--format", "labels")[1]
    assert "done    3" in predict(photos, "--format", "labels,rle")[1]
    assert "done    3" in predict(photos, "--overwrite")[1]
    Image.fromarray(picture(9)).save(photos / "a.png")
    assert "done    1" in predict(photos)[1]


def test_other_names_and_options_are_done_anew(predict, photos):
    predict(photos)
    for names, changes, what in (
        (("--classes", "dog, grass"), (), "names"),
        (("--classes", "dog, grass"), ("--num-classes", 1), "K"),
        (("--classes", "dog, grass"), ("--num-classes", 1, "--background", "none"), "background"),
        (
            ("--classes", "dog, grass"),
            ("MODEL.CRM.SCORE_COEFFICIENT", "0.2"),
            "K and background and MODEL.CRM.SCORE_COEFFICIENT",
        ),
    ):
        status, out, _ = predict(photos, *changes, names=names)
        assert status == 0 and f"3 of 3 inputs were done before with other {what}" in out and "done    3" in out
    # the labels of other names do not become these names' where only the overlay was made with them
    predict(photos, "--format", "overlay", names=("--classes", "one"))
    status, out, _ = predict(photos, "--format", "overlay,labels", names=("--classes", "one"))
    assert "done    3" in out and not np.asarray(Image.open("out/a_labels.png")).any()


@pytest.fixture
def many(photos):
    """Fifty pictures more."""
    for number in range(50):
        Image.fromarray(picture(number)).save(photos / f"{number:03d}.png")
    return photos


def check_whole(folder, count):
    assert len(times(folder)) == count and not list(folder.rglob("*.tmp*"))
    for path in folder.rglob("*_labels.png"):
        assert np.asarray(Image.open(path)).shape == (40, 60)
        json.loads(path.with_name(path.name.replace("_labels.png", ".json")).read_text(encoding="utf-8"))


def test_a_killed_run_goes_on(many, run_folder, tmp_path, predict):
    words = ["predict", many, "--classes", NAMES, "--out", tmp_path / "out", "--device", "cpu"]
    process = Program(main, [*words, "--weights", run_folder], tmp_path, tmp_path / "log.txt")
    while len(list((tmp_path / "out").glob("*.json"))) < 10 and process.poll() is None:
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -signal.SIGKILL, process.log.read_text()
    assert 10 <= len(times(tmp_path / "out")) + 3 < 53
    status, out, _ = predict(many, "--batch", 8)
    assert status == 0 and "failed" not in out
    check_whole(tmp_path / "out", 53)


def test_ctrl_c_leaves_whole_files_and_says_how_to_go_on(many, tmp_path, predict, monkeypatch):
    save, calls = Result.save, []

    def interrupted(result, *arguments):
        calls.append(result.source)
        if len(calls) == 6:
            os.kill(os.getpid(), signal.SIGINT)
        return save(result, *arguments)

    monkeypatch.setattr(Result, "save", interrupted)
    status, out, err = predict(many)
    assert status == 130 and err.splitlines()[-1] == "Interrupted: the same command continues from here."
    assert 6 <= len(calls) < 20 and f"done    {len(calls)}" in out
    check_whole(tmp_path / "out", len(calls))
    before = len(calls)
    status, out, _ = predict(many)
    assert status == 0 and f"kept    {before}" in out and f"done    {53 - before}" in out
    check_whole(tmp_path / "out", 53)


def test_a_broken_file_takes_no_other_with_it(predict, photos):
    (photos / "aa.png").write_bytes((photos / "a.png").read_bytes()[:200])
    (photos / "clip.mp4").write_bytes(b"nothing")
    (photos / "long.jpg").symlink_to("x" * 200)
    status, out, err = predict(photos, photos / "clip.mp4", "--batch", 4)
    assert status == 1 and "done    3" in out and "failed  3" in out
    assert "aa.png cannot be read" in err.splitlines()[-3] and "long.jpg does not exist" in err.splitlines()[-2]
    assert "clip.mp4 cannot be read" in err.splitlines()[-1]
    status, out, _ = predict(photos)
    assert status == 1 and "kept    3" in out and "failed  3" in out  # they are tried again


def test_equal_names_of_files(predict, photos, model):
    Image.fromarray(picture(7)).save(photos / "a.bmp")
    given = [photos / "a.png", photos / "deep/a.png", photos / "a.bmp"]
    status, out, _ = predict(*given)
    assert status == 0 and "done    3" in out and out.count("because another input has") == 2
    for source, place in zip(given, ("a", "deep/a", "a_bmp"), strict=True):
        labels = np.asarray(Image.open(f"out/{place}_labels.png"))
        assert np.array_equal(labels, model(source).labels)
    before = times(Path("out"))
    assert "kept    1" in predict(photos / "deep/a.png")[1] and times(Path("out")) == before


def test_video_frames(predict, tmp_path, model):
    video = write_video(tmp_path / "clip.avi")
    status, out, _ = predict(video, "--every", 2, "--format", "overlay,labels,rle", "--batch", 2)
    assert status == 0 and "done    1" in out and "clip_overlay.mp4" in out
    files = sorted(path.name for path in Path("out/clip_frames").iterdir())
    assert files == [f"{number:06d}{end}" for number in (0, 2, 4) for end in ("_labels.png", "_rle.json")]
    rate, shown = read_video("out/clip_overlay.mp4")
    assert rate == 2.5 and len(shown) == 3  # lasts as long as the video
    _, frames = read_video(video)
    expected = model(np.ascontiguousarray(frames[2]))
    assert np.array_equal(np.asarray(Image.open("out/clip_frames/000002_labels.png")), expected.labels)
    plot = np.asarray(expected.plot()).astype(int)
    assert np.abs(shown[1][: plot.shape[0], : plot.shape[1]] - plot).mean() < 12  # as compression leaves it
    assert "kept    1" in predict(video, "--every", 2, "--format", "rle")[1]
    status, out, _ = predict(video, "--every", 3, "--format", "labels")
    assert status == 0 and "done    1" in out
    labels = sorted(path.name for path in Path("out/clip_frames").glob("*_labels.png"))
    assert labels == ["000000_labels.png", "000003_labels.png"]  # none is left of the other frames


def test_a_video_that_is_cut_off(predict, tmp_path):
    video = write_video(tmp_path / "clip.avi", frames=12)
    video.write_bytes(video.read_bytes()[: video.stat().st_size // 2])
    status, out, err = predict(video)
    assert status == 1 and "failed  1" in out and "of 12 frames: it is damaged or cut off" in err
    assert 0 < len(read_video("out/clip_overlay.mp4")[1]) < 10


def test_a_video_whose_path_is_no_utf8(predict, tmp_path):
    """OpenCV would end the process."""
    video = write_video(tmp_path / "clip.avi")
    os.rename(video, os.fsencode(tmp_path) + b"/clip\xff.avi")
    Image.fromarray(picture(0)).save(tmp_path / "a.png")
    status, out, err = predict("a.png", os.fsdecode(b"clip\xff.avi"))
    assert status == 1 and "done    1" in out and "is no UTF-8; rename it" in err.splitlines()[-1]


def test_a_video_that_the_disk_does_not_take_whole(predict, tmp_path, monkeypatch):
    """OpenCV does not tell: some of the frames are missing in the file, and that is all."""
    writer, calls = cv2.VideoWriter, []

    class Full:
        def __init__(self, *arguments):
            self.file = writer(*arguments)
            self.isOpened, self.release = self.file.isOpened, self.file.release

        def write(self, frame):
            calls.append(frame.shape)
            if len(calls) <= 4:
                self.file.write(frame)

    source = write_video(tmp_path / "clip.avi")
    monkeypatch.setattr(cv2, "VideoWriter", Full)
    status, out, err = predict(source)
    assert len(calls) == 6 and status == 1 and "failed  1" in out
    assert "clip_overlay.mp4 cannot be written to its end; make room" in err.splitlines()[-1]
    assert not list(Path("out").glob("*.mp4*"))
    monkeypatch.setattr(cv2, "VideoWriter", writer)
    assert "done    1" in predict(source)[1] and len(read_video("out/clip_overlay.mp4")[1]) == 6


def test_background(predict, photos, model):
    status, out, _ = predict(photos / "a.png", "--background", "nothing", "--min-confidence", 1)
    assert status == 0 and "nothing  100.0 %" in out
    assert (np.asarray(Image.open("out/a_labels.png")) == 4).all()
    scores = model(photos / "a.png").scores
    predict(photos / "a.png", "--background", "cat", "--min-confidence", float(np.median(scores)))
    labels = np.asarray(Image.open("out/a_labels.png"))
    assert (labels[scores < np.median(scores)] == 0).all() and labels.max() < 4


@pytest.mark.parametrize(
    ("content", "suffix", "expected"),
    [
        ("cat\n\n  猫 \nsky, heaven\n", ".txt", ["cat", "猫", "sky, heaven"]),
        ('["it\'s", "say \\"x\\"", "猫"]', ".json", ["it's", 'say "x"', "猫"]),
        ('{"cat": ["kitten", "tom cat"], "猫": []}', ".json", ["cat", "猫"]),
    ],
)
def test_files_of_names(predict, photos, tmp_path, content, suffix, expected):
    file = (tmp_path / "names").with_suffix(suffix)
    file.write_text(content, encoding="utf-8")
    status, _, err = predict(photos / "a.png", names=("--classes-file", file))
    assert status == 0, err
    assert json.loads(Path("out/a.json").read_text(encoding="utf-8"))["names"] == expected


def test_a_vocabulary(predict, photos):
    status, _, err = predict(photos / "a.png", names=("--vocabulary", "voc_20"))
    assert status == 0 and "No installed font" not in err
    assert len(json.loads(Path("out/a.json").read_text())["names"]) == 20


def test_letters_of_no_font(predict, photos, monkeypatch):
    for cached in (fonts.font_of, fonts._installed):
        cached.cache_clear()
    monkeypatch.setattr(font_manager, "findSystemFonts", list)
    assert "No installed font has the letters 猫:" in predict(photos / "a.png")[2]
    assert "No installed font" not in predict(photos / "a.png", "--format", "labels")[2]
    for cached in (fonts.font_of, fonts._installed):
        cached.cache_clear()


LONG = "x" * 500


@pytest.mark.parametrize(
    ("arguments", "names", "message"),
    [
        (("none.png",), ("--classes", "cat"), "no picture, video or folder none.png"),
        (("a.png",), ("--classes", ""), "no names in ''"),
        (("a.png",), ("--classes", " , ,"), "no names in"),
        (("a.png",), ("--classes", 'cat, "dog'), "odd quote"),
        (("a.png",), ("--classes", "cat, cat"), "the name 'cat' is there twice"),
        (("a.png",), ("--classes", LONG), "shorten it"),
        (("a.png",), ("--classes", "a\udc80b"), "cannot be shown"),
        (("a.png",), ("--classes-file", "none.txt"), "file of names none.txt does not exist"),
        (("a.png",), ("--classes-file", "a.png"), "a.png"),
        (("a.png",), ("--vocabulary", "ade"), "'ade'"),
        (("a.png", "--format", "png"), ("--classes", "cat"), "--format is 'png'"),
        (("a.png", "--format", ","), ("--classes", "cat"), "--format is ','"),
        (("a.png", "--batch", "0"), ("--classes", "cat"), "--batch is 0"),
        (("a.png", "--every", "-1"), ("--classes", "cat"), "--every is -1"),
        (("a.png", "--num-classes", "-1"), ("--classes", "cat"), "--num-classes is -1"),
        (("a.png", "--min-confidence", "0.5"), ("--classes", "cat"), "--min-confidence needs --background"),
        (("a.png", "--background", "x", "--min-confidence", "2"), ("--classes", "cat"), "--min-confidence is 2"),
        (("a.png", "--background", " "), ("--classes", "cat"), "--background: The name ' ' is blank"),
        (("a.png", "--background", "a\x1bb"), ("--classes", "cat"), "--background: The name 'a\\x1bb' has characters"),
        (("a.png", "--opts", "MODEL.NO", "1"), ("--classes", "cat"), "no configuration key MODEL.NO"),
        (("a.png",), (), "required"),
    ],
)
def test_mistakes_are_one_sentence(predict, tmp_path, arguments, names, message):
    Image.fromarray(picture(0)).save(tmp_path / "a.png")
    status, out, err = predict(*arguments, names=names)
    line = err.splitlines()[-1]
    assert status == 2 and not out and message.lower() in line.lower() and line.startswith("errseg predict: ")
    assert not (tmp_path / "out").exists()


def test_an_output_folder_that_is_none(predict, photos):
    Path("out").write_text("mine")
    status, _, err = predict(photos)
    assert status == 2 and "--out out cannot be written" in err and Path("out").read_text() == "mine"
    Path("out").unlink()
    Path("out").mkdir()
    Path("out/predict.json").write_text('{"mine": 1}')
    status, _, err = predict(photos)
    assert status == 2 and "predict.json is no ledger of this version" in err


def test_which_model_it_is(monkeypatch, tmp_path, capsys, run_folder):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(options, "CHECKOUT", tmp_path / "elsewhere")
    assert options.model_of("w.pth", None) == ("w.pth", None)
    assert options.model_of("w.pth", "c.yaml") == ("c.yaml", "w.pth")
    assert options.model_of(None, "c.yaml") == ("c.yaml", None)
    with pytest.raises(errseg.errors.UsageError, match="huggingface.co/lchen1019/ERR-Seg.*quickstart.sh"):
        options.model_of(None, None)
    Path("output/mini").mkdir(parents=True)
    os.symlink(run_folder, "output/mini/errseg")
    assert options.model_of(None, None) == ("output/mini/errseg", None)
    assert "knows only drawn shapes" in capsys.readouterr().err
