"""The convolution and the gated norm backwards, in NumPy and float32, each with any of its known faults.

Written from the equations, apart from the package: a convolution as one product a tap, a norm as arrays of groups.
"""

from __future__ import annotations

from typing import Dict, Optional

import numpy as np

f32 = np.float32
Arrays = Dict[str, np.ndarray]


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return (1 / (1 + np.exp(-x))).astype(x.dtype)


def _slope(x: np.ndarray) -> np.ndarray:
    s = _sigmoid(x)
    return (s * (1 + x * (1 - s))).astype(x.dtype)


def convolution_gradients(t: Arrays, options: Dict[str, str], fault: Optional[str] = None) -> Arrays:
    x, taps = t["x"].astype(f32), t["weight"].astype(f32)[:, 0]
    rows, length, channels = x.shape
    width = taps.shape[1]
    before = np.zeros((rows, width - 1, channels), f32)
    if "initial_window" in t:
        before = t["initial_window"].astype(f32).transpose(0, 2, 1)
    whole = np.concatenate([before, x], axis=1)
    ids = t.get("seq_idx", np.zeros((rows, length), int))
    padded = np.concatenate([np.zeros((rows, width - 1), ids.dtype), ids], axis=1)

    def same(j: int, right: bool = False) -> np.ndarray:
        """Whether tap j of each token meets a token of its own sequence."""
        if fault == "conv-grad-across-boundary" and not right:
            return np.ones((rows, length, 1), bool)
        return (padded[:, j : j + length] == ids)[..., None]

    pre = np.zeros_like(x)
    for j in range(width):
        pre = pre + np.where(same(j, True), taps[:, j] * whole[:, j : j + length], f32(0))
    if "bias" in t:
        pre = pre + t["bias"].astype(f32)
    g = t["dout"].astype(f32)
    slope = {
        "conv-grad-activation-missing": np.ones_like(pre),
        "conv-grad-activation-sigmoid": _sigmoid(pre),
        "conv-grad-activation-of-output": _slope(pre * _sigmoid(pre)),
    }.get(fault or "", _slope(pre))
    pull = g * slope
    columns = np.zeros_like(whole)
    ofTaps = np.zeros_like(taps)
    some = slice(0, 1) if fault == "conv-grad-weight-of-one-row" else slice(None)
    for j in range(width):
        mine = np.where(same(j), pull, f32(0))
        tap = taps[:, width - 1 - j] if fault == "conv-grad-x-taps-reversed" else taps[:, j]
        columns[:, j : j + length] += tap * mine
        met = whole[:, j : j + length].copy()
        if fault == "conv-grad-weight-misses-window":
            met[:, : max(width - 1 - j, 0)] = 0
        ofTaps[:, j] = (mine * met)[some].sum((0, 1), dtype=f32)
    if "dconv_state" in t and fault != "conv-grad-state-ignored":
        state = t["dconv_state"].astype(f32).transpose(0, 2, 1)
        spare = max(width - columns.shape[1], 0)  # a column older than the window
        columns[:, columns.shape[1] - width + spare :] += state[:, spare:]
    if fault == "conv-grad-weight-taps-reversed":
        ofTaps = ofTaps[:, ::-1]
    ofX, ofWindow = columns[:, width - 1 :], columns[:, : width - 1].transpose(0, 2, 1)
    if fault == "conv-grad-x-one-token-late":
        ofX = np.concatenate([ofX[:, 1:], np.zeros_like(ofX[:, :1])], axis=1)
    if fault == "conv-grad-window-not-written":
        ofWindow = np.zeros_like(ofWindow)
    if fault == "conv-grad-window-newest-first":
        ofWindow = ofWindow[..., ::-1]
    found = {"grad_x": ofX.astype(t["x"].dtype), "grad_weight": ofTaps[:, None]}
    if "bias" in t:
        found["grad_bias"] = (g if fault == "conv-grad-bias-before-activation" else pull)[some].sum((0, 1), dtype=f32)
    if "initial_window" in t:
        found["grad_initial_window"] = ofWindow
    return {name: np.ascontiguousarray(array) for name, array in found.items()}


def gated_norm_gradients(t: Arrays, options: Dict[str, str], fault: Optional[str] = None) -> Arrays:
    x, z, weight, g = (t[name].astype(f32) for name in ("x", "z", "weight", "dout"))
    rows, channels = x.shape
    size = int(options.get("group_size", channels))
    epsilon = f32(1e-6 if fault == "norm-grad-epsilon-1e-6" else float(options.get("epsilon", "1e-5")))
    late = (options.get("norm_before_gate", "false") == "true") != (fault == "norm-grad-gate-after-norm")
    silu = z * _sigmoid(z)
    slope = _sigmoid(z) if fault == "norm-grad-z-slope-sigmoid" else _slope(z)
    own = np.ones_like(weight) if fault == "norm-grad-misses-weight" else weight
    v, q = (x, own * g * silu) if late else (x * silu, own * g)

    def groups(a: np.ndarray) -> np.ndarray:
        return a.reshape(rows, channels // size, size)

    root = 1 / np.sqrt((groups(v) ** 2).sum(-1, keepdims=True, dtype=f32) / f32(size) + epsilon)
    sums = (groups(q) * groups(v)).sum(-1, keepdims=True, dtype=f32)
    mean = sums if fault == "norm-grad-sum-for-mean" else sums / f32(size)
    if fault == "norm-grad-mean-over-one-group":
        mean = np.broadcast_to(mean.mean(1, keepdims=True, dtype=f32), mean.shape)
    power = root if fault == "norm-grad-root-not-squared" else root * root
    second = f32(0) if fault == "norm-grad-mean-term-missing" else groups(v) * power * mean
    pull = (root * (groups(q) - second)).reshape(rows, channels)
    root = np.broadcast_to(root, (rows, channels // size, size)).reshape(rows, channels)
    scale = np.ones_like(x) if fault == "norm-grad-z-misses-x" else x
    ofX = pull if late or fault == "norm-grad-x-misses-gate" else pull * silu
    ofZ = g * own * scale * root * slope if late else pull * scale * slope
    normal = (x if fault == "norm-grad-weight-misses-gate" else x * silu) * g
    if fault != "norm-grad-weight-not-normalised":
        normal = normal * root
    ofWeight = normal[0] if fault == "norm-grad-weight-of-first-row" else normal.sum(0, dtype=f32)
    return {"grad_x": ofX.astype(t["x"].dtype), "grad_z": ofZ.astype(t["x"].dtype), "grad_weight": ofWeight}
