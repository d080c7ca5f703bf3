"""The examples say what they cannot do, and end accordingly."""

import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[1] / "examples"


def test_gpu_kernels_without_a_gpu_say_so():
    """No verdict is no success: exit status 2, as where the command has nothing to judge."""
    import importlib.util

    if importlib.util.find_spec("torch"):
        import torch

        if torch.cuda.is_available():
            return
    run = subprocess.run([sys.executable, EXAMPLES / "gpu_kernels.py"], capture_output=True, text=True)
    assert run.returncode == 2, run
    assert "Nothing was verified" in run.stderr and "Traceback" not in run.stderr
    assert run.stdout == ""
