"""The commands are tested with what their parts are tested with."""

from tests.benchmark.conftest import benchmark_tool, cfg, config_file, no_children  # noqa: F401
from tests.inspection.conftest import picture  # noqa: F401
