"""Every place where a file or a text becomes objects is of the safe form; a walk through the sources finds them."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("errseg", "tools", "datasets", "scripts", "docs")
SOURCES = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]

FUZZ = "errseg/fuzz/kinds/"  # makes wrong inputs, and tries them on errseg
# Calls that can run what a file holds, whatever their arguments, and those that may be called in some files
FORBIDDEN = {
    *("eval", "exec", "compile", "__import__", "os.system", "os.popen", "os.execv", "subprocess.getoutput"),
    *("yaml.unsafe_load", "yaml.full_load", "yaml.load_all", "yaml.unsafe_load_all", "yaml.full_load_all"),
    *("pickle.load", "pickle.loads", "marshal.load", "marshal.loads", "shelve.open", "dill.load", "joblib.load"),
    *("cloudpickle.load", "cloudpickle.loads", "pandas.read_pickle", "imp.load_source"),
    *("torch.hub.load", "torch.jit.load", "torch.package.PackageImporter", "torch.utils.model_zoo.load_url"),
}
ALLOWED = {
    "runpy.run_path": set(),
    "yaml.load": {"errseg/safe_files.py"},  # with a loader of plain data, which the test below holds
    "yaml.parse": {"errseg/safe_files.py"},
    "yaml.safe_load": {"errseg/config/node.py"},  # of what errseg has just written itself
    "pickle.Unpickler": {"errseg/unpickle.py"},  # whose find_class knows arrays and no more
    # Of names that stand in these files
    "importlib.import_module": {
        *("errseg/compat/detectron2/utils/collect_env.py", "errseg/data/pictures.py"),
        *("errseg/cli/main.py", "errseg/cli/data_prepare.py", "errseg/modeling/clip/libraries.py"),
    },
    "importlib.util.spec_from_file_location": set(),
    "merge_from_file": {"errseg/config/loading.py", FUZZ + "configs.py"},
    "load_yaml_with_base": {"errseg/compat/detectron2/config/config.py"},
    "open_clip.load_checkpoint": set(),
    "torch.load": {"errseg/weight_files/reading.py", "errseg/compat/detectron2/checkpoint.py", FUZZ + "weights.py"},
    "load_file": {"errseg/weight_files/reading.py"},
    "open_clip.create_model": set(),
    "open_clip.create_model_and_transforms": set(),
}
# Calls that need an argument of this value
SAFE_ARGUMENTS = {
    "torch.load": ("weights_only", True),
    "np.load": ("allow_pickle", False),
    "numpy.load": ("allow_pickle", False),
}


def calls(path):
    """Every call, and every name that a class inherits from, as written and with its imported name written out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            imported |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            imported |= {alias.asname: alias.name for alias in node.names if alias.asname}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            first, dot, rest = name.partition(".")
            yield imported.get(first, first) + dot + rest, node
        elif isinstance(node, ast.ClassDef):
            for base in node.bases:
                yield ast.unparse(base), node


def faults(path, name):
    found = []
    for called, node in calls(path):
        last = called.rpartition(".")[2]
        where = f"{name}:{node.lineno}: {called}"
        if called in FORBIDDEN:
            found.append(f"{where} can run what a file holds")
        for rule in (called, last):
            if rule in ALLOWED and name not in ALLOWED[rule]:
                found.append(f"{where} belongs into {', '.join(ALLOWED[rule]) or 'no file'}")
        keywords = {word.arg: word.value for word in getattr(node, "keywords", [])}
        if called in SAFE_ARGUMENTS:
            argument, value = SAFE_ARGUMENTS[called]
            given = keywords.get(argument)
            if not (isinstance(given, ast.Constant) and given.value is value):
                found.append(f"{where} needs {argument}={value}")
        if "shell" in keywords and not (isinstance(keywords["shell"], ast.Constant) and not keywords["shell"].value):
            found.append(f"{where} starts a shell")
        if keywords.get("allow_unsafe") is not None:
            found.append(f"{where} allows what is not safe")
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_unsafe_loader(path):
    assert faults(path, str(path.relative_to(ROOT))) == []


@pytest.mark.parametrize(
    "line",
    [
        "eval(x)",
        "yaml.load(x)",
        "yaml.safe_load(x)",
        "import yaml as y\ny.unsafe_load(x)",
        "from pickle import loads\nloads(x)",
        "from torch import load\nload(x)",
        "torch.load(x, weights_only=False)",
        "np.load(x, allow_pickle=True)",
        "numpy.load(x)",
        "subprocess.run(x, shell=True)",
        "cfg.merge_from_file(x)",
        "cfg.merge_from_file(x, allow_unsafe=True)",
        "class A(pickle.Unpickler): pass",
    ],
)
def test_the_walk_finds_them(tmp_path, line):
    path = tmp_path / "x.py"
    path.write_text(line)
    assert len(faults(path, "errseg/x.py")) >= 1


def test_the_yaml_loader_makes_plain_data_alone():
    import yaml

    from errseg.safe_files import Loader

    made = set(Loader.yaml_constructors) - {None}
    assert made == set(yaml.SafeLoader.yaml_constructors) - {None} and not Loader.yaml_multi_constructors
