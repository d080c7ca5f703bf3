"""What an installed wheel is tried with: the command and the functions, on a machine that may have nothing but Python and NumPy."""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import duality_ssd

COMMAND = [sys.executable, "-m", "duality_ssd"]


def oracle(case):
    """A right kernel: the oracle's numbers, rounded to float32."""
    result = duality_ssd.ssd(**case.inputs, dt_softplus=case.dt_softplus, dt_limit=case.dt_limit)
    return {"y": result.y.astype("float32"), "final_states": result.final_states.astype("float32")}


def wrong(case):
    """The same without dt_bias."""
    arguments = {name: array for name, array in case.inputs.items() if name != "dt_bias"}
    result = duality_ssd.ssd(**arguments, dt_softplus=case.dt_softplus, dt_limit=case.dt_limit)
    return {"y": result.y.astype("float32"), "final_states": result.final_states.astype("float32")}


def main() -> int:
    assert shutil.which("swift") is None or "--toolchain" in sys.argv, "there is a Swift toolchain here"
    cases = [case for case in duality_ssd.vectors("smoke", kinds=["scan"]) if "seq_idx" not in case.inputs]
    report = duality_ssd.verify_kernel(oracle, cases)
    assert report.verdict == "PASS", report.text
    report = duality_ssd.verify_kernel(wrong, [case for case in cases if "dt_bias" in case.inputs])
    assert report.verdict == "FAIL" and report.diagnosis[0] == "dt-bias-missing", report.text
    with tempfile.TemporaryDirectory() as folder:
        suite = Path(folder) / "suite"
        subprocess.run([*COMMAND, "vectors", str(suite), "--suite", "smoke", "--kinds", "scan"], check=True)
        (Path(folder) / "results").mkdir()
        run = subprocess.run([*COMMAND, "verify", str(suite), "--against", f"{folder}/results"], capture_output=True, text=True)
        assert run.returncode == 2 and "UNCHECKED" in run.stdout, (run.returncode, run.stdout, run.stderr)
        faults = subprocess.run([*COMMAND, "faults"], capture_output=True, text=True, check=True).stdout
        assert "dt-bias-missing" in faults
    size = duality_ssd.library_path().stat().st_size
    print(f"duality_ssd {duality_ssd.__version__} with Python {sys.version.split()[0]}: {len(cases)} cases, library {size / 1e6:.1f} MB: works")
    return 0


if __name__ == "__main__":
    sys.exit(main())
