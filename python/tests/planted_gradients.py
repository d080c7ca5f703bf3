"""The scan backwards in chunks, in NumPy, each part of it with any of its known faults.

Pairs of tokens of a chunk as one matrix, everything else through the states at its ends; written from the equations.
"""

from __future__ import annotations

import re
from typing import Any, Optional, Tuple

import numpy as np

_FAULT = re.compile(
    "grad-(x|b|c|dt)-(inside|between|reads|writes|passes)-(missing|not-decayed|decay-off-by-one|stale-state)"
)
_STATES = (
    "grad-state-not-decayed", "grad-state-not-passed", "grad-state-decay-off-by-one", "grad-recomputed-states-not-decayed",
    "grad-recomputed-states-not-passed",
)  # fmt: skip


def is_of_chunks(fault: Optional[str]) -> bool:
    return fault is not None and (fault in _STATES or _FAULT.fullmatch(fault) is not None)


def _weights(exponent: np.ndarray, own: np.ndarray, mistake: Optional[str]) -> np.ndarray:
    if mistake == "missing":
        return np.zeros_like(exponent)
    if mistake == "not-decayed":
        return np.ones_like(exponent)
    return np.exp(exponent + own) if mistake == "decay-off-by-one" else np.exp(exponent)


def backward(
    x: np.ndarray, B: np.ndarray, C: np.ndarray, z: np.ndarray, g: np.ndarray, initial: np.ndarray, final: np.ndarray,
    first: np.ndarray, chunk: int, fault: str,
) -> Tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """The gradients of x̄ (x times its step), B, C, ln a and the initial state of one row and head.

    Args:
        x, g: x̄ and the gradient of y, ``[L, P]``. B, C: ``[L, N]``. z: ln a, ``[L]``.
        initial, final: the state at the start, and the gradient of that at the end, ``[P, N]``.
        first: where another sequence begins, ``[L]``.
    """
    match = _FAULT.fullmatch(fault)
    gradient, part, mistake = match.groups() if match else ("", "", "")

    def of(own_gradient: str, own_part: str) -> Optional[str]:
        if gradient != own_gradient:
            return None
        both = gradient == "dt" and part == "between"
        return mistake if part == own_part or both and own_part != "inside" else None

    length = len(z)
    starts = [t for t in range(length) if t == 0 or t % chunk == 0 or first[t]] + [length]
    spans = [slice(a, b) for a, b in zip(starts, starts[1:])]
    zero = np.zeros_like(initial)
    entering, state = [], initial
    for span in spans:
        if first[span.start]:
            state = zero
        entering.append(state)
        sums = np.cumsum(z[span], dtype=z.dtype)
        decay = 1 if fault == "grad-recomputed-states-not-decayed" else np.exp(sums[-1])
        kept = zero if fault == "grad-recomputed-states-not-passed" else decay * state
        state = kept + (x[span] * np.exp(sums[-1] - sums)[:, None]).T @ B[span]
    adjoints: list[Any] = [None] * len(spans)
    leaving = final
    for k in reversed(range(len(spans))):
        span = spans[k]
        if k + 1 < len(spans) and first[spans[k + 1].start]:
            leaving = zero
        adjoints[k] = leaving
        sums = np.cumsum(z[span], dtype=z.dtype)
        decay = 1 if fault == "grad-state-not-decayed" else np.exp(sums[-1])
        kept = zero if fault == "grad-state-not-passed" else decay * leaving
        short = z[span] if fault == "grad-state-decay-off-by-one" else 0
        leaving = kept + (g[span] * np.exp(sums - short)[:, None]).T @ C[span]

    def other(list_: list[Any], k: int, step: int) -> Any:
        """The state of the neighbouring chunk of the same sequence; its own where there is none."""
        n = k + step
        border = max(n, k)
        inside = 0 <= n < len(spans) and not first[spans[border].start]
        return list_[n] if inside else None

    gx, gB, gC, lam = np.zeros_like(x), np.zeros_like(B), np.zeros_like(C), np.zeros_like(z)
    for k, span in enumerate(spans):
        xs, bs, cs, gs, own = x[span], B[span], C[span], g[span], z[span]
        sums = np.cumsum(own, dtype=own.dtype)
        n = len(own)
        lower = np.tril(np.ones((n, n), bool))
        exponent = np.where(lower, sums[:, None] - sums[None], 0)
        pull, gram = gs @ xs.T, cs @ bs.T

        def inside(name: str) -> np.ndarray:
            return np.where(lower, _weights(exponent, own[None], of(name, "inside")), 0).astype(own.dtype)

        gx[span] = (inside("x") * gram).T @ gs
        gB[span] = (inside("b") * pull).T @ cs
        gC[span] = (inside("c") * pull) @ bs
        pairs = inside("dt") * pull * gram
        for t in range(n):
            lam[span.start + t] += pairs[t:, :t].sum(dtype=own.dtype)
        to, after = sums, sums[-1] - sums
        H, phi = entering[k], adjoints[k]
        before = other(entering, k, -1) if of("c", "between") == "stale-state" else H
        behind = {name: other(adjoints, k, -1) if of(name, "between") == "stale-state" else phi for name in "xb"}
        # The state that leaves the chunk before is the one that enters it: its gradient, and where there is no such chunk
        # the one at the start of the sequence.
        for name in "xb":
            if behind[name] is None:
                spare = np.exp(sums[-1]) * phi + (gs * np.exp(sums)[:, None]).T @ cs
                behind[name] = spare
        before = H if before is None else before
        gC[span] += _weights(to, own, of("c", "between"))[:, None] * (gs @ before)
        gB[span] += _weights(after, own, of("b", "between"))[:, None] * (xs @ behind["b"])
        gx[span] += _weights(after, own, of("x", "between"))[:, None] * (bs @ behind["x"].T)
        reads = _weights(to, own, of("dt", "reads")) * np.einsum("tp,pn,tn->t", gs, H, cs)
        writes = _weights(after, own, of("dt", "writes")) * np.einsum("tp,pn,tn->t", xs, phi, bs)
        passing = _weights(sums[-1:], 0 * own[:1], of("dt", "passes"))[0] * (phi * H).sum(dtype=own.dtype)
        for t in range(n):
            lam[span.start + t] += reads[t:].sum(dtype=own.dtype) + writes[:t].sum(dtype=own.dtype) + passing
    return gx, gB, gC, lam, leaving
