"""The operator against NumPy, its forms against each other, its gradients against differences."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from conftest import operands, recurrence

import duality_ssd


def distance(a, b):
    return np.linalg.norm(a - b) / np.linalg.norm(b)


FORMS = [
    dict(form="recurrent"),
    dict(form="chunked"),
    dict(form="chunked", chunk_size=5),
    dict(form="quadratic"),
    dict(form="associative", tree="left", leaf=3),
]


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_every_form_agrees_with_numpy(call, form):
    y, state = recurrence(**call)
    found = duality_ssd.ssd(**call, **form)
    assert found.y.dtype == np.float64
    assert distance(found.y, y) < 1e-13
    assert distance(found.final_states, state) < 1e-13
    single = duality_ssd.ssd(**call, **form, precision="f32")
    assert single.y.dtype == np.float32
    assert 1e-9 < distance(single.y, y) < 2e-6


def test_a_time_invariant_system_is_a_convolution(call):
    for name in ("dt", "B", "C"):
        call[name] = np.broadcast_to(call[name][:, :1], call[name].shape)
    exact = duality_ssd.ssd(**call)
    assert distance(duality_ssd.ssd(**call, form="convolution").y, exact.y) < 1e-12


def test_packed_sequences_are_separate_ones():
    packed = operands(B=1, L=12)
    packed["initial_states"] = operands(seed=1, B=3)["initial_states"]
    found = duality_ssd.ssd(**packed, cu_seqlens=[0, 5, 6, 12])
    assert found.varlen_states is not None and found.varlen_log_decay is not None
    for i, (start, end) in enumerate([(0, 5), (5, 6), (6, 12)]):
        alone = dict(packed, initial_states=packed["initial_states"][i : i + 1])
        for name in ("x", "dt", "B", "C", "z"):
            alone[name] = packed[name][:, start:end]
        one = duality_ssd.ssd(**alone)
        np.testing.assert_array_equal(found.y[:, start:end], one.y)
        np.testing.assert_array_equal(found.varlen_states[i], one.final_states[0])
        np.testing.assert_array_equal(found.varlen_log_decay[i], one.log_decay[0])
    ids = np.repeat([2, 3, 7], [5, 1, 6])[None]
    np.testing.assert_array_equal(duality_ssd.ssd(**packed, seq_idx=ids).y, found.y)


def test_states_on_the_way_are_those_of_shorter_texts(call):
    found = duality_ssd.ssd(**call, states_every=8)
    assert found.chunk_states is not None
    assert found.chunk_states.shape[1] == 3
    for name in ("x", "dt", "B", "C", "z"):
        call[name] = call[name][:, :8]
    np.testing.assert_array_equal(found.chunk_states[:, 0], duality_ssd.ssd(**call).final_states)


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_gradients_are_slopes(form):
    call = {name: array.astype(np.float64) for name, array in operands(L=9).items()}
    random = np.random.default_rng(1)
    dout = random.normal(size=(2, 9, 4, 3))
    dstate = random.normal(size=(2, 4, 3, 5))
    gradients = duality_ssd.ssd(**call, **form, dout=dout, dfinal_states=dstate).gradients
    assert gradients is not None

    def loss(**changed):
        found = duality_ssd.ssd(**{**call, **changed})
        return (found.y * dout).sum() + (found.final_states * dstate).sum()

    for name, array in call.items():
        direction = random.normal(size=array.shape) * np.abs(array)  # A stays negative
        slope = (loss(**{name: array + 1e-5 * direction}) - loss(**{name: array - 1e-5 * direction})) / 2e-5
        found = (getattr(gradients, name) * direction).sum()
        assert abs(found - slope) < 1e-7 * (1 + abs(slope)), name


def test_without_upstream_there_are_no_gradients(call):
    assert duality_ssd.ssd(**call).gradients is None
    del call["D"]
    gradients = duality_ssd.ssd(**call, dfinal_states=call["initial_states"]).gradients
    assert gradients is not None and gradients.D is None and gradients.z is not None


def test_nothing_to_read_leaves_the_state(call):
    for name in ("x", "dt", "B", "C", "z"):
        call[name] = call[name][:, :0]
    found = duality_ssd.ssd(**call)
    assert found.y.shape == (2, 0, 4, 3)
    np.testing.assert_array_equal(found.final_states, call["initial_states"])


def test_results_outlive_their_siblings(call):
    y = duality_ssd.ssd(**call).y
    copy = y.copy()
    for seed in range(20):
        duality_ssd.ssd(**operands(seed))
    np.testing.assert_array_equal(y, copy)
    y[:] = 0  # and are the caller's to change


def test_threads_do_not_disturb_each_other():
    expected = [duality_ssd.ssd(**operands(seed)).y for seed in range(16)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda seed: duality_ssd.ssd(**operands(seed)).y, range(16)))
    for a, b in zip(found, expected):
        np.testing.assert_array_equal(a, b)
