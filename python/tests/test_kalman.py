"""Kernels of Gated KalmaNet, by the kind of their calls."""

from __future__ import annotations

from typing import Any, Dict

import numpy as np
import pytest

import duality_ssd
from duality_ssd import assert_close, vectors

CASES = [
    case
    for case in vectors("standard", kinds=["kalman"])
    if case.name in ("kalman-length-17", "kalman-shared-values", "kalman-gram-not-decayed", "kalman-iterations-0")
]


def kernel(case: Any, fault: str = "") -> Dict[str, np.ndarray]:
    """Token by token in float32, all heads at once."""
    t, options = {name: np.asarray(a) for name, a in case.inputs.items()}, case.options
    heads = t["q"].shape[2]
    q, k, v = (np.repeat(t[name], heads // t[name].shape[2], axis=2) for name in "qkv")
    if options["use_qk_l2norm_in_kernel"] == "true":
        q, k = (a / (np.linalg.norm(a, axis=-1, keepdims=True) + np.float32(1e-6)) for a in (q, k))
    gate = t["beta"][..., None] + np.float32(1e-6)
    k, v = k * gate, v * gate
    gram, memory = t["initial_gram"].copy(), t["initial_memory"].copy()
    ridge, steps = np.float32(options["ridge_strength"]), int(options["num_iter"])
    steps -= fault == "kalman-iteration-missing"
    o = np.zeros(q.shape[:3] + v.shape[3:], np.float32)
    for i in range(q.shape[1]):
        fade = np.exp(t["g"][:, i])[..., None, None]
        if int(options["num_iter"]):
            gram = (fade if options["use_forgetting_gate_kk"] == "true" else 1) * gram
            gram = gram + k[:, i, :, :, None] * k[:, i, :, None, :]
        memory = fade * memory + k[:, i, :, :, None] * v[:, i, :, None, :]
        x = query = q[:, i]
        if int(options["num_iter"]):
            size = np.sqrt(np.sum(gram * gram, axis=(-1, -2)))[..., None]
            middle, rho = ridge * size + size / 2, 1 / (1 + 2 * ridge)
            x, before, omega = query / middle, np.zeros_like(query), np.float32(2)
            for _ in range(steps):
                omega = 1 / (1 - rho * rho * omega / 4)
                left = query - np.einsum("bhij,bhj->bhi", gram, x) - ridge * size * x
                x, before = omega * (x + left / middle) + (1 - omega) * before, x
        alpha = t["alpha"][:, i, :, None]
        y = alpha * x + (1 - alpha) * query if int(options["num_iter"]) else query
        o[:, i] = np.einsum("bhij,bhi->bhj", memory, y) / np.float32(np.sqrt(q.shape[3]))
    outputs = {"o": o, "final_memory": memory}
    if int(options["num_iter"]):
        outputs["final_gram"] = gram
    return outputs


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_right_kernel_passes(case: Any) -> None:
    assert_close(kernel(case), case)


def test_outputs_come_in_their_order() -> None:
    case = CASES[0]
    outputs = kernel(case)
    report = duality_ssd.verify(tuple(outputs[name] for name in ("o", "final_gram", "final_memory")), case)
    assert report.verdict == "PASS", report
    inputs = {**case.inputs, "num_iter": 10, "ridge_strength": 0.02}
    assert duality_ssd.verify(outputs["o"], inputs, kind="kalman").verdict == "PASS"


def test_a_fault_is_named() -> None:
    report = duality_ssd.verify(kernel(CASES[0], "kalman-iteration-missing"), CASES[0])
    assert report.verdict == "FAIL"
    assert report.diagnosis[0] == "kalman-iteration-missing"


def test_the_faults_are_listed() -> None:
    assert "kalman-ridge-missing" in [fault.name for fault in duality_ssd.faults("kalman")]
