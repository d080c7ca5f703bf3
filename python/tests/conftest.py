"""Operands to test with, and the operator written out in NumPy."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Dict, Tuple

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))


def operands(seed: int = 0, B: int = 2, L: int = 19, H: int = 4, P: int = 3, N: int = 5) -> Dict[str, Any]:
    """Operands of every kind, in float32: x and B with fewer heads than C, a skip a channel, a gate, an initial state."""
    random = np.random.default_rng(seed)

    def normal(*shape: int) -> np.ndarray:
        return random.normal(size=shape).astype(np.float32)

    return dict(
        x=normal(B, L, H // 2, P), dt=normal(B, L, H), A=-np.exp(normal(H)), B=normal(B, L, 1, N), C=normal(B, L, H, N),
        D=normal(H, P), z=normal(B, L, H, P), dt_bias=normal(H), initial_states=normal(B, H, P, N),
    )  # fmt: skip


def recurrence(
    x: Any, dt: Any, A: Any, B: Any, C: Any, *, D: Any = None, z: Any = None, dt_bias: Any = None,
    initial_states: Any = None, dtype: Any = np.float64, state_dtype: Any = None,
) -> Tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """The operator token by token, computed in `dtype`, its state kept in `state_dtype`."""
    x, dt, A, B, C = (np.asarray(a, dtype) for a in (x, dt, A, B, C))
    heads = dt.shape[2]
    x, B, C = (np.repeat(a, heads // a.shape[2], axis=2) for a in (x, B, C))
    step = np.logaddexp(dtype(0), dt + (0 if dt_bias is None else np.asarray(dt_bias, dtype))).astype(dtype)
    if initial_states is None:
        state = np.zeros((x.shape[0], heads, x.shape[3], B.shape[3]), dtype)
    else:
        state = np.asarray(initial_states, dtype)
    y = np.zeros(x.shape, dtype)
    for t in range(x.shape[1]):
        decay = np.exp(step[:, t] * A)[:, :, None, None]
        state = decay * state + (step[:, t, :, None] * x[:, t])[..., None] * B[:, t, :, None, :]
        if state_dtype is not None:
            state = state.astype(state_dtype).astype(dtype)
        y[:, t] = np.einsum("bhpn,bhn->bhp", state, C[:, t])
    if D is not None:
        D = np.asarray(D, dtype)
        y += x * (D if D.ndim == 2 else D[:, None])
    if z is not None:
        z = np.asarray(z, dtype)
        y *= z / (1 + np.exp(-z))
    return y, state


@pytest.fixture
def call() -> Dict[str, Any]:
    return operands()
