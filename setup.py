"""What pyproject.toml cannot say: `conf/` lies at the root here, and in the package of a wheel."""

from pathlib import Path
from shutil import copyfile, rmtree

from setuptools import setup
from setuptools.command.build_py import build_py

VALUES = sorted(Path("conf").rglob("*.yaml"))


class BuildWithConf(build_py):
    """The modules of the package, and `tersely/conf/`."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:  # the checkout's own is read then
            return
        package = Path(self.build_lib, "tersely")
        rmtree(package / "conf", ignore_errors=True)  # of an earlier build
        for value in VALUES:
            (package / value).parent.mkdir(parents=True, exist_ok=True)
            copyfile(value, package / value)

    def get_source_files(self) -> list[str]:
        """What a source distribution has."""
        return [*super().get_source_files(), *map(str, VALUES)]


setup(cmdclass={"build_py": BuildWithConf})
