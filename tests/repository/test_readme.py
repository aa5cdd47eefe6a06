"""README.md and the other documents: commands parse, Python runs, keys, files, links and anchors exist."""

import argparse
import ast
import pkgutil
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import yaml
from PIL import Image

import errseg
from errseg.checkpoint import ERRSegCheckpointer
from errseg.config import config_path
from errseg.data.dataset_file import KINDS, load_dataset_file
from tests.tiny import blobs, write_run

ROOT = Path(__file__).parents[2]
DOCUMENTS = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for path in sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "datasets/README.md"])
}
FENCED = re.compile(r"^(?:<!-- (needs|tested by): (.+?) -->\n)?```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
HEREDOC = re.compile(r"<<'?EOF'?\n.*?^EOF$", re.MULTILINE | re.DOTALL)
RUNS = re.compile(r"(?:errseg|python (?:tools|datasets)/\S+|scripts/\S+\.sh)(?: |$)")
OTHERS = re.compile(  # not parsed: words of the shell, and scripts without options
    r"(seq|echo|export|source|for|cat|done|\.venv/bin/pip install|python -|python output/\S+"
    r"|scripts/(ablate_mini|benchmark_gpu|quickstart|setup|test)\.sh)( |$)"
)
PASSED_ON = {"scripts/predict.sh": "predict", "scripts/web.sh": "web"}  # scripts that hand on their arguments
HISTORY = "CHANGELOG.md"  # names what is no more
CURRENT = [document for document in DOCUMENTS if document != HISTORY]


class Block(NamedTuple):
    """A fenced block, and what the comment before it says of its test."""

    document: str
    kind: str  # "needs", "tested by" or ""
    reason: str
    language: str
    text: str


def blocks(language: str) -> list[Block]:
    found = [Block(document, *match) for document, text in DOCUMENTS.items() for match in FENCED.findall(text)]
    return [block for block in found if block.language == language]


def lines(shell: str) -> list[str]:
    """The commands of a block: without here-documents, comments and the breaks of long lines."""
    text = HEREDOC.sub("", shell).replace("\\\n", " ")
    words = [shlex.split(line, comments=True) for line in text.splitlines() if " [" not in line]  # that is usage
    return [shlex.join(line) for line in words if line]


def commands() -> Iterator[str]:
    """The commands of every block, and those in the text; one without options stands for its --help."""
    for block in blocks("bash"):
        yield from lines(block.text)
    for text in DOCUMENTS.values():
        spans = re.findall(r"`([^`\n]+)`", FENCED.sub("", text))
        for span in filter(RUNS.match, spans):
            if " --" in span:
                yield span
            elif not span.startswith("scripts/"):
                yield f"{span} --help"


def slug(heading: str) -> str:
    """The anchor that a heading gets, as GitHub makes it."""
    text = re.sub(r"\[([^]]*)\]\([^)]*\)|[`*]", r"\1", heading)
    return re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")


def is_there(path: str) -> bool:
    return any(ROOT.glob(path))


class Parsed(Exception):
    """The arguments of a command are right; it goes no further."""


@pytest.fixture
def parse(monkeypatch):
    """``parse(words)``: runs a command of ours until its arguments are read; returns the status of what ends before."""
    cli = pytest.importorskip("errseg.cli")

    def stop_after(method):
        def stop(parser, *args, **kwargs):
            method(parser, *args, **kwargs)
            raise Parsed

        return stop

    def run(program, *arguments):
        if program in PASSED_ON:
            program, arguments = "errseg", (PASSED_ON[program], *arguments)
        if program == "errseg":
            return cli.main(list(arguments))
        if program == "python":
            monkeypatch.setattr(sys, "argv", list(arguments))
            monkeypatch.syspath_prepend(str(ROOT / Path(arguments[0]).parent))
            return runpy.run_path(str(ROOT / arguments[0]), run_name="__main__")
        command = ["bash", str(ROOT / program), "--dry-run", *arguments]
        environment = {"PATH": "/usr/bin:/bin", "ERRSEG_PYTHON": sys.executable}
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        words = shlex.split(done.stdout)  # python -m errseg …, or python tools/train_net.py …, perhaps under torchrun
        if "errseg" in words:
            return run(*words[words.index("errseg") :])
        return run("python", "tools/train_net.py", *words[words.index(f"{ROOT}/tools/train_net.py") + 1 :])

    for parser, method in ((cli.parser.Parser, "parse"), (argparse.ArgumentParser, "parse_args")):
        monkeypatch.setattr(parser, method, stop_after(getattr(parser, method)))
    return run


@pytest.mark.parametrize("command", sorted({line for line in commands() if not OTHERS.match(line)}))
def test_command_parses(command, parse):
    words = shlex.split(command)
    if "--wrap" in words:  # sbatch, which calls srun
        words = shlex.split(words[words.index("--wrap") + 1])[1:]
    try:
        status = parse(*words)
    except Parsed:
        return
    except SystemExit as end:
        status = end.code
    assert status == 0  # of --help


@pytest.mark.parametrize("name", sorted(set(re.findall(r"--config (?!CONFIG)(\S+)", "\n".join(commands())))))
def test_configuration_is_there(name):
    assert (ROOT / config_path(name)).is_file()


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_and_anchors(document):
    missing = []
    for target in re.findall(r"\]\(((?!https?:)[^)\s]+)\)", FENCED.sub("", DOCUMENTS[document])):
        path, _, anchor = target.partition("#")
        file = (ROOT / document).parent / path if path else ROOT / document
        if not file.exists():
            missing.append(target)
        elif anchor:
            headings = re.findall(r"^#+ (.+)$", FENCED.sub("", file.read_text(encoding="utf-8")), re.MULTILINE)
            missing += [target] * (anchor not in map(slug, headings))
    assert not missing


@pytest.mark.parametrize("document", CURRENT)
def test_files_and_keys_that_it_names(document):
    text = DOCUMENTS[document]
    paths = re.findall(r"(?<![\w./-])(?:configs|errseg|scripts|tests|tools)/[\w./*-]*\w", text)
    assert [path for path in paths if not is_there(path)] == []
    cfg = errseg.get_cfg()
    for key in re.findall(r"\b(?:MODEL|SOLVER|INPUT|TEST|DATASETS|DATALOADER)(?:\.[A-Z0-9_]+)+", text):
        node = cfg
        *sections, last = key.split(".")
        for section in sections:
            node = node[section]
        assert any(name.startswith(last) if last.endswith("_") else name == last for name in node), key


def test_every_block_of_commands_says_what_tests_it():
    shown = [block for block in blocks("bash") if block.document != "datasets/README.md"]
    silent = [block for block in shown if not block.kind]
    assert silent == []
    tests = {block.reason for block in blocks("bash") + blocks("python") if block.kind == "tested by"}
    assert [test for test in tests if not (ROOT / test).is_file()] == []


def uses(tree: ast.AST) -> set[str]:
    """The dotted names that start with errseg."""
    names = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    return {name for name in names if re.fullmatch(r"errseg(\.\w+)+", name)}


@pytest.mark.parametrize("document", CURRENT)
def test_what_it_uses_of_errseg_exists(document):
    names = set(re.findall(r"`(errseg(?:\.[a-zA-Z_]\w+)+)", FENCED.sub("", DOCUMENTS[document])))
    for block in blocks("python"):
        names |= uses(ast.parse(block.text)) if block.document == document else set()
    for name in names:
        pkgutil.resolve_name(name)  # raises where there is no such thing


@pytest.mark.parametrize("document", ["README.md", "docs/predict.md"])
def test_the_python_runs(document, build, tiny_cfg, tmp_path, monkeypatch):
    block = next(block.text for block in blocks("python") if block.document == document)
    named = '"errseg_convnext_base", weights="errseg_base.pth"'
    assert named in block
    ERRSegCheckpointer(build(), str(tmp_path)).save("errseg_base")
    (tmp_path / "config.yaml").write_text(tiny_cfg.dump())
    photo = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    Image.fromarray(photo).save(tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    space = {"photos": (photo for _ in range(5))}
    exec(block.replace(named, '"config.yaml", weights="errseg_base.pth"'), space)
    assert isinstance(space["result"], errseg.Result) and Path("overlay.png").is_file()
    if document == "docs/predict.md":
        assert next(space["photos"], None) is None
        assert space["dense"].shape == (32, 4, 4) and space["cosines"].shape == (2, 4, 4)
        written = sorted(path.name for path in (tmp_path / "out").iterdir())
        assert written == ["photo.json", "photo_labels.png", "photo_overlay.png"]


def test_the_python_of_deop_runs(tmp_path, monkeypatch, capsys):
    _, block = [block.text for block in blocks("python") if block.document == "docs/predict.md"]
    named = '"deop_vit_b16", weights="deop.pth"'
    assert named in block
    write_run(tmp_path, "DeOP")
    Image.fromarray(blobs(40, 60)).save(tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    space = {}
    exec(block.replace(named, '"config.yaml", weights="model_final.pth"'), space)
    assert space["found"].masks.shape == (5, 40, 60) and len(capsys.readouterr().out.splitlines()) == 3


def test_keys_of_a_data_set_file():
    """The table names every key and no other; so does the example of README.md."""
    section = DOCUMENTS["docs/data.md"].split("### The keys of the file")[1].split("\n#")[0]
    rows = re.findall(r"^\| (`.+?) \|", section, re.MULTILINE)
    assert sorted(key for row in rows for key in re.findall(r"`(\w+)`", row)) == sorted(KINDS)
    for block in blocks("yaml"):
        assert set(yaml.safe_load(block.text)) <= set(KINDS), block


def test_the_walk_through_your_own_data_set(tmp_path, monkeypatch):
    """The documented commands draw the data set, and its files are read as they should be."""
    (block,) = [block.text for block in blocks("bash") if "python - <<'EOF'" in block.text]
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    subprocess.run(["bash", "-e"], input=block, text=True, cwd=tmp_path, env={"PATH": path}, check=True)
    monkeypatch.chdir(tmp_path)
    for split, count in (("train", 24), ("val", 8)):
        described = load_dataset_file(f"datasets/balls/{split}.yaml")
        assert described.vocabulary.classes == ("meadow", "red ball", "blue ball")
        images, labels = (sorted(Path(f"datasets/balls/{kind}/{split}").iterdir()) for kind in ("images", "labels"))
        assert len(images) == len(labels) == count
        assert set(np.unique(Image.open(labels[0]))) <= {0, 1, 2, 3}
