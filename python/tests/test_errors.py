"""What is wrong is named, and nothing that is wrong ends the process."""

import numpy as np
import pytest
from conftest import operands

import duality_ssd

BAD = [
    (dict(A=np.ones(4)), "value", "operands: A: expected numbers <= 0"),
    (dict(dt=np.zeros((2, 18, 4))), "shape", r"dt: expected \[B = 2, L = 19, H\], found \[2, 18, 4\]"),
    (dict(B=np.zeros((2, 19, 3, 5))), "shape", "heads of B: expected a divisor of the 4 heads"),
    (dict(x=np.full((2, 19, 2, 3), np.nan)), "notFinite", r"x\[0, 0, 0, 0\]"),
    (dict(seq_idx=np.zeros((2, 19))), "dtype", "seq_idx: expected integers, found F64"),
    (dict(seq_idx=np.arange(38).reshape(2, 19)[:, ::-1]), "value", r"seq_idx\[0, 1\]"),
    (dict(cu_seqlens=[0, 3, 19]), "shape", "packing"),
    (dict(seq_idx=np.zeros((2, 19), int), cu_seqlens=[0, 19]), "value", "both"),
    (dict(form="magic"), "value", "options: form: expected one of recurrent"),
    (dict(form="chunked", chunk_size=0), "value", "options: chunk_size"),
    (dict(chunk_size=64), "unknown", "options: chunk_size.*no such option of the recurrent form"),
    (dict(form="convolution"), "value", "dt"),
    (dict(precision="f16"), "value", "options: precision"),
    (dict(dt_limit=(1, 0)), "value", "options: dt_limit"),
    (dict(dt_limit=(0, float("nan"))), "value", "options: dt_limit"),
    (dict(states_every=0), "value", "options: states_every"),
    (dict(dout=np.zeros((2, 19, 4, 4))), "shape", "dout"),
    (dict(x=np.broadcast_to(np.float32(0), (2, 1 << 40, 2, 3))), "shape", "x: expected lengths >= 0 of a tensor that fits"),
    (dict(x=np.zeros((2, 19, 0, 3))), "shape", "x"),
    (dict(x=3.0), "shape", "x"),
]


@pytest.mark.parametrize("changed, kind, message", BAD)
def test_a_mistake_is_named(call, changed, kind, message):
    with pytest.raises(duality_ssd.InputError, match=message) as error:
        duality_ssd.ssd(**{**call, **changed})
    assert error.value.kind == kind
    assert isinstance(error.value, ValueError)
    assert error.value.place in str(error.value)


@pytest.mark.parametrize(
    "changed, kind, message",
    [
        (dict(precision="mamba"), "unknown", 'precision "mamba"'),
        (dict(precision="float32,state=f7"), "dtype", "state"),
        (dict(quantities=["sigmas"]), "unknown", "quantities"),
        (dict(dt=np.full((2, 19, 4), 1e6), precision="inputs=f16"), "", "dt"),
    ],
)
def test_a_mistake_in_a_bound_is_named(call, changed, kind, message):
    with pytest.raises(duality_ssd.InputError, match=message) as error:
        duality_ssd.bound(**{**call, **changed})
    assert kind in error.value.kind


def test_results_too_large_for_memory_are_refused():
    call = dict(x=np.zeros((1 << 20, 0, 1, 1 << 10)), dt=np.zeros((1 << 20, 0, 1)), A=[-1.0])
    direction = np.zeros((1 << 20, 0, 1, 1 << 10))
    with pytest.raises(duality_ssd.InputError, match="memory"):
        duality_ssd.ssd(**call, B=direction, C=direction)


def test_odd_calls_return_or_raise():
    """Shapes with axes added, dropped, emptied and stretched, and numbers of every size: an answer or an `InputError`."""
    random = np.random.default_rng(0)
    answers = 0
    for round in range(1000):
        call = operands(round, B=random.integers(0, 3), L=random.integers(0, 6), H=2 * random.integers(1, 3), P=2, N=2)
        for _ in range(random.integers(0, 3)):
            name = random.choice(list(call))
            array = call[name]
            change = random.integers(0, 6)
            if change == 0:
                call[name] = array[..., None]
            elif change == 1:
                call[name] = array[:0]
            elif change == 2:
                call[name] = array[..., :1]
            elif change == 3:
                with np.errstate(over="ignore"):
                    call[name] = array * np.float32(10.0 ** random.integers(-44, 38))
            elif change == 4:
                call[name] = array.astype(np.int8) - 1
            else:
                del call[name]
        call.update(
            dict(form="chunked", chunk_size=int(random.choice([1, 3, 2**31 - 1])))
            if random.random() < 0.5
            else dict(form=random.choice(["recurrent", "quadratic", "associative"]))
        )
        if random.random() < 0.5 and "C" in call:
            call["dout"] = np.ones(call["dt"].shape + (2,)) if "dt" in call else np.ones(1)
        if random.random() < 0.3:
            call["cu_seqlens"] = np.sort(random.integers(-1, 7, size=random.integers(0, 5)))
        forward = {"form", "chunk_size", "dout"}
        try:
            duality_ssd.ssd(**{"x": 0, "dt": 0, "A": 0, "B": 0, "C": 0, **call})
            presets = ["float32", "mamba_ssm", "mamba_ssm_step", "form=chunked:3,inputs=e4m3,products=f16,out=bf16"]
            duality_ssd.bound(**{k: v for k, v in call.items() if k not in forward}, precision=random.choice(presets))
            answers += 1
        except duality_ssd.InputError:
            pass
    assert 100 < answers < 900
