"""The command errseg: its help, its mistakes, KEY VALUE pairs, and the scripts that are the same as a command."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import errseg
from errseg.cli import doctor, inspect, options
from errseg.cli.commands import COMMANDS
from errseg.cli.parser import Parser

ROOT = Path(__file__).parents[2]
NAMES = [command.name for command in COMMANDS]
SHIMS = [path for path in sorted([*ROOT.glob("tools/*.py"), *ROOT.glob("datasets/*.py")]) if path.stem != "train_net"]
# Runs the command as ``python -m errseg`` does, and says whether torch was imported
WATCHED = """
import errseg.__main__, sys
from errseg.cli import main
statuses = [main(words.split()) for words in sys.argv[1:]]
print(statuses, sorted({"torch", "detectron2", "numpy", "PIL"} & set(sys.modules)))
"""


def test_no_help_and_no_wrong_option_imports_torch(tmp_path):
    """In a process that is started as the console script is."""
    script = tmp_path / "errseg"
    script.write_text(WATCHED)
    mistakes = ["nothing", "data chek", *(f"{name} --wrong-option" for name in NAMES), "train", "predict --device"]
    lines = ["--help", "--version", "data --help", *(f"{name} --help" for name in NAMES), *mistakes]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = subprocess.run([sys.executable, script, *lines], capture_output=True, text=True, env=environment)
    assert run.stdout.splitlines()[-1] == f"{[0] * (3 + len(NAMES)) + [2] * len(mistakes)} []", run.stderr
    assert run.stderr.count("\n") == len(mistakes)


def test_from_python_all_is_registered_at_once():
    assert "load" in vars(errseg)  # else the first use of a public name registers


def test_the_list_of_commands_fits_a_screen(command):
    status, out, _ = command("--help")
    assert status == 0 and len(out.splitlines()) <= 24 and max(map(len, out.splitlines())) <= 80
    groups = {name.split()[0] for name in NAMES if " " in name}
    assert all(f"  {name.split()[0]} " in out for name in NAMES)
    for group in groups:
        _, inside, _ = command(group, "--help")
        assert all(f"  errseg {name} " in inside for name in NAMES if name.startswith(f"{group} "))
        assert all(name.split()[1] in out for name in NAMES if name.startswith(f"{group} "))
    assert command() == (2, out, "")


@pytest.mark.parametrize("name", NAMES)
def test_the_help_has_one_example(command, name, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    status, out, _ = command(*name.split(), "--help")
    assert status == 0 and out.startswith(f"usage: errseg {name}") and f"\n  errseg {name}" in out
    assert "--config-file" not in out and "--opts" not in out and max(map(len, out.splitlines())) <= 80


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["predic"], "errseg: There is no command predic; did you mean predict?"),
        (["data", "chek"], "errseg: There is no command data chek; did you mean data check?"),
        (["train", "--confg", "x"], "errseg train: There is no option --confg; did you mean --config?"),
        (["train", "--device", "cpu"], "errseg train: --config is required; see errseg train --help."),
        (["train", "--config", "x", "seed", "1"], "seed is not a configuration key, such as TEST.FLIP"),
        (["evaluate", "SEED", "1", "--gpus", "2"], "The option --gpus comes after a KEY VALUE pair"),
        (["train", "--config", "errseg_convnext_bas"], "did you mean errseg_convnext_base"),
        (["evaluate", "--config", "base"], "no weights are given; add --weights FILE."),
        (["benchmark"], "no configuration is given; add --config"),
        (["data", "prepare", "vok"], "argument SET: invalid choice: 'vok'"),
        (["mini", "ablate", "IV"], "TABLE is 'IV'; the mini world has the rows of V, VI"),
        (["mini", "ablate", "deop", "--out", "nowhere"], "There is no nowhere/clip.pt; run errseg mini run deop"),
        (["fuzz", "--only", "x"], "--only is 'x'; give one of configuration"),
        (["convert", "a.pth", "b.onnx"], "OUT is b.onnx; end it with .safetensors or .pth"),
    ],
)
def test_a_mistake_is_one_sentence_and_status_2(command, words, sentence):
    status, out, err = command(*words)
    assert status == 2 and out == "" and sentence in err and err.count("\n") == 1 and err.startswith("errseg")


@pytest.fixture
def parse():
    """``parse(word, …)``: the namespace of a command with pictures, an option and KEY VALUE pairs."""

    def run(*words):
        parser = Parser("errseg x", "")
        parser.add_argument("images", nargs="+", metavar="PICTURES")
        parser.add_argument("--background")
        options.add_config(parser)
        return parser.parse(words)

    return run


@pytest.mark.parametrize(
    ("words", "images", "pairs"),
    [
        (["a.jpg", "TEST.FLIP", "True"], ["a.jpg"], ["TEST.FLIP", "True"]),
        (["a.jpg", "b.jpg", "SEED", "1", "MODEL.X", "--y"], ["a.jpg", "b.jpg"], None),
        (["IMG_1.JPG", "OUTPUT_DIR", "x"], ["IMG_1.JPG"], ["OUTPUT_DIR", "x"]),
        (["THERE.A", "--background", "SEED"], ["THERE.A"], []),
        (["--backg", "SEED", "a.jpg"], ["a.jpg"], []),
        (["--background=x", "a.jpg", "SEED", "2"], ["a.jpg"], ["SEED", "2"]),
        (["a.jpg", "--opts", "TEST.FLIP", "True", "--config", "c.yaml"], ["a.jpg"], ["TEST.FLIP", "True"]),
        (["a.jpg", "--config-file", "c.yaml", "TEST.FLIP", "True"], ["a.jpg"], ["TEST.FLIP", "True"]),
    ],
)
def test_pairs_begin_at_the_first_key(parse, tmp_path, monkeypatch, words, images, pairs):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "THERE.A").touch()
    if pairs is None:
        with pytest.raises(SystemExit):
            parse(*words)
    else:
        args = parse(*words)
        assert (args.images, args.opts) == (images, pairs)
        assert args.config == ("c.yaml" if "c.yaml" in words else None)
        given = {"--background": "SEED", "--backg": "SEED", "--background=x": "x"}
        assert args.background == next((given[word] for word in words if word in given), None)


def test_what_the_help_lists_is_what_there_is():
    from errseg import inspection
    from errseg.data.vocabularies import vocabulary_names

    assert options.vocabulary_names() == vocabulary_names() and tuple(inspect.PARTS) == inspection.PARTS
    pins = doctor.requirements()
    # requirements.txt has no version of these
    untested = {"pillow-heif", "starlette", "ray", "pyarrow", "fsspec", "openvino", "nncf"}
    assert set(doctor.OPTIONAL) - untested <= set(pins)


@pytest.mark.parametrize("path", SHIMS, ids=lambda path: path.name)
def test_a_shim_is_three_lines(path):
    docstring, sys_import, main_import, guarded = ast.parse(path.read_text(encoding="utf-8")).body
    assert ast.unparse(main_import) == "from errseg.cli import main"
    call = ast.unparse(guarded.body[0])
    (name,) = [name for name in (*NAMES, *(f"data prepare {word}" for word in _sets())) if _calls(call, name)]
    assert f"``errseg {name}``" in docstring.value.value and len(guarded.body) == 1


def _sets():
    from errseg.cli.data_prepare import SETS

    return list(SETS)


def _calls(call, name):
    words = ", ".join(repr(word) for word in name.split())
    return call == f"sys.exit(main([{words}, *sys.argv[1:]]))"


def test_a_shim_runs():
    run = subprocess.run([sys.executable, ROOT / "tools/predict.py", "--help"], capture_output=True, text=True)
    assert run.returncode == 0 and run.stdout.startswith("usage: errseg predict PICTURES")
