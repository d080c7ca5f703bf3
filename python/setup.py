"""Builds the library that the package calls, with the Swift toolchain, and puts it into the package.

With ``DUALITY_LIBRARY=path`` in the environment that library is taken instead of building one.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from setuptools import Command, Distribution, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent
LIBRARY = "libduality_ssd.dylib" if sys.platform == "darwin" else "libduality_ssd.so"
SCRATCH = REPOSITORY / ".build-python"


def build_library() -> Path:
    """The path of the library, built if need be."""
    given = os.environ.get("DUALITY_LIBRARY")
    if given:
        if not Path(given).is_file():
            raise SystemExit(f"DUALITY_LIBRARY: expected a library, found no file at {given}")
        return Path(given)
    if not (REPOSITORY / "Package.swift").is_file():
        raise SystemExit("The library is built from Swift sources: install from a checkout, with `pip install ./python`.")
    swift = os.environ.get("SWIFT", "swift")
    if shutil.which(swift) is None:
        raise SystemExit("Swift 6.1 or newer is needed and not found: see https://www.swift.org/install")
    command = [swift, "build", "-c", "release", "--product", "duality_ssd", "--scratch-path", str(SCRATCH)]
    if sys.platform != "darwin":
        # The Swift runtime goes into the library, so that it loads where no toolchain is; nothing but the C functions comes out.
        command += ["-Xswiftc", "-static-stdlib", "-Xlinker", "-s"]
        command += ["-Xlinker", f"--version-script={HERE / 'exports.map'}"]
    subprocess.run(command, cwd=REPOSITORY, check=True)
    return SCRATCH / "release" / LIBRARY


class BuildWithLibrary(build_py):
    """build_py, and the library beside the modules."""

    def run(self) -> None:
        super().run()
        folder = HERE / "src" if self.editable_mode else Path(self.build_lib)
        shutil.copyfile(build_library(), folder / "duality_ssd" / LIBRARY)


class Library(Command):
    """The library alone: ``python setup.py library``."""

    user_options: list = []

    def initialize_options(self) -> None: ...

    def finalize_options(self) -> None: ...

    def run(self) -> None:
        print(build_library())


class PlatformWheel(bdist_wheel):
    """A wheel for this platform and every Python 3: the library knows nothing of Python."""

    def get_tag(self) -> tuple:
        return ("py3", "none", super().get_tag()[2])


class PlatformDistribution(Distribution):
    """A distribution that is not Python alone."""

    def has_ext_modules(self) -> bool:
        return True


setup(
    distclass=PlatformDistribution,
    cmdclass={"build_py": BuildWithLibrary, "bdist_wheel": PlatformWheel, "library": Library},
    options={"build": {"build_base": str(SCRATCH / "wheel")}},
)
