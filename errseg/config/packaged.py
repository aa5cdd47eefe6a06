"""The configurations that come with errseg, found by name.

An installed errseg holds them in ``errseg/configs``; a checkout holds them in ``configs``, beside the package.
"""

import difflib
from pathlib import Path

from errseg.errors import UsageError, short

__all__ = ["config_names", "config_path", "packaged_file"]

PACKAGE = Path(__file__).resolve().parents[1]
FOLDERS = (PACKAGE / "configs", PACKAGE.parent / "configs")
ENDINGS = (".yaml", ".yml")


def config_names() -> list[str]:
    """The names of the packaged configurations, such as "errseg_convnext_base" and "ablations/table5_without_crm"."""
    folder = _folder()
    return sorted(path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.yaml"))


def config_path(config: str) -> str:
    """The path of a configuration file.

    Args:
        config: the path of a file, which is returned unchanged, or the name of a packaged configuration.

    Raises:
        UsageError: there is no such packaged configuration. A path that ends with .yaml is not checked.
    """
    if config.lower().endswith(ENDINGS) or _is_file(config):
        return config
    path = _folder() / f"{config}.yaml"
    if config in config_names():
        return str(path)
    names = config_names()
    last = {name.rpartition("/")[2]: name for name in names}
    near = difflib.get_close_matches(config, names, n=3, cutoff=0.5)
    near = near or [last[name] for name in difflib.get_close_matches(config, last, n=3, cutoff=0.5)]
    top = [name for name in names if "/" not in name]
    hint = f"did you mean {' or '.join(near)}?" if near else f"give a YAML file, or one of {', '.join(top)}."
    raise UsageError(f"There is no configuration file {short(config)}, and none of errseg's has this name; {hint}")


def packaged_file(path: str) -> str:
    """A file that a configuration names relative to the checkout, such as "errseg/mini/clip.json".

    Args:
        path: relative to the working folder, or to the folder that holds the package.

    Returns:
        The path in the package where the working folder has no such file and the package has it, else ``path``.
    """
    inside = PACKAGE.parent / path
    is_ours = path.startswith(f"{PACKAGE.name}/") and not _is_file(path) and _is_file(str(inside))
    return str(inside) if is_ours else path


def _folder() -> Path:
    return next((folder for folder in FOLDERS if (folder / "base.yaml").is_file()), FOLDERS[0])


def _is_file(path: str) -> bool:
    try:
        return Path(path).is_file()
    except (OSError, ValueError):  # too long, or a zero byte
        return False
