"""Copy the configurations into the built package, as errseg/configs; pyproject.toml holds everything else."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithConfigs(build_py):
    """The modules and data of the package, and configs/."""

    def run(self) -> None:
        super().run()
        if not getattr(self, "editable_mode", False):  # an editable installation reads configs/ of the checkout
            configs = Path(__file__).parent / "configs"
            shutil.copytree(configs, Path(self.build_lib) / "errseg/configs", dirs_exist_ok=True)


setup(cmdclass={"build_py": BuildWithConfigs})
