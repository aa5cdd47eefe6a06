"""The habits of this repository that a program can check."""

import ast
import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted((ROOT / "errseg").rglob("*.py"))
TOOLS = sorted((ROOT / "tools").glob("*.py"))
CONFIGS = sorted((ROOT / "configs").rglob("*.yaml"))
ABLATIONS = sorted((ROOT / "configs/ablations").rglob("*.yaml"))


PRIVATE = r"(?<![\w.}/~-])/(?:work|root|home|Users|opt|tmp/\w+)/[\w.]|pypi\.(?:org|python)|pythonhosted\."


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("command", [("check", "-q"), ("format", "--diff", "-q")], ids=["lint", "format"])
def test_ruff(command: tuple[str, ...]) -> None:
    run = subprocess.run([sys.executable, "-m", "ruff", *command, ROOT], capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr


def test_types() -> None:
    run = subprocess.run([sys.executable, "-m", "mypy"], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr


def test_no_file_names_somebodys_machine() -> None:
    """Absolute paths of one machine and hosts of package indexes have no place in a public repository."""
    command = ["git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(command, capture_output=True, text=True)
    if listing.returncode != 0:
        pytest.skip("not a git checkout: what belongs to the repository is not known")
    found = []
    for path in filter(None, listing.stdout.split("\0")):
        content = (ROOT / path).read_bytes() if (ROOT / path).is_file() else b""
        if b"\0" not in content:  # text
            for number, line in enumerate(content.decode("utf-8").splitlines(), 1):
                found += [f"{path}:{number}: {match.group()}" for match in re.finditer(PRIVATE, line)]
    assert not found


@pytest.mark.parametrize(("files", "limit"), [(SOURCES, 300), (TOOLS, 150)], ids=["errseg", "tools"])
def test_files_are_short(files: list[Path], limit: int) -> None:
    lengths = {name(path): len(path.read_text(encoding="utf-8").splitlines()) for path in files}
    assert {path: length for path, length in lengths.items() if length > limit} == {}


def canonical(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()


def owners_of_modules() -> dict[str, set[str]]:
    """The distributions that install each top-level module (Python 3.10's own function knows but a few of them)."""
    owners: dict[str, set[str]] = {}
    for distribution in importlib.metadata.distributions():
        record = distribution.read_text("RECORD")  # parsed here: ``files`` takes a minute for as many as torch has
        files = record.splitlines() if record else map(str, distribution.files or ())
        for top in {re.split(r"[/.,]", file, maxsplit=1)[0] for file in files}:
            owners.setdefault(top, set()).add(distribution.metadata["Name"])
    return owners


def test_every_import_is_a_requirement() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8").partition("[project.scripts]")[0]
    required = set(map(canonical, re.findall(r'"([\w.-]+)(?:\[\w+\])?[<>=,\w.]*"', text)))
    owners = owners_of_modules()
    own = {"errseg", "detectron2", "tests"} | {path.stem for path in (ROOT / "tests").rglob("*.py")}
    undeclared = {}
    for path in SOURCES + TOOLS + sorted((ROOT / "tests").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                modules = [node.module]
            else:
                continue
            for module in {module.split(".")[0] for module in modules} - sys.stdlib_module_names:
                # an extra that is not installed: its distribution has the module's name
                distributions = set(map(canonical, owners.get(module, [module])))
                if module not in own and not distributions & required:
                    undeclared.setdefault(module, name(path))
    assert undeclared == {}


KEY_FILES = [ROOT / "errseg/config/keys.py", *sorted((ROOT / "errseg/modeling").glob("*/config.py"))]


def declared_keys() -> list[str]:
    """The keys of errseg and of its systems, as dotted paths within their section: ``CLIP.NAME``, ``OPTIMIZER``."""
    keys = []
    for node in [node for path in KEY_FILES for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))]:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Attribute):
            is_section = isinstance(node.value, ast.Call) and ast.unparse(node.value) == "CfgNode()"
            if not is_section:
                keys.append(ast.unparse(node.targets[0]).split(".", 1)[1])
    return keys


NAMING_KEYS = ("keys.py", "defaults.py", "settings.py", "training_only.py")  # files that name keys without reading them


def test_every_config_key_is_read() -> None:
    naming = [path for path in SOURCES if path.name in NAMING_KEYS or path in KEY_FILES]
    texts = [path.read_text(encoding="utf-8") for path in SOURCES if path not in naming]
    keys = declared_keys()
    assert len(keys) > 50
    unread = []
    for key in keys:
        words = [rf"\b{word}\b" for word in key.split(".")]  # a section may be bound to a name, cfg.MODEL.CLIP
        if not any(all(re.search(word, text) for word in words) for text in texts):
            unread.append(key)
    assert unread == []


@pytest.mark.parametrize("path", CONFIGS, ids=name)
def test_config_loads(path: Path) -> None:
    """Its `_BASE_` is there, and every key is one that is declared."""
    from errseg.config import get_cfg

    get_cfg().merge_from_file(str(path))


def leaves(node: object) -> int:
    return sum(map(leaves, node.values())) if isinstance(node, dict) else 1


@pytest.mark.parametrize("path", ABLATIONS, ids=name)
def test_ablation_changes_at_most_three_keys(path: Path) -> None:
    tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert tree.pop("_BASE_", None), "an ablation holds differences from a base"
    assert 1 <= leaves(tree) <= 3


TESTS = ROOT / "tests"
OF_THE_REPOSITORY = TESTS / "repository"  # tests of scripts, tools, documents, the wheel, and of the whole package
MIRROR_EXCEPTIONS = {"tests/modeling/test_new_system.py"}  # an example of a new system, in one file


def test_tests_mirror_the_package() -> None:
    """tests/data/test_names_file.py and tests/data/test_names_file_errors.py are of errseg/data/names_file.py.

    The tests of errseg/compat/detectron2 are in tests/compat.
    """
    strays = []
    for path in sorted(TESTS.rglob("test_*.py")):
        parts = path.parent.relative_to(TESTS).parts
        folder = ROOT.joinpath("errseg", *(("compat", "detectron2", *parts[1:]) if parts[:1] == ("compat",) else parts))
        modules = {part.stem.strip("_") for part in folder.glob("*") if part.suffix == ".py" or part.is_dir()}
        subject = path.stem.removeprefix("test_") + "_"
        is_mirror = folder.is_dir() and any(subject.startswith(f"{module}_") for module in modules)
        if not is_mirror and path.parent != OF_THE_REPOSITORY and name(path) not in MIRROR_EXCEPTIONS:
            strays.append(name(path))
    assert strays == []
