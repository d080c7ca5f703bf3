"""A wheel holds the library, the types, and a tag that says for which platform."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import duality_ssd

PROJECT = Path(__file__).parents[1]


@pytest.mark.skipif(not (PROJECT / "setup.py").exists(), reason="not in a checkout")
def test_a_wheel_is_complete(tmp_path):
    pytest.importorskip("setuptools", minversion="70.1")
    copy = tmp_path / "python"  # building leaves folders behind
    subprocess.run(["cp", "-r", str(PROJECT), str(copy)], check=True)
    library = duality_ssd.library_path().resolve()
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(tmp_path), str(copy)],
        check=True,
        env={**os.environ, "DUALITY_LIBRARY": str(library), "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
    )
    (wheel,) = tmp_path.glob("*.whl")
    assert "-py3-none-" in wheel.name and not wheel.name.endswith("-any.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        assert {f"duality_ssd/{name}" for name in ("__init__.py", "py.typed", library.name)} <= names
        archive.extractall(tmp_path / "installed")
    environment = {name: value for name, value in os.environ.items() if name != "DUALITY_LIBRARY"}
    environment["PYTHONPATH"] = str(tmp_path / "installed")
    program = "import duality_ssd as d; print(d.ssd([[[[1.0]]]], [[[0.0]]], [-1.0], [[[[1.0]]]], [[[[1.0]]]]).y.item())"
    run = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert abs(float(run.stdout) - 0.6931471805599453) < 1e-15
