"""Every known fault of the layers and of the gradients, planted in a kernel of its own, is rejected and named.

``DUALITY_TABLE=1 pytest -s python/tests/test_planted_kernels.py`` prints what came out for each fault.
"""

import os

import numpy as np
import pytest
from planted_kernels import KERNELS

import duality_ssd
from duality_ssd import vectors, verify_kernel

#: Faults that move no output of any case by more than roundings may: those of a few numbers, and of precision.
UNSEEN = {
    ("gradients", "bf16"): {"grad-b-between-decay-off-by-one", "grad-c-between-decay-off-by-one"},
    ("gated_norm", "f32"): {"norm-weight-cast-late"},
    ("gated_norm", "bf16"): {"norm-weight-cast-late"},
    ("matmul", "f32"): {"matmul-pair-saturation"},
    ("matmul", "bf16"): {"matmul-pair-saturation", "matmul-minus-128", "matmul-bf16-accumulation"},
}
#: Faults of a mixer's parts keep their names in it.
PARTS = ["conv-bias-missing", "norm-over-one-group", "gate-after-norm", "dt-bias-missing", "d-missing"]


def faults(kind):
    own = [fault.name for fault in duality_ssd.faults(kind) if "all" not in fault.kinds]
    return own + (PARTS if kind == "mixer" else [])


def cases(kind, dtype):
    """Those that faults are planted in: of the slow kinds a part (one mixer, a third of the gradients), of others all."""
    listed = vectors("standard", dtype=dtype, kinds=[kind])
    if "DUALITY_TABLE" in os.environ:
        return listed
    if kind == "gradients":
        return listed[1::3]
    return [case for case in listed if kind != "mixer" or case.name == "mixer-rotated"]


def run(kind, dtype, fault=None):
    chosen = {case.name for case in cases(kind, dtype)} if fault else None

    def kernel(case):
        if chosen is None or case.name in chosen:
            return KERNELS[kind](case.inputs, case.options, fault)

    return verify_kernel(kernel, dtype=dtype, kinds=[kind], name=fault or "right")


def changed(kind, dtype, fault):
    """The cases in which a fault moves some output by more than any rounding."""
    tolerance = 2e-3 if dtype == "f32" else 0.1
    names = []
    for case in cases(kind, dtype):
        right, wrong = (KERNELS[kind](case.inputs, case.options, f) for f in (None, fault))
        for name in right:
            a, b = right[name].astype(float), wrong[name].astype(float)
            if np.linalg.norm(a - b) > tolerance * np.linalg.norm(a):
                names.append(case.name)
                break
    return names


@pytest.mark.parametrize("dtype", ["f32", "bf16"])
@pytest.mark.parametrize("kind", KERNELS)
def test_right_kernels_pass(kind, dtype):
    report = run(kind, dtype)
    assert report, report.text


@pytest.mark.parametrize("dtype", ["f32", "bf16"])
@pytest.mark.parametrize("kind", KERNELS)
def test_faults_are_rejected_and_named(kind, dtype):
    visible = named = 0
    misses, unseen = [], set()
    for fault in faults(kind):
        report = run(kind, dtype, fault)
        by_name = {case["name"]: case for case in report.cases}
        moved = changed(kind, dtype, fault)
        if not moved:
            unseen.add(fault)
        for name in moved:
            case = by_name[name]
            # Gradients that are sums which cancel lose more than that in a bfloat16 model.
            if (kind, dtype) != ("gradients", "bf16"):
                assert case["verdict"] == "FAIL", f"{fault} on {name}: {case['verdict']}"
        wrong = [case for case in report.cases if case["verdict"] != "PASS"]
        found = [case for case in wrong if fault in best(case)]
        visible, named = visible + len(wrong), named + len(found)
        misses += [f"{fault} on {case['name']}: {case['diagnosis'][:3]}" for case in wrong if case not in found]
        if "DUALITY_TABLE" in os.environ:
            print(f"{kind:12} {dtype:5} {fault:34} {len(wrong):3} rejected {len(found):3} named first")
    assert unseen == UNSEEN.get((kind, dtype), set())
    assert visible and named >= 0.95 * visible, f"{named} of {visible}; not: {misses}"


def best(case):
    """The faults of a case that are named first: the best one, and what cannot be told from it."""
    names = []
    for i, finding in enumerate(case["evidence"]):
        if i and not finding["indistinguishable_from_previous"]:
            break
        names += finding["faults"]
    return names
