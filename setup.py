"""The one build step that setup.cfg cannot express: bundles/ and configs/ travel inside the package."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
SHARED_FOLDERS = ("bundles", "configs")


class BuildWithShared(build_py):
    """Copy the shared folders to ``mcf_bundle/_share``, where ``mcf_bundle.resources`` looks for them.

    An editable install copies nothing: there the folders at the top of the checkout are used as they are.
    """

    def run(self) -> None:
        """Build the package, then add the shared folders."""
        super().run()
        if self.editable_mode:
            return
        for name in SHARED_FOLDERS:
            target = Path(self.build_lib, "mcf_bundle", "_share", name)
            shutil.rmtree(target, ignore_errors=True)
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, target, ignore=shutil.ignore_patterns("__pycache__", ".*"))


setup(cmdclass={"build_py": BuildWithShared})
