"""The script of the guide, run as it stands there: a reader who copies it gets the verdicts that are promised."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
#: The command is built beside the library that the tests use.
COMMAND = Path(os.environ.get("DUALITY_LIBRARY", "")).parent / "duality"


@pytest.fixture
def script():
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs/verify.md").read_text(encoding="utf-8"), re.DOTALL)
    return next(block for block in blocks if "triton" not in block)


@pytest.mark.skipif(not COMMAND.is_file(), reason="no duality beside DUALITY_LIBRARY")
def test_the_script_of_the_guide_does_what_it_says(script, tmp_path):
    def duality(*arguments):
        return subprocess.run([COMMAND, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False)

    def verdict(code):
        (tmp_path / "kernel.py").write_text(code, encoding="utf-8")
        subprocess.run([sys.executable, "kernel.py", "vectors", "results"], cwd=tmp_path, check=True)
        return duality("verify", "vectors", "--against", "results")

    assert duality("vectors", "vectors", "--suite", "smoke").returncode == 0
    right = verdict(script)
    assert right.returncode == 0 and right.stdout.startswith("PASS"), right.stdout
    careful = "np.log1p(np.exp(np.minimum(step, 20)))"
    assert careful in script
    broken = verdict(script.replace(careful, "np.log(1 + np.exp(np.minimum(step, 20)))"))
    assert broken.returncode == 1 and "Most likely: softplus-naive" in broken.stdout, broken.stdout
