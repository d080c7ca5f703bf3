"""Backward passes of the gated delta rule and of attention, by the kind of their calls."""

from __future__ import annotations

from typing import Any, Dict

import numpy as np
import pytest

import duality_ssd
from duality_ssd import assert_close, vectors

DELTA = {case.name: case for case in vectors("standard", kinds=["gated_delta_gradients"])}
ATTENTION = {case.name: case for case in vectors("standard", kinds=["attention_gradients"])}


def delta(case: Any, fault: str = "") -> Dict[str, np.ndarray]:
    """Token by token in float32 for q and k that come normalised, all heads at once."""
    t = {name: np.asarray(a) for name, a in case.inputs.items()}
    shared, heads = t["q"].shape[2], t["v"].shape[2]
    q, k = (np.repeat(t[name], heads // shared, axis=2) for name in "qk")
    q = q / np.float32(np.sqrt(q.shape[3]))
    v, beta, fade, pull = t["v"], t["beta"], np.exp(t["g"]), t["dout"]
    states = [np.zeros(q.shape[:1] + q.shape[2:] + v.shape[3:], np.float32)]
    for i in range(q.shape[1]):
        state = fade[:, i, :, None, None] * states[-1]
        change = beta[:, i, :, None] * (v[:, i] - np.einsum("bhij,bhi->bhj", state, k[:, i]))
        states.append(state + k[:, i, :, :, None] * change[:, :, None])
    adjoint = np.zeros_like(states[0])
    grads = {name: np.zeros_like(a) for name, a in [("q", q), ("k", k), ("v", v), ("g", beta), ("beta", beta)]}
    for i in reversed(range(q.shape[1])):
        faded = fade[:, i, :, None, None] * states[i]
        rest = v[:, i] - np.einsum("bhij,bhi->bhj", faded, k[:, i])
        grads["q"][:, i] = np.einsum("bhij,bhj->bhi", states[i + 1], pull[:, i])
        adjoint = adjoint + q[:, i, :, :, None] * pull[:, i, :, None]
        change = np.einsum("bhij,bhi->bhj", adjoint, k[:, i])
        step = beta[:, i, :, None]
        grads["v"][:, i] = change if fault == "delta-grad-dv-misses-beta" else step * change
        grads["beta"][:, i] = np.sum(change * rest, axis=-1)
        grads["k"][:, i] = np.einsum("bhij,bhj->bhi", adjoint, step * rest)
        grads["k"][:, i] -= np.einsum("bhij,bhj->bhi", faded, step * change)
        adjoint = adjoint - k[:, i, :, :, None] * (step * change)[:, :, None]
        grads["g"][:, i] = np.sum(adjoint * faded, axis=(-1, -2))
        adjoint = fade[:, i, :, None, None] * adjoint
    grads["q"] = grads["q"] / np.float32(np.sqrt(q.shape[3]))
    for name in "qk":
        grads[name] = grads[name].reshape(q.shape[:2] + (shared, heads // shared, q.shape[3])).sum(axis=3)
    return {f"grad_{name}": a for name, a in grads.items()}


def attention(case: Any, fault: str = "") -> Dict[str, np.ndarray]:
    """Causal, in float32."""
    t = {name: np.asarray(a) for name, a in case.inputs.items()}
    q, shared = t["q"], t["k"].shape[2]
    group, scale = q.shape[2] // shared, np.float32(1 / np.sqrt(q.shape[3]))
    k, v = (np.repeat(t[name], group, axis=2) for name in "kv")
    scores = np.einsum("bthd,bshd->bhts", q, k) * scale
    rows, keys = scores.shape[2:]
    scores[:, :, np.triu(np.ones((rows, keys), bool), keys - rows + 1)] = -np.inf
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)
    pulled = np.einsum("bthv,bshv->bhts", t["dout"], v)
    correction = 0 if fault == "attn-grad-row-correction-missing" else np.sum(weights * pulled, -1, keepdims=True)
    of_scores = weights * (pulled - correction) * scale
    grads = {
        "k": np.einsum("bhts,bthd->bshd", of_scores, q),
        "v": np.einsum("bhts,bthv->bshv", weights, t["dout"]),
    }
    for name, a in grads.items():
        grads[name] = a.reshape(a.shape[:2] + (shared, group, a.shape[3])).sum(axis=3)
    return {"grad_q": np.einsum("bhts,bshd->bthd", of_scores, k), "grad_k": grads["k"], "grad_v": grads["v"]}


@pytest.mark.parametrize(
    "kernel, case", [(delta, DELTA["delta-grad-plain"]), (attention, ATTENTION["attn-grad-cache"])], ids=str
)
def test_a_right_kernel_passes(kernel: Any, case: Any) -> None:
    outputs = kernel(case)
    assert_close(outputs, case)
    # In the order of the operands, without gradients of those that are absent.
    assert duality_ssd.verify(tuple(outputs.values()), case).verdict == "PASS"
    report = duality_ssd.verify(tuple(outputs.values()), case.inputs, kind=case.kind)
    assert report.verdict == "PASS", report


@pytest.mark.parametrize(
    "kernel, case, fault",
    [
        (delta, DELTA["delta-grad-plain"], "delta-grad-dv-misses-beta"),
        (attention, ATTENTION["attn-grad-cache"], "attn-grad-row-correction-missing"),
    ],
    ids=str,
)
def test_a_fault_is_named(kernel: Any, case: Any, fault: str) -> None:
    report = duality_ssd.verify(kernel(case, fault), case)
    assert report.verdict == "FAIL"
    assert report.diagnosis[0] == fault
