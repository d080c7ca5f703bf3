"""The sizes of error: what correct kernels stay within and wrong ones do not."""

import ml_dtypes
import numpy as np
from conftest import operands, recurrence

import duality_ssd


def test_a_float32_kernel_is_within_its_bound_and_a_few_sigma(call):
    sizes = duality_ssd.bound(**call)
    y, state = recurrence(**call, dtype=np.float32)
    np.testing.assert_array_equal(sizes.exact.y, duality_ssd.ssd(**call).y)
    assert (abs(y - sizes.exact.y) <= sizes.bound.y).all()
    assert (abs(state - sizes.exact.final_states) <= sizes.bound.final_states).all()
    assert (abs(y - sizes.exact.y) / sizes.sigma.y).max() < 8
    assert (sizes.magnitude.y >= abs(sizes.exact.y) * (1 - 1e-12)).all()
    assert 1e-8 < sizes.relative_floor["y"] < 6e-8


def test_a_bfloat16_state_is_out_by_thousands_of_sigma(call):
    sizes = duality_ssd.bound(**call, quantities=["bound", "sigma"])
    assert sizes.floor is None and sizes.magnitude is None
    y, _ = recurrence(**call, dtype=np.float32, state_dtype=ml_dtypes.bfloat16)
    assert (abs(y - sizes.exact.y) / sizes.sigma.y).max() > 1000
    assert (abs(y - sizes.exact.y) > sizes.bound.y).any()


def test_the_declared_arithmetic_is_what_it_is_judged_by(call):
    y, _ = recurrence(**call, dtype=np.float32, state_dtype=ml_dtypes.bfloat16)
    honest = duality_ssd.bound(**call, precision="float32,state=bf16")
    assert "state=bf16" in honest.precision
    assert (abs(y - honest.exact.y) <= honest.bound.y).all()


def test_packed_sequences_have_sizes_of_their_own():
    sizes = duality_ssd.bound(**operands(B=1), cu_seqlens=[0, 7, 19], precision="mamba_ssm")
    assert sizes.sigma.varlen_states.shape == (2, 4, 3, 5)
    assert sizes.exact.varlen_states.shape == (2, 4, 3, 5)
