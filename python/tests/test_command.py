"""``python -m duality_ssd``: vectors on disk, verdicts on files, and what is said where something is missing."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from duality_ssd import InputError, __main__, _files, assert_close, vectors

ml_dtypes = pytest.importorskip("ml_dtypes")


def attention(inputs, options):
    """Softmax attention of a case in float64, a query at a time."""
    q, k, v = (np.asarray(inputs[name], np.float64) for name in "qkv")
    (_, queries, heads, width), keys = q.shape, k.shape[1]
    k, v = (np.repeat(a, heads // a.shape[2], axis=2) for a in (k, v))
    scores = np.einsum("bthd,bshd->bhts", q, k) * float(options.get("scale", width**-0.5))
    position, key = np.arange(queries)[:, None] + keys - queries, np.arange(keys)[None]
    seen = key <= position if options.get("causal", "true") == "true" else np.ones((queries, keys), bool)
    if "window" in options:
        seen &= (key > position - int(options["window"])) | (key < int(options.get("sink_tokens", 0)))
    scores = np.where(seen, scores, -np.inf)
    sinks = np.broadcast_to(np.asarray(inputs["sinks"], np.float64)[None, :, None, None], scores.shape[:3] + (1,)) \
        if "sinks" in inputs else np.full(scores.shape[:3] + (1,), -np.inf)  # fmt: skip
    weights = np.exp(scores - np.maximum(scores.max(-1, keepdims=True), sinks))
    weights /= weights.sum(-1, keepdims=True) + np.exp(sinks - np.maximum(scores.max(-1, keepdims=True), sinks))
    return np.einsum("bhts,bshv->bthv", weights, v)


def run(*arguments):
    """The exit status, and what was written to either stream."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1] / "src")}
    done = subprocess.run([sys.executable, "-m", "duality_ssd", *map(str, arguments)], capture_output=True, text=True, env=environment)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def suite(tmp_path):
    """Test vectors of attention, and the results of a right kernel on them."""
    vectors_at, results_at = tmp_path / "vectors", tmp_path / "results"
    assert __main__.main(["vectors", str(vectors_at), "--suite", "smoke", "--kinds", "attention"]) == 0
    results_at.mkdir()
    for entry in json.loads((vectors_at / "manifest.json").read_text())["cases"]:
        inputs, options = _files.read(vectors_at / entry["file"])
        _files.write(results_at / entry["file"], {"o": attention(inputs, options).astype(np.float32)}, {})
    return vectors_at, results_at


def test_a_right_kernel_passes_and_a_wrong_one_is_named(suite, tmp_path):
    vectors_at, results_at = suite
    status, out, _ = run("verify", vectors_at, "--against", results_at)
    assert status == 0 and out.startswith("PASS")
    for path in results_at.iterdir():
        inputs, options = _files.read(vectors_at / path.name)
        wrong = attention(inputs, {**options, "scale": str(float(options.get("scale", inputs["q"].shape[-1] ** -0.5)) ** 2)})
        _files.write(path, {"o": wrong.astype(np.float32)}, {})
    report = tmp_path / "report.json"
    status, out, _ = run("verify", vectors_at, "--against", results_at, "--report", report)
    assert status == 1 and "attn-scale-twice" in out
    assert json.loads(report.read_text())["verdict"] == "FAIL"
    status, out, _ = run("verify", vectors_at, "--against", results_at, "--no-diagnosis")
    assert status == 1 and "attn-scale-twice" not in out


@pytest.mark.parametrize("arguments, word", [
    (["verify", "nowhere", "--against", "."], "manifest.json"),
    (["vectors", "OUT", "--kinds", "attenion"], "attenion"),
    (["faults", "--kind", "attenion"], "attenion"),
])  # fmt: skip
def test_mistakes_in_the_call_are_told(arguments, word, tmp_path):
    status, out, error = run(*(str(tmp_path / "out") if a == "OUT" else a for a in arguments))
    assert (status, out) == (2, "") and error.startswith("error: ") and word in error
    assert not (tmp_path / "out").exists()


def test_broken_files_are_told(suite):
    vectors_at, results_at = suite
    first = sorted(results_at.iterdir())[0]
    assert run("verify", vectors_at, "--against", vectors_at / "manifest.json")[0] == 2
    assert run("verify", vectors_at, "--against", results_at, "--precision", "flash_attention_2,wieghts=f32")[0] == 2
    whole = first.read_bytes()
    first.write_bytes(whole[: len(whole) // 2])
    status, _, error = run("verify", vectors_at, "--against", results_at)
    assert status == 2 and first.name in error
    for path in results_at.iterdir():
        path.unlink()
    assert run("verify", vectors_at, "--against", results_at)[0] == 2  # nothing was judged
    (vectors_at / "manifest.json").write_text('{"cases": 1}')
    assert run("verify", vectors_at, "--against", results_at)[0] == 2


def test_operands_that_were_changed_are_told(suite):
    vectors_at, results_at = suite
    path = sorted(vectors_at.glob("*.safetensors"))[0]
    inputs, options = _files.read(path)
    _files.write(path, {**inputs, "q": 2 * inputs["q"]}, options)
    status, _, error = run("verify", vectors_at, "--against", results_at)
    assert status == 2 and path.name in error


def test_faults_lists_those_of_a_kind():
    status, out, _ = run("faults", "--kind", "attention")
    names = [line.split(":")[0] for line in out.splitlines()]
    assert status == 0 and "attn-scale-missing" in names and "delta-scale-missing" not in names


def test_assert_close_takes_every_kind():
    case = next(c for c in vectors("smoke", kinds=["attention"]))
    right = attention(case.inputs, case.options).astype(np.float32)
    assert_close(right, case)
    assert_close({"o": right}, case)
    with pytest.raises(AssertionError, match="FAIL"):
        assert_close(right * 2, case)
    with pytest.raises(AssertionError, match="NaN"):
        assert_close(np.full_like(right, np.nan), case)
    with pytest.raises(InputError):
        assert_close((right, right), case)
    with pytest.raises(InputError):
        assert_close(right, case, precision="flash_attention_2,wieghts=f32")
