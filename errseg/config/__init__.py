"""The configuration: its keys, and its files, which are read as plain data with every version of Detectron2."""

from .keys import MAX_PIXELS, add_errseg_config, register_keys, samples_of
from .loading import apply_overrides, get_cfg, load_config
from .node import Config, as_data, read_tree
from .packaged import config_names, config_path
from .unread import unread_keys
from .values import check_values

__all__ = [
    "MAX_PIXELS",
    "Config",
    "add_errseg_config",
    "check_values",
    "apply_overrides",
    "as_data",
    "config_names",
    "config_path",
    "get_cfg",
    "load_config",
    "read_tree",
    "register_keys",
    "samples_of",
    "unread_keys",
]
