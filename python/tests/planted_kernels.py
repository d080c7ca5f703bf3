"""Kernels of the layers around the scan, and of the scan backwards, in NumPy and float32, each with any of its known faults.

They are written from the equations and share nothing with the package, so that what a report names can be held against what was planted.
"""

from __future__ import annotations

from typing import Any, Dict, Optional

import numpy as np
from planted_gradients import backward, is_of_chunks
from planted_layers import convolution_gradients, gated_norm_gradients

f32 = np.float32
Arrays = Dict[str, np.ndarray]


def narrow(array: np.ndarray, like: np.ndarray) -> np.ndarray:
    return array.astype(like.dtype)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return (1 / (1 + np.exp(-x))).astype(x.dtype)


def softplus(x: np.ndarray) -> np.ndarray:
    return np.where(x > 20, x, np.log1p(np.exp(np.minimum(x, 20)))).astype(x.dtype)


def convolution(t: Arrays, options: Dict[str, str], fault: Optional[str] = None) -> Arrays:
    x, taps = t["x"].astype(f32), t["weight"].astype(f32)[:, 0]
    rows, length, channels = x.shape
    width = taps.shape[1]
    before = np.zeros((rows, width - 1, channels), f32)
    if "initial_window" in t and fault != "conv-window-ignored":
        before = t["initial_window"].astype(f32).transpose(0, 2, 1)
    if fault == "conv-window-not-cleared":
        before = np.sin(np.arange(before.size, dtype=f32)).reshape(before.shape)
    if fault == "conv-taps-reversed":
        taps = taps[:, ::-1]
    whole = np.concatenate([before, x, np.zeros((rows, width, channels), f32)], axis=1)
    shift = {"conv-one-token-late": -1, "conv-sees-the-future": (width - 1) // 2}.get(fault or "", 0)
    ids = t.get("seq_idx")
    pre = np.zeros_like(x)
    for token in range(length):
        for j in range(width):
            source = token + j + shift  # counted from the beginning of the window
            if source < 0:
                continue
            term = taps[:, j] * whole[:, source]
            if ids is not None and fault != "conv-across-boundary":
                at = min(max(source - width + 1, 0), length - 1)
                same = (ids[:, at] == ids[:, token])[:, None]
                term = np.where(same, term, f32(0))
                if fault == "conv-window-in-every-sequence":
                    for row in range(rows):
                        start = int(np.argmax(ids[row] == ids[row, token]))
                        column = source - start  # of the window, oldest first
                        if not same[row, 0] and 0 <= column < width - 1:
                            term[row] = taps[:, j] * before[row, column]
            pre[:, token] += term
    if "bias" in t and fault != "conv-bias-missing":
        pre = pre + t["bias"].astype(f32)
    out = pre if fault == "conv-activation-missing" else pre * sigmoid(pre)
    if fault == "conv-activation-twice":
        out = out * sigmoid(out)
    kept = {"conv-state-of-output": out, "conv-state-of-pre-activation": pre}.get(fault or "", x)
    history = np.concatenate([np.zeros((rows, 1, channels), f32), before, kept], axis=1)
    end = history.shape[1] - (1 if fault == "conv-state-misses-last-token" else 0)
    if end < width:
        history, end = np.concatenate([np.zeros((rows, width, channels), f32), history], axis=1), end + width
    state = history[:, end - width : end].transpose(0, 2, 1)
    if fault == "conv-state-newest-first":
        state = state[:, :, ::-1]
    if fault == "conv-state-not-written" or fault == "conv-state-not-updated":
        state = np.zeros_like(state)
    if fault == "conv-state-not-updated":
        state[:, :, 1:] = before.transpose(0, 2, 1)
    if fault == "conv-state-misses-window" and length < width:
        state = np.zeros_like(state)
        state[:, :, width - length :] = x.transpose(0, 2, 1)
    return {name: narrow(a, t["x"]) for name, a in {"out": out, "pre_activation": pre, "conv_state": state}.items()}


def gated_norm(t: Arrays, options: Dict[str, str], fault: Optional[str] = None) -> Arrays:
    x, z, weight = (t[name].astype(f32) for name in ("x", "z", "weight"))
    rows, channels = x.shape
    size = int(options.get("group_size", channels))
    size = {"norm-over-one-group": channels, "norm-over-half-groups": max(size // 2, 1)}.get(fault or "", size)
    epsilon = f32(1e-6 if fault == "norm-epsilon-1e-6" else float(options.get("epsilon", "1e-5")))
    late = (options.get("norm_before_gate", "false") == "true") != (fault == "gate-after-norm")
    gate = sigmoid(z) if fault == "norm-gate-sigmoid" else z * sigmoid(z)

    def norm(values: np.ndarray) -> np.ndarray:
        grouped = values.reshape(rows, channels // size, size)
        if fault == "norm-subtracts-mean":
            grouped = grouped - grouped.mean(-1, keepdims=True, dtype=f32)
        mean = (grouped * grouped).sum(-1, keepdims=True, dtype=f32)
        if fault != "norm-of-sum":
            mean = mean / f32(size)
        root = np.sqrt(mean) + epsilon if fault == "norm-epsilon-outside-root" else np.sqrt(mean + epsilon)
        scaled = (grouped / root).reshape(rows, channels)
        if fault == "norm-weight-cast-late":
            scaled = scaled.astype(t["x"].dtype).astype(f32)
        factor = {"norm-weight-missing": f32(1), "norm-weight-plus-one": 1 + weight}.get(fault or "", weight)
        scaled = scaled * factor
        return scaled.astype(t["x"].dtype).astype(f32) if fault == "norm-weight-cast-late" else scaled

    if fault == "norm-gate-missing":
        out = norm(x)
    else:
        out = norm(x) * gate if late else norm(x * gate)
    return {"out": narrow(out, t["x"]), "out_no_gate": narrow(norm(x), t["x"])}


def matmul(t: Arrays, options: Dict[str, str], fault: Optional[str] = None) -> Arrays:
    a, w = t["activations"], t["weights"]
    inner = a.shape[1]
    end = inner
    if fault == "matmul-tail-dropped":
        end = inner - inner % 32
    if fault == "matmul-last-block-dropped":
        end = max(inner - 32, 0)
    if "activation_scales" not in t:
        a, w = a.astype(f32), w.astype(f32)
        out = np.zeros((a.shape[0], w.shape[0]), f32)
        for k in range(end):
            out = out + np.outer(a[:, k], w[:, k]).astype(f32)
            if fault == "matmul-bf16-accumulation":
                out = out.astype(t["activations"].dtype).astype(f32)
        return {"out": out}
    a, w = a.astype(np.int64), w.astype(np.int64)
    if fault == "matmul-minus-128":
        a, w = np.maximum(a, -127), np.maximum(w, -127)
    scales_a, scales_w = (t[name].astype(f32).reshape(len(t[name]), -1) for name in ("activation_scales", "weight_scales"))
    groups = max(scales_a.shape[1], scales_w.shape[1])
    size = inner // groups
    out = np.zeros((a.shape[0], w.shape[0]), f32)
    for g in range(groups):
        part = slice(g * size, min((g + 1) * size, end))
        pa, pw = a[:, part], w[:, part]
        if fault == "matmul-offset-uncorrected":
            pa = pa + 128
        if fault == "matmul-pair-saturation":
            products = np.abs(pa)[:, None] * np.where(pa[:, None] < 0, -pw[None], pw[None])
            even = products.shape[2] // 2 * 2
            pairs = np.clip(products[..., :even:2] + products[..., 1:even:2], -32768, 32767)
            sums = pairs.sum(-1) + products[..., even:].sum(-1)
        else:
            sums = pa @ pw.T
        at = {"matmul-scale-of-next-group": (g + 1) % groups, "matmul-first-group-scale": 0}.get(fault or "", g)
        sw = scales_w[:, at if scales_w.shape[1] > 1 else 0]
        sa = scales_a[:, g if scales_a.shape[1] > 1 else 0]
        if fault == "matmul-weight-scales-missing":
            sw = np.ones_like(sw)
        if fault == "matmul-activation-scales-missing":
            sa = np.ones_like(sa)
        out = out + sums.astype(f32) * sa[:, None] * sw[None]
    return {"out": out.astype(f32)}


def scan(x: np.ndarray, step: np.ndarray, A: np.ndarray, B: np.ndarray, C: np.ndarray, state: np.ndarray) -> Any:
    """y without its skip, the state after the last token, and those before each token."""
    y, states = np.zeros(x.shape, x.dtype), []
    for t in range(x.shape[1]):
        states.append(state)
        state = np.exp(step[:, t] * A)[..., None, None] * state
        state = state + (step[:, t, :, None] * x[:, t])[..., None] * B[:, t, :, None, :]
        y[:, t] = np.einsum("bhpn,bhn->bhp", state, C[:, t])
    return y, state, states


def gradients(t: Arrays, options: Dict[str, str], fault: Optional[str] = None) -> Arrays:
    number = f32
    heads = t["dt"].shape[2]
    repeat = lambda a: np.repeat(a.astype(number), heads // a.shape[2], axis=2)  # noqa: E731
    x, B, C = repeat(t["x"]), repeat(t["B"]), repeat(t["C"])
    A, raw = t["A"].astype(number), t["dt"].astype(number)
    if "dt_bias" in t:
        raw = raw + t["dt_bias"].astype(number)
    soft = options.get("dt_softplus", "true") == "true"
    step = softplus(raw) if soft else raw
    slope = np.where(raw > 20, number(1), sigmoid(raw)) if soft else np.ones_like(raw)
    if "dt_limit" in options:
        low, high = (number(v) for v in options["dt_limit"].split(","))
        slope = np.where((step < low) | (step > high), number(0), slope)
        step = np.clip(step, low, high)
    if fault == "grad-dt-misses-softplus":
        slope = np.ones_like(slope)
    rows, length, _, width = x.shape
    zero = np.zeros((rows, heads, width, B.shape[3]), number)
    initial = t["initial_states"].astype(number) if "initial_states" in t else zero
    first = np.zeros((rows, length), bool)
    if "seq_idx" in t:
        first[:, 1:] = t["seq_idx"][:, 1:] != t["seq_idx"][:, :-1]

    # Forward, keeping the state that enters each token.
    y, entering, state = np.zeros(x.shape, number), [], initial
    for i in range(length):
        state = np.where(first[:, i, None, None, None], number(0), state)
        entering.append(state)
        state = np.exp(step[:, i] * A)[..., None, None] * state
        state = state + (step[:, i, :, None] * x[:, i])[..., None] * B[:, i, :, None, :]
        y[:, i] = np.einsum("bhpn,bhn->bhp", state, C[:, i])
    pull = t["dout"].astype(number)
    D = t["D"].astype(number) if "D" in t else None
    weights = None if D is None else (D if D.ndim == 2 else np.repeat(D[:, None], width, axis=1))
    out: Arrays = {}
    if "z" in t:
        z = t["z"].astype(number)
        s = sigmoid(z)
        ungated = y if weights is None else y + weights * x
        derivative = s * (1 - s) if fault == "grad-z-of-sigmoid" else s * (1 + z * (1 - s))
        out["grad_z"] = pull * ungated * derivative
        if fault != "grad-gate-ignored":
            pull = pull * z * s

    # Backward.
    gx, gB, gC = np.zeros_like(x), np.zeros_like(B), np.zeros_like(C)
    g_step, g_rate = np.zeros_like(step), np.zeros_like(step)
    g = zero if fault == "grad-final-state-ignored" or "dfinal_states" not in t else t["dfinal_states"].astype(number)
    for i in reversed(range(length)):
        decay = np.exp(step[:, i] * A)[..., None, None]
        inflow = (step[:, i, :, None] * x[:, i])[..., None] * B[:, i, :, None, :]
        gC[:, i] = np.einsum("bhpn,bhp->bhn", decay * entering[i] + inflow, pull[:, i])
        g = g + pull[:, i, :, :, None] * C[:, i, :, None, :]
        g_input = np.einsum("bhpn,bhn->bhp", g, B[:, i])
        gB[:, i] = np.einsum("bhpn,bhp->bhn", g, step[:, i, :, None] * x[:, i])
        gx[:, i] = g_input * (1 if fault == "grad-x-misses-dt" else step[:, i, :, None])
        through = (g * decay * entering[i]).sum((2, 3))
        direct = (g_input * x[:, i]).sum(-1)
        g_step[:, i] = (0 if fault == "grad-dt-misses-x-term" else direct) + (
            0 if fault == "grad-dt-misses-a-term" else through * A
        )
        g_rate[:, i] = through * (1 if fault == "grad-a-misses-dt" else step[:, i])
        if not (fault == "grad-initial-state-not-decayed" and i == 0):
            g = decay * g
        g = np.where(first[:, i, None, None, None], number(0), g)
    if is_of_chunks(fault):
        scaled = step[..., None] * x
        last = zero if "dfinal_states" not in t else t["dfinal_states"].astype(number)
        chunk = int(options.get("chunk_size", "64"))
        for row in range(rows):
            for h in range(heads):
                gx_, gB[row, :, h], gC[row, :, h], lam, g[row, h] = backward(
                    scaled[row, :, h], B[row, :, h], C[row, :, h], step[row, :, h] * A[h], pull[row, :, h],
                    initial[row, h], last[row, h], first[row], chunk, fault,
                )  # fmt: skip
                gx[row, :, h] = gx_ * step[row, :, h, None]
                g_step[row, :, h] = (gx_ * x[row, :, h]).sum(-1) + lam * A[h]
                g_rate[row, :, h] = lam * step[row, :, h]
    if "initial_states" in t:
        out["grad_initial_states"] = g
    out["grad_A"] = g_rate.sum((0, 1)) * (A if fault == "grad-a-is-of-a-log" else 1)
    out["grad_dt"] = g_step * slope
    if "dt_bias" in t:
        kept = out["grad_dt"][:1] if fault == "grad-dt-bias-of-one-row" else out["grad_dt"]
        out["grad_dt_bias"] = kept.sum((0, 1))
    if weights is not None:
        if fault != "grad-x-misses-d":
            gx = gx + weights * pull
        skip = pull * x
        out["grad_D"] = skip.sum((0, 1)) if D.ndim == 2 else skip.sum((0, 1, 3))

    def shared(gradient: np.ndarray, like: np.ndarray) -> np.ndarray:
        own = gradient.reshape(rows, length, like.shape[2], heads // like.shape[2], -1)
        if fault == "grad-of-first-head-only":
            return own[:, :, :, 0]
        return own[:, :, :, -1] if fault == "grad-of-last-head-only" else own.sum(3)

    out["grad_x"], out["grad_B"], out["grad_C"] = shared(gx, t["x"]), shared(gB, t["B"]), shared(gC, t["C"])
    if fault == "grad-b-and-c-swapped" and out["grad_B"].shape == out["grad_C"].shape:
        out["grad_B"], out["grad_C"] = out["grad_C"], out["grad_B"]
    stored = {"grad_x", "grad_dt", "grad_B", "grad_C", "grad_z"}
    return {k: narrow(v, t["x"]) if k in stored else v.astype(f32) for k, v in out.items()}


def rotated(values: np.ndarray, width: int, theta: float) -> np.ndarray:
    """Each pair (i, i + width / 2) of every head turned by its position."""
    rows, length, _ = values.shape
    half = width // 2
    frequencies = f32(theta) ** (-np.arange(half, dtype=f32) * f32(2) / f32(width))
    angles = np.arange(length, dtype=f32)[:, None] * frequencies
    cosine, sine = np.cos(angles)[:, None], np.sin(angles)[:, None]
    own = values.reshape(rows, length, -1, width)
    u, v = own[..., :half], own[..., half:]
    return np.concatenate([u * cosine - v * sine, v * cosine + u * sine], axis=3).reshape(values.shape)


def mixer(t: Arrays, options: Dict[str, str], fault: Optional[str] = None) -> Arrays:
    hidden = t["hidden_states"].astype(f32)
    heads, inner = t["A_log"].shape[0], t["norm.weight"].shape[0]
    width, part = inner // heads, (t["conv1d.weight"].shape[0] - inner) // 2
    rows, length, _ = hidden.shape
    projected = hidden @ t["in_proj.weight"].astype(f32).T
    if fault == "mixer-b-and-c-rows-swapped":
        z, x, C, B, dt = np.split(projected, np.cumsum([inner, part, inner, part]), axis=2)
    else:
        z, x, B, C, dt = np.split(projected, np.cumsum([inner, part, part, inner]), axis=2)

    def normed(values: np.ndarray, name: str) -> np.ndarray:
        if name not in t or fault == "mixer-bc-norm-missing":
            return values
        own = values.reshape(rows, length, -1, width)
        mean = (own * own).mean(-1, keepdims=True, dtype=f32)
        own = own / np.sqrt(mean + f32(float(options.get("bc_epsilon", "1e-6")))) * t[name].astype(f32)
        return own.reshape(values.shape)

    late = fault == "mixer-bc-norm-after-conv"
    if not late:
        B, C = normed(B, "B_norm.weight"), normed(C, "C_norm.weight")
    if "rope_theta" in options and fault != "mixer-rope-missing":
        B, C = (rotated(a, width, float(options["rope_theta"])) for a in (B, C))
    joined = np.concatenate([x, B, C], axis=2)
    call = {"x": joined, "weight": t["conv1d.weight"], "bias": t["conv1d.bias"]}
    made = convolution(call, {}, fault if (fault or "").startswith("conv-") else None)
    mixed, window = made["out"], made["conv_state"]
    if fault == "mixer-conv-on-x-only":
        mixed = np.concatenate([mixed[..., :part], joined[..., part:]], axis=2)
    if fault == "mixer-conv-state-after-conv":
        window = convolution({**call, "x": joined}, {}, "conv-state-of-output")["conv_state"]
    x, B, C = np.split(mixed, np.cumsum([part, part]), axis=2)
    if late:
        B, C = normed(B, "B_norm.weight"), normed(C, "C_norm.weight")
    cut = lambda a: np.repeat(a.reshape(rows, length, -1, width), heads // (a.shape[2] // width), axis=2)  # noqa: E731
    x, B, C = cut(x), cut(B), cut(C)
    step = softplus(dt + (0 if fault == "dt-bias-missing" else t["dt_bias"].astype(f32)))
    y, state, _ = scan(x, step, -np.exp(t["A_log"].astype(f32)), B, C, np.zeros((rows, heads, width, width), f32))
    if fault != "d-missing":
        y = y + t["D"].astype(f32)[:, None] * x
    norm_options = {"group_size": str(width), "epsilon": options.get("epsilon", "1e-5")}
    flat = lambda a: a.reshape(rows * length, inner)  # noqa: E731
    own = fault if (fault or "").startswith(("norm-", "gate-")) else None
    normal = gated_norm({"x": flat(y), "z": flat(z), "weight": t["norm.weight"]}, norm_options, own)["out"]
    out = normal.reshape(rows, length, inner) @ t["out_proj.weight"].astype(f32).T
    return {"out": narrow(out, t["hidden_states"]), "ssm_state": state, "conv_state": window}


KERNELS = {
    "convolution": convolution, "gated_norm": gated_norm, "matmul": matmul, "gradients": gradients, "mixer": mixer,
    "convolution_gradients": convolution_gradients, "gated_norm_gradients": gated_norm_gradients,
}  # fmt: skip
