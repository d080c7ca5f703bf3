"""How to test a kernel of your own. Copy this file, put your kernel in place of `my_kernel`, and run pytest.

The kernel here is a chunked scan in NumPy, in float32, of the kind that one writes first.
"""

import numpy as np
import pytest

import duality_ssd
from duality_ssd import Case, assert_ssd_close


def my_kernel(x, dt, A, B, C, D=None, z=None, dt_bias=None, initial_states=None, seq_idx=None, dt_softplus=True,
              dt_limit=(0.0, np.inf), chunk_size=64):  # fmt: skip
    """y ``[B, L, H, P]`` and the final states ``[B, H, P, N]``."""
    rows, length, heads = dt.shape
    x, B, C = (np.repeat(a, heads // a.shape[2], axis=2) for a in (x, B, C))
    step = dt if dt_bias is None else dt + dt_bias
    step = np.clip(np.logaddexp(np.float32(0), step) if dt_softplus else step, *map(np.float32, dt_limit))
    y = np.zeros_like(x)
    final_states = np.zeros((rows, heads, x.shape[3], B.shape[3]), np.float32)
    for row in range(rows):
        state = np.zeros(final_states.shape[1:], np.float32) if initial_states is None else initial_states[row]
        cuts = [] if seq_idx is None else (np.flatnonzero(np.diff(seq_idx[row])) + 1).tolist()
        starts = sorted({*range(0, length, chunk_size), *cuts})
        for start, end in zip(starts, starts[1:] + [length]):
            if start in cuts:
                state = np.zeros_like(state)
            chunk = slice(start, end)
            log_decay = np.cumsum(step[row, chunk] * A, axis=0)  # [Q, H]
            between = np.exp(np.minimum(log_decay[:, None] - log_decay[None], 0))  # [Q, Q, H], masked below
            xdt = x[row, chunk] * step[row, chunk, :, None]
            scores = np.einsum("qhn,shn->qsh", C[row, chunk], B[row, chunk]) * between
            scores *= np.tri(end - start, dtype=np.float32)[..., None]
            y[row, chunk] = np.einsum("qsh,shp->qhp", scores, xdt)
            y[row, chunk] += np.exp(log_decay)[..., None] * np.einsum("qhn,hpn->qhp", C[row, chunk], state)
            state = np.exp(log_decay[-1])[:, None, None] * state + np.einsum(
                "sh,shp,shn->hpn", np.exp(log_decay[-1] - log_decay), xdt, B[row, chunk]
            )
        final_states[row] = state
    if D is not None:
        y += x * (D if D.ndim == 2 else D[:, None])
    if z is not None:
        y *= z / (1 + np.exp(-z))
    return y, final_states


def run(case: Case, **changes):
    """The kernel on a case, and its outputs by name."""
    inputs = {**case.inputs, **changes}
    y, final_states = my_kernel(
        **inputs, dt_softplus=case.dt_softplus, dt_limit=case.dt_limit, chunk_size=case.chunk_size
    )
    return {"y": y, "final_states": final_states}


def does_not_do(case: Case) -> bool:
    """An initial state for each packed sequence is nothing this kernel has."""
    return "seq_idx" in case.inputs and case.inputs["initial_states"].shape[0] > case.inputs["x"].shape[0]


@pytest.mark.parametrize("case", duality_ssd.vectors("smoke", kinds=["scan"]), ids=str)
def test_my_kernel(case):
    if does_not_do(case):
        pytest.skip("one initial state a row")
    assert_ssd_close(run(case), case)


def test_a_mistake_is_found_and_named():
    case = next(case for case in duality_ssd.vectors("smoke") if case.name == "length-131")
    with pytest.raises(AssertionError) as error:
        assert_ssd_close(run(case, dt_bias=None), case, name="my_kernel")
    message = str(error.value)
    assert message.startswith("FAIL  my_kernel: ")
    assert "dt-bias-missing" in message
    assert "first at token 0" in message


def test_my_own_numbers():
    """Inputs from anywhere, for instance recorded in a training run."""
    random = np.random.default_rng(0)

    def normal(*shape):
        return random.normal(size=shape).astype(np.float32)

    call = dict(x=normal(1, 100, 4, 8), dt=normal(1, 100, 4), A=-np.exp(normal(4)), B=normal(1, 100, 1, 16),
                C=normal(1, 100, 1, 16), D=normal(4), dt_bias=normal(4))  # fmt: skip
    assert_ssd_close(my_kernel(**call), call)
