"""What is refused, and whether the message says what to type."""

import json
import os
import shutil
import tempfile

from launch import DUALITY, PROMPT, duality, expect, run

out, err, status, _ = duality(0, "generate", PROMPT, "--tensor-parallel", "2")
expect(status == 2 and "mpirun -n 2" in err and "2 processes" in err, "one process where 2 were asked", err)

out, err, status, _ = duality(3, "generate", PROMPT, "--tensor-parallel", "2")
expect(status != 0 and "found: 3" in err.replace("found 3", "found: 3") and not out, "3 processes where 2 were asked", out + err)

out, err, status, _ = duality(2, "generate", PROMPT, "--engine", "reference", "--tensor-parallel", "2")
expect(status != 0 and "fast engine" in err, "the reference on 2 ranks", err)

out, err, status, _ = duality(2, "generate", PROMPT, "--model", "/nowhere", "--tensor-parallel", "2")
expect(status != 0 and "/nowhere" in err, "a model that is not there", err)

# Two ranks that load different files: a launcher's application contexts give each its own.
with tempfile.TemporaryDirectory() as folder:
    model = os.path.join(os.path.dirname(__file__), "../../Models/duality-tiny")
    for name in ["a", "b"]:
        shutil.copytree(model, f"{folder}/{name}")
    path = f"{folder}/b/config.json"
    config = json.load(open(path))
    config["rms_norm_eps"] = 1e-5
    json.dump(config, open(path, "w"))
    root = ["--allow-run-as-root"] if os.geteuid() == 0 else []
    command = [DUALITY, "generate", PROMPT, "--max-tokens", "4", "--tensor-parallel", "2", "--model"]
    out, err, status, _ = run([
        "mpirun", *root, "--oversubscribe", "--bind-to", "none", "-n", "1", *command, f"{folder}/a", ":", "-n", "1", *command, f"{folder}/b"])
    expect(status != 0 and "rank 1" in err and not out, "two models", out + err)
