"""Layers point down only, and systems are known by their records: what docs/architecture.md says of imports.

The imports are read from the source, those within functions too; those for annotations alone do not count.
"""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# A module imports those of its own line and of the lines above it.
LAYERS = {
    "helpers": (
        "agreement atomic colors errors failures fonts locking memory pickled safe_files unpickle version visualization"
    ),
    "config": "config hub ledger weight_files",
    "modeling": "modeling",
    "data": "data checkpoint",
    "core": "api engine evaluation",
    "leaves": "batch benchmark export fuzz inspection integrations macs mini paper parity web",
    "door": "__init__ __main__ cli everything",
}
LEVEL = {name: level for level, names in enumerate(LAYERS.values()) for name in names.split()}
CORE = LEVEL["api"]
LEAF = LEVEL["web"]
# Leaves do not import each other, but for these.
LEAVES_OF_LEAVES = {
    ("export", "mini"): "an exported file is compared with its model on drawn scenes",
    ("web", "mini"): "the page has drawn scenes as examples",
    ("macs", "benchmark"): "the place where count_macs was",
    ("paper", "benchmark"): "Tables III and X are measurements",
    ("paper", "inspection"): "Fig. 2 looks into the model, and the figures have one style",
    ("paper", "mini"): "the ablations and the drawn scenes",
    ("fuzz", "batch"): "its ledger is one of the files that are fuzzed",
}
# What is below the door and imports it. Leaves may import errseg itself, as its users do.
DOOR_OF = {
    "evaluation/provenance.py": "it records the version of errseg",
    "benchmark/gpu.py": "python -m, as it was before the command",
    "mini/report.py": "python -m, as it was before the command",
    "mini/ablate.py": "python -m, as it was before the command",
    "mini/generate.py": "python -m, as it was before the command",
    "fuzz/kinds/commands.py": "it fuzzes the command",
}
# What knows one system by its type or its insides, beside that system's own folder.
KNOWS_ERR_SEG = {
    "modeling/__init__.py": "it registers the systems",
    "mini/probe.py": "it ranks the names of pretrained CLIP models as CRM would",
}


def sources() -> list[Path]:
    files = sorted((ROOT / "errseg").rglob("*.py"))
    return [path for path in files if "compat" not in path.relative_to(ROOT).parts]


def inside(path: Path) -> str:
    """The path within the package, such as "web/page.py"."""
    return path.relative_to(ROOT / "errseg").as_posix()


def top_of(path: Path) -> str:
    return inside(path).split("/")[0].removesuffix(".py")


@cache
def imports_of(path: Path) -> tuple[tuple[int, str], ...]:
    """The line and the full name of every import of errseg."""
    package = path.relative_to(ROOT).parent.parts
    return tuple((line, name) for line, name in _imports(path, package) if name.split(".")[0] == "errseg")


def _imports(path: Path, package: tuple[str, ...]) -> Iterator[tuple[int, str]]:
    def walk(node: ast.AST) -> Iterator[ast.AST]:
        yield node
        for child in ast.iter_child_nodes(node):
            if not (isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"):
                yield from walk(child)

    for node in walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join((*base, *filter(None, [node.module])))
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)


def target_of(name: str) -> str:
    """The module or package of errseg that an import is of; "__init__" for errseg itself."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in LEVEL else "__init__"


def targets_of(own: str) -> set[str]:
    """What a module or package imports of errseg."""
    return {target_of(name) for path in sources() if top_of(path) == own for _, name in imports_of(path)}


def test_every_module_has_a_layer() -> None:
    assert {top_of(path) for path in sources()} - set(LEVEL) == set()


def test_layers_point_down() -> None:
    wrong = []
    for path in sources():
        own = top_of(path)
        for line, name in imports_of(path):
            target = target_of(name)
            if LEVEL[target] > LEVEL[own] and not _may_ask_the_door(path, target):
                wrong.append(f"{inside(path)}:{line}: {name} is above {own}")
            elif LEVEL[own] == LEVEL[target] == LEAF and own != target and (own, target) not in LEAVES_OF_LEAVES:
                wrong.append(f"{inside(path)}:{line}: {name} is another leaf")
    assert wrong == []


def _may_ask_the_door(path: Path, target: str) -> bool:
    of_file = inside(path) in DOOR_OF and LEVEL[target] == LEVEL["cli"]
    return of_file or (target == "__init__" and LEVEL[top_of(path)] == LEAF)


def test_data_and_checkpoints_do_not_know_each_other() -> None:
    assert "checkpoint" not in targets_of("data") and "modeling" not in targets_of("data")
    assert "data" not in targets_of("checkpoint")


def test_systems_are_known_by_their_records() -> None:
    wrong = []
    for path in sources():
        file = inside(path)
        if not file.startswith("modeling/err_seg/") and not {file, top_of(path)} & set(KNOWS_ERR_SEG):
            names = [name.split(".") for _, name in imports_of(path)]
            wrong += [f"{file}: {'.'.join(name)}" for name in names if "err_seg" in name or name[-1] == "ERRSeg"]
    assert wrong == []


@pytest.mark.parametrize(("own", "target"), list(LEAVES_OF_LEAVES))
def test_exceptions_are_still_needed(own: str, target: str) -> None:
    assert target in targets_of(own)


def test_the_document_has_the_same_layers() -> None:
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    for names in LAYERS.values():
        for name in set(names.split()) - {"__init__", "__main__", "everything"}:
            assert f"`{name}`" in text, name
