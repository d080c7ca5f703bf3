"""What the checks of evaluation share: the built command."""

import os
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = os.environ.get("DUALITY", str(ROOT / ".build/release/duality"))
FAMILY = ROOT / "Models/family"


def duality(*arguments, check=True):
    """Runs the command; its standard output."""
    run = subprocess.run([BINARY, *map(str, arguments)], capture_output=True, text=True)
    assert not check or run.returncode == 0, f"{' '.join(map(str, arguments))}: {run.stderr[-1500:]}"
    return run.stdout
