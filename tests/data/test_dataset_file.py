"""Data-set files: the content that is accepted, and the messages for content that is not."""

import json

import pytest

from errseg.data.dataset_file import load_dataset_file
from errseg.data.vocabularies import load_vocabulary
from errseg.errors import UsageError

from .third_party import NAMES, write_yaml


@pytest.fixture
def write(tmp_path):
    """``write(key=value, …)``: the path of a data-set file with those keys changed; None takes one out."""
    for folder in ("pictures", "masks"):
        (tmp_path / folder).mkdir()
    return lambda **changes: str(write_yaml(tmp_path / "towns.yaml", **changes))


def test_folders_are_relative_to_the_file(write, tmp_path, monkeypatch):
    path = write()
    monkeypatch.chdir("/")
    file = load_dataset_file(path)
    assert file.images == tmp_path / "pictures" and file.labels == tmp_path / "masks"
    assert file.vocabulary.classes == file.vocabulary.prompts == tuple(NAMES)
    assert load_dataset_file(write(images=str(tmp_path / "pictures"))).images == tmp_path / "pictures"


@pytest.mark.parametrize(
    ("keys", "ignore_label", "label_map"),
    [
        ({"ignore": None, "label_offset": None}, 255, None),
        ({"ignore": 3, "label_offset": None}, 3, None),
        ({"ignore": 0, "label_offset": -1}, 255, {0: 255, 1: 0, 2: 1, 3: 2}),
        ({"ignore": 255, "label_offset": -1}, 255, {1: 0, 2: 1, 3: 2, 255: 255}),
        ({"ignore": 255, "label_offset": None, "reduce_zero_label": True}, 255, {0: 255, 1: 0, 2: 1, 3: 2, 255: 255}),
        ({"ignore": 0, "label_offset": 0, "reduce_zero_label": True}, 255, {0: 255, 1: 0, 2: 1, 3: 2}),
        ({"ignore": 9, "label_offset": -20}, 9, {20: 0, 21: 1, 22: 2, 9: 9}),
        ({"ignore": 9, "label_offset": 1}, 9, {0: 1, 1: 2, 9: 9}),
    ],
)
def test_ids(write, keys, ignore_label, label_map):
    file = load_dataset_file(write(**keys))
    assert (file.ignore_label, file.label_map) == (ignore_label, label_map)


def test_many_names_need_sixteen_bits(write):
    names = [f"name {i}" for i in range(300)]
    keys = {"names": names, "label_offset": None}
    with pytest.raises(UsageError, match="ignore in .*towns.yaml is 255, .* class 'name 255'.*65535, which 16-bit"):
        load_dataset_file(write(ignore=None, **keys))
    assert load_dataset_file(write(ignore=65535, **keys)).ignore_label == 65535
    file = load_dataset_file(write(names=names, ignore=0, label_offset=-1))
    assert file.ignore_label == 65535 and file.label_map[0] == 65535 and file.label_map[300] == 299


def test_k_is_the_systems_choice_unless_the_file_has_it(write):
    names = [f"name {i}" for i in range(20)]
    assert load_dataset_file(write(names=names)).num_classes_test is None
    assert load_dataset_file(write(names=names, num_classes=2)).num_classes_test == 2
    assert load_dataset_file(write(names=names, num_classes=999)).num_classes_test == 20


def test_names_come_from_files_and_from_our_vocabularies(write, tmp_path):
    (tmp_path / "names.txt").write_text("\ufeffsky\n grass, lawn \r\nno\n1\n\n", encoding="utf-8")
    assert load_dataset_file(write(names="names.txt")).vocabulary.classes == ("sky", "grass, lawn", "no", "1")
    (tmp_path / "data.yaml").write_text("path: x\nnc: 2\nnames:\n  0: sky\n  1: red car\n")  # ultralytics'
    for names in ({0: "sky", 1: "red car"}, "data.yaml", {1: "sky", 2: "red car"}):  # labels hold 1 and 2, for the last
        assert load_dataset_file(write(names=names)).vocabulary.classes == ("sky", "red car")
    (tmp_path / "names.json").write_text(json.dumps(NAMES))
    assert load_dataset_file(write(names="names.json")).vocabulary.classes == tuple(NAMES)
    assert load_dataset_file(write(names="ade20k_150")).vocabulary == load_vocabulary("ade20k_150")
    assert len(load_dataset_file(write(names="voc_21")).vocabulary.prompts) == 59


def test_unseen_classes_are_given_by_their_names(write):
    assert load_dataset_file(write()).unseen_classes == ()
    file = load_dataset_file(write(names=["sky, heaven", "cow", "red car"], unseen=["Red  Car", "sky"]))
    assert file.unseen_classes == (0, 2)


def test_endings(write):
    file = load_dataset_file(write())
    assert ".jpg" in file.image_endings and ".png" in file.label_endings
    file = load_dataset_file(write(image_ext="JPG", label_ext="_gtFine.png"))
    assert file.image_endings == (".jpg",) and file.label_endings == ("_gtfine.png",)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"lables": "masks"}, "unknown key 'lables'; did you mean labels"),
        ({"palette": 3}, "unknown key 'palette'; there are images, labels"),
        ({"names": None}, "lacks names; add it"),
        ({"images": "nowhere"}, "images in .*towns.yaml is 'nowhere', but there is no folder .*nowhere; correct"),
        ({"images": 3}, "images in .* is 3; give a folder"),
        ({"images": ""}, "images in .* is ''; give a folder"),
        ({"ignore": "void"}, "ignore in .* is 'void'; give a whole number"),
        ({"ignore": True}, "ignore in .* is True; give a whole number"),
        ({"ignore": -1}, "ignore in .* is -1; give a whole number from 0"),
        ({"ignore": 65536}, "ignore in .* is 65536; give a whole number from 0 to 65535"),
        ({"label_offset": 1.5}, "label_offset in .* is 1.5"),
        ({"reduce_zero_label": 1}, "reduce_zero_label in .* is 1; give true or false"),
        ({"reduce_zero_label": True}, "both reduce_zero_label and label_offset; .*keep one"),
        ({"num_classes": 0}, "num_classes in .* is 0; give a positive"),
        ({"ignore": 2}, "ignore in .* is 2, which is also the id of the class 'grass, lawn'"),
        ({"ignore": 0, "label_offset": None}, "ignore in .* is 0, .* class 'sky'.*where ids start at 1"),
        ({"names": []}, "holds no list of names"),
        ({"names": {"sky": ["heaven"]}}, "holds no list of names; give one name for each id"),
        ({"names": {0: "sky", 2: "grass"}}, "names in .* gives names to 2 ids from 0 to 2, but none to 1"),
        (
            {"names": {1: "sky", 2: "lawn"}, "label_offset": None},
            "the ids 1 to 2; add label_offset: -1 to .*towns.yaml",
        ),
        ({"names": ["sky", "grass", "Sky"]}, "has 'Sky' for the ids 0 and 2"),
        ({"names": 5}, "holds no list of names"),
        ({"names": ["sky", "grass", "sky "]}, "has 'sky' for the ids 0 and 2"),
        ({"names": ["sky", " "]}, "name of id 1 in .* is ' ', in which a name is blank"),
        ({"names": ["sky", "lawn,"]}, "name of id 1 in .* is 'lawn,', in which a name is blank"),
        ({"names": ["sky", False]}, "name of id 1 in .* is read as False, which is no text; put it in quotes"),
        ({"names": ["sky", 1]}, "name of id 1 in .* is read as 1"),
        ({"names": ["sky", None]}, "name of id 1 in .* is read as None"),
        ({"names": ["sky", {"wall": "red"}]}, "name of id 1 in .* is read as {'wall': 'red'}"),
        ({"images": "~nouser/x"}, "images in .* is '~nouser/x', but that home is not known"),
        ({"names": "~nouser/x"}, "names in .* is '~nouser/x', but that home is not known"),
        ({"images": "x" * 1500}, "images in .* is 'x{200}…', but there is no folder"),
        ({"names": "x" * 1500}, "names in .* is 'x{200}…', but there is no file"),
        ({"label_offset": -1000000000}, "label_offset in .* is -1000000000; give a number from -65535 to 65535"),
        ({"values": {0: "sky"}}, "gives both values and label_offset; keep values"),
        ({"label_offset": None, "values": {0: "sky", 1: "gras"}}, "values in .* names the class 'gras'"),
        ({"label_offset": None, "values": {"0": "sky"}}, "values in .* names the value '0'; give whole numbers"),
        ({"label_offset": None, "values": {}}, "values in .* names no class"),
        ({"label_offset": None, "values": {0: "sky", 1: 9}}, "values in .* names the class 9, which names does not"),
        ({"label_offset": None, "ignore": 0, "values": {0: "sky"}}, "gives 0 to a class in values, and as ignore"),
        ({"label_offset": None, "colors": {"sky": None}}, "colors in .* has None for 'sky', which is no colour"),
        ({"label_offset": None, "colors": {"sky": [0, 0, 256]}}, r"colors in .* has \[0, 0, 256\] for 'sky'"),
        ({"label_offset": None, "colors": [[0, 0, 0]] * 4}, "has 4 colours for 3 names"),
        ({"label_offset": None, "colors": [[0, 0, 0]] * 2}, r"gives \[0, 0, 0\] to two classes"),
        ({"unseen": "sky"}, "unseen in .* is 'sky'; give a list of names, as in unseen"),
        ({"unseen": [1]}, "unseen in .* has 1, which is none of its names; give names"),
        ({"unseen": [NAMES[0] + "x"]}, f"which is none of its names; did you mean {NAMES[0]!r}"),
        ({"unseen": list(NAMES)}, "unseen in .* has all 3 classes; leave out those that training uses"),
        ({"exif": "upright"}, "exif in .* is 'upright'; give turned"),
        ({"names": "names.txt"}, "is 'names.txt', but there is no file .*names.txt, and no vocabulary .*ade20k_150"),
    ],
)
def test_what_is_wrong_is_named_in_one_sentence(write, keys, message):
    with pytest.raises(UsageError, match=message) as error:
        load_dataset_file(write(**keys))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("images: [", "no YAML"),
        ("images: !!python/object/apply:os.getcwd []", "has the tag .*os.getcwd"),
        ("[" * 5000, "nests its values deeper"),
        ("images: 2020-99-99", "bad.yaml"),
        ("label_offset: " + "9" * 5000, "bad.yaml"),
        ("images: !!int x", "bad.yaml"),
        ("images: pictures\nlabels: p\nnames: [a]\nlabel_offset: 0x" + "f" * 5000, "bad.yaml"),
        ("", "holds no keys; give images, labels, names"),
        ("- sky", "holds no keys"),
        ("images: pictures\nlabels: masks\nnames: [sky, no]", "read as False"),
        ("images: pictures\nlabels: masks\nnames: [sky, '2024']\nignore: 255\n1: 2", "unknown key 1"),
    ],
)
def test_files_that_are_no_data_set(tmp_path, text, message):
    (tmp_path / "pictures").mkdir()
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=message) as error:
        load_dataset_file(str(path))
    assert "bad.yaml" in str(error.value) and "\n" not in str(error.value)


def test_a_missing_file_and_text_in_another_encoding(tmp_path, write):
    with pytest.raises(UsageError, match="gone.yaml does not exist"):
        load_dataset_file(str(tmp_path / "gone.yaml"))
    (tmp_path / "latin.yaml").write_bytes("names: [Stra\xdfe]".encode("latin-1"))
    with pytest.raises(UsageError, match="latin.yaml is no YAML"):
        load_dataset_file(str(tmp_path / "latin.yaml"))
    for name, content, words in (
        ("names.txt", b"Stra\xdfe", "cannot be read .*UTF-8"),
        ("names.json", b"[", "no JSON"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UsageError, match=f"{name} (is )?{words}"):
            load_dataset_file(write(names=name))
    (tmp_path / "names.json").write_text('{"sky": 1}')
    with pytest.raises(UsageError, match="names.json holds no list"):
        load_dataset_file(write(names="names.json"))
    (tmp_path / "names.txt").write_text("sky\n\ngrass\n")
    with pytest.raises(UsageError, match="name of id 1 in .*names.txt is '', in which a name is blank"):
        load_dataset_file(write(names="names.txt"))
