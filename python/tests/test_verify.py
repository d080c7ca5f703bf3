"""Reports: right kernels pass, wrong ones are told what and where, and nothing handed in ends the process."""

import json

import ml_dtypes
import numpy as np
import pytest
from conftest import operands, recurrence

import duality_ssd
from duality_ssd import InputError, assert_ssd_close, vectors, verify, verify_kernel


def kernel(call, **options):
    y, states = recurrence(**call, dtype=np.float32, **options)
    return {"y": y, "final_states": states}


def test_a_right_kernel_passes(call):
    report = verify(kernel(call), call, name="mine")
    assert report and report.passed and report.verdict == "PASS"
    assert report.headline.startswith("PASS  mine: 1 case")
    assert report.json["schema"] == 1
    outputs = report.cases[0]["outputs"]
    assert set(outputs) == {"y", "final_states"}
    assert 0 < outputs["y"]["error_over_bound"] < 1
    assert report.diagnosis == []
    assert_ssd_close(kernel(call), call)


def test_outputs_may_come_bare(call):
    found = kernel(call)
    assert set(verify(found["y"], call).cases[0]["outputs"]) == {"y"}
    assert "final_states" in verify(found["y"], call).cases[0]["not_checked"]
    assert set(verify((found["y"], found["final_states"]), call).cases[0]["outputs"]) == {"y", "final_states"}
    assert verify({"y": found["y"], "final_states": None}, call)
    with pytest.raises(InputError, match="a tuple of 3"):
        verify((found["y"], found["final_states"], None), call)


def test_nothing_judged_is_never_a_pass(call):
    for judge in (verify, assert_ssd_close):
        with pytest.raises(InputError, match="None"):
            judge(None, call)
    for nothing in ({}, {"y": None}, {"y": None, "final_states": None}, (None, None)):
        report = verify(nothing, call)
        assert report.verdict == "UNCHECKED" and not report and not report.passed, nothing
        with pytest.raises(AssertionError, match="UNCHECKED"):
            assert_ssd_close(nothing, call)
    report = verify_kernel(lambda case: None, "smoke")
    assert report.verdict == "UNCHECKED" and report.cases == [] and "UNCHECKED" in report.text
    assert verify_kernel(lambda case: {"y": None}, "smoke").verdict == "UNCHECKED"
    assert verify_kernel(kernel, "smoke", kinds=["nonsense"]).verdict == "UNCHECKED"


def test_misspelt_options_and_operands_are_refused(call):
    found = kernel(call)
    for inputs, options, word in [
        (call, {"dt_sofplus": False}, "dt_softplus"),
        (call, {"epsilon": 1e-5}, "gated_norm"),
        ({**call, "dt_sofplus": False}, None, "dt_sofplus"),
        ({**{k: v for k, v in call.items() if k != "dt_bias"}, "dt_biass": call["dt_bias"]}, None, "dt_bias"),
    ]:
        with pytest.raises(InputError, match=word):
            verify(found, inputs, options=options)
    assert verify(found, {**call, "foreign": call["A"]}, options={"chunk_size": 8})


def test_a_kernel_is_run_twice_and_its_bits_compared():
    runs = []

    def scan(case):
        if case.kind != "scan" or "seq_idx" in case.inputs:
            return None
        if "dt_limit" in case.options or case.options.get("dt_softplus") == "false":
            return None
        runs.append(case.name)
        y, states = recurrence(**case.inputs, dtype=np.float32)
        case.inputs["x"][:] = 0  # a kernel that spoils its operands does not change what is judged
        if runs.count(case.name) == 2 and case.name == "plain":
            y[0, 5, 1, 2] = np.nextafter(y[0, 5, 1, 2], np.float32(9))
        return y, states

    report = verify_kernel(scan, "standard", kinds=["scan"], repeats=2, precision="float32")
    assert all(runs.count(name) == 2 for name in runs)
    plain = next(case for case in report.cases if case["name"] == "plain")
    assert report.verdict == "SUSPECT" and plain["repeats"]["y"]["differing"] == 1, report.text
    assert plain["repeats"]["y"]["first"] == [0, 5, 1, 2] and "not repeatable" in report.text
    assert [case["name"] for case in report.cases if case["verdict"] != "PASS"] == ["plain"]
    with pytest.raises(InputError, match="repeats"):
        verify_kernel(scan, "smoke", repeats=0)


def test_vectors_of_a_shape():
    cases = vectors(heads=4, x_heads=2, groups=1, head_dim=3, state=5, chunk=4, length=9)
    assert {case.kind for case in cases} == {"scan", "step", "gradients"}
    assert all(case.inputs["x"].shape[2:] == (2, 3) and case.inputs["B"].shape[2:] == (1, 5) for case in cases)
    report = verify_kernel(
        lambda case: recurrence(**case.inputs, dtype=np.float32) if "seq_idx" not in case.inputs else None,
        shape={"heads": 2, "head_dim": 3, "state": 5, "chunk": 4}, kinds=["scan"],
    )  # fmt: skip
    assert report and report.cases, report.text
    for wrong in ({"heads": 0}, {"heads": 4, "groups": 3}, {"state": 10**6}):
        with pytest.raises(InputError):
            vectors(**wrong)


def test_a_fault_is_named(call):
    report = verify(kernel({**call, "D": None}), call)
    assert not report and report.verdict == "FAIL"
    assert report.diagnosis[0] == "d-missing"
    assert report.cases[0]["outputs"]["final_states"]["verdict"] == "PASS"


def test_a_narrow_state_is_a_fault_unless_it_is_declared(call):
    found = kernel(call, state_dtype=ml_dtypes.bfloat16)
    assert verify(found, call).diagnosis[0] == "running-state-in-bf16"
    assert verify(found, call, precision="float32,form=recurrent,state=bf16")


def test_the_message_of_a_failing_test_is_the_short_report(call):
    found = kernel({**call, "dt_bias": 2 * call["dt_bias"]})
    with pytest.raises(AssertionError) as error:
        assert_ssd_close(found, call, name="mine")
    message = str(error.value)
    assert message == verify(found, call, name="mine").short
    assert message.startswith("FAIL  mine: ")
    assert "dt-bias-twice" in message and "first at" in message and message.count("\n") < 20


def test_options_stand_beside_the_operands(call):
    call["dt"] = abs(call["dt"])
    del call["dt_bias"]
    exact = duality_ssd.ssd(**call, dt_softplus=False, dt_limit=(0.1, 1.0))
    found = {"y": exact.y.astype(np.float32)}
    assert verify(found, {**call, "dt_softplus": False, "dt_limit": (0.1, 1.0)})
    assert verify(found, call, options={"dt_softplus": False, "dt_limit": (0.1, 1.0)})
    assert not verify(found, call, diagnose=False)


def test_foreign_layouts_and_names(call):
    found = kernel(call)["y"].transpose(0, 2, 3, 1)
    theirs = {name: array.transpose(0, 2, 3, 1) if array.ndim == 4 and name in "xzBC" else array
              for name, array in call.items()}  # fmt: skip
    theirs["dt"] = call["dt"].transpose(0, 2, 1)
    assert verify(found, theirs, layout="bhpl")
    theirs["hidden"] = theirs.pop("x")
    assert verify({"out": found}, theirs, layout="bhpl", names={"x": "hidden", "y": "out"})
    one = {name: array[0] if name in ("x", "dt", "z", "B", "C") else array[:1] if name == "initial_states" else array
           for name, array in call.items()}  # fmt: skip
    assert verify(kernel(call)["y"][0], one, layout="lhp")
    with pytest.raises(InputError, match="layout"):
        verify(found, theirs, layout="bhp")


def test_gradients_are_judged(call):
    dout = np.ones((2, 19, 4, 3), np.float32)
    gradients = duality_ssd.ssd(**call, dout=dout, form="chunked", chunk_size=8, precision="f32").gradients
    found = {f"grad_{name}": getattr(gradients, name) for name in call}
    call["dout"] = dout
    assert verify(found, call, kind="gradients")
    report = verify({**found, "grad_dt": found["grad_dt"] * 1.01}, call, kind="gradients", diagnose=False)
    assert report.verdict == "FAIL" and report.cases[0]["outputs"]["grad_x"]["verdict"] == "PASS"


@pytest.mark.parametrize(
    "spoil, message",
    [
        (lambda y: y[:, :-1], r"y: expected \[2, 19, 4, 3\], found \[2, 18, 4, 3\]"),
        (lambda y: np.where(y > 1, np.nan, y), "NaN"),
        (lambda y: y.astype(np.int32), "floating-point numbers, found I32"),
        (lambda y: y.transpose(0, 2, 1, 3), "axes are in another order"),
    ],
)
def test_an_output_that_cannot_be_used_is_a_verdict(call, spoil, message):
    found = kernel(call)
    report = verify({**found, "y": spoil(found["y"])}, call)
    assert report.verdict == "FAIL"
    assert message.replace("\\", "") in report.text
    assert report.cases[0]["outputs"]["final_states"]["verdict"] == "PASS"


@pytest.mark.parametrize(
    "arguments, place",
    [
        (dict(precision="mamba3"), "mamba3"),
        (dict(kind="scam"), "kind"),
        (dict(options={"dt_softplus": {}}), "dt_softplus"),
    ],
)
def test_options_that_cannot_be_used_are_errors(call, arguments, place):
    with pytest.raises(InputError, match=place):
        verify(kernel(call), call, **arguments)


def test_cases_that_were_chosen_are_run():
    cases = [case for case in vectors("smoke", kinds=["scan"]) if case.name.startswith("length")]
    seen = []

    def kernel(case):
        seen.append(case.name)
        return {"y": duality_ssd.ssd(**case.inputs, dt_softplus=case.dt_softplus).y.astype("float32")}

    report = duality_ssd.verify_kernel(kernel, cases)
    assert report.verdict == "PASS" and seen == [case.name for case in cases], report.text
    assert duality_ssd.verify_kernel(kernel, []).verdict == "UNCHECKED"
    for suite, more in [(cases, {"kinds": ["scan"]}), (["length-1"], {}), ([None], {})]:
        with pytest.raises(InputError, match="suite"):
            duality_ssd.verify_kernel(kernel, suite, **more)


@pytest.mark.parametrize("kinds", [["scann"], ["scan", ""], "scan"])
def test_kinds_that_are_none_are_named(kinds):
    with pytest.raises(InputError, match="kinds: expected a list of scan, step"):
        vectors("smoke", kinds=kinds)


def test_a_suite_is_run_case_by_case():
    def scan(case):
        if case.kind != "scan" or "seq_idx" in case.inputs or case.inputs["x"].shape[2] != case.inputs["dt"].shape[2]:
            return None
        return recurrence(**case.inputs, dtype=np.float32)

    report = verify_kernel(scan, "smoke")
    assert report, report.text
    assert report.json["candidate"] == "scan"
    names = {case["name"] for case in report.cases}
    assert names and not names & set(report.json["not_checked"])
    assert names | set(report.json["not_checked"]) == {case.name for case in vectors("smoke")}
    assert all(case["catches"] for case in report.cases)


def test_vectors_are_exact_in_their_format():
    for dtype, storage in (("f32", np.float32), ("f16", np.float16), ("bf16", ml_dtypes.bfloat16)):
        cases = vectors("smoke", dtype=dtype, kinds=["scan"])
        assert cases and all(case.kind == "scan" and str(case) == case.name for case in cases)
        assert cases[0].inputs["x"].dtype == storage
        assert cases[0].inputs["A"].dtype == np.float32
    case = next(case for case in vectors("standard") if case.name == "dt-limit")
    assert case.dt_limit == (0.05, 0.3) and case.dt_softplus and case.chunk_size
    with pytest.raises(InputError, match="suite"):
        vectors("large")


def test_reports_are_saved_in_every_form(call, tmp_path):
    report = verify(kernel({**call, "z": None}), call)
    for suffix in ("html", "md", "json", "txt"):
        report.save(tmp_path / f"report.{suffix}")
    assert (tmp_path / "report.html").read_text().lstrip().startswith("<!")
    assert json.loads((tmp_path / "report.json").read_text()) == report.json
    assert str(report) == report.text and "FAIL" in repr(report)
    with pytest.raises(InputError, match="report.pdf"):
        report.save(tmp_path / "report.pdf")


def test_torch_outputs_and_cases(call):
    torch = pytest.importorskip("torch", reason="torch is not installed; duality_ssd does not need it")
    found = {name: torch.from_numpy(array) for name, array in kernel(call).items()}
    assert verify(found, {name: torch.from_numpy(array) for name, array in call.items()})
    case = vectors("smoke", dtype="bf16")[0]
    assert case.torch()["x"].dtype == torch.bfloat16
    np.testing.assert_array_equal(case.torch()["x"].double().numpy(), case.inputs["x"].astype(np.float64))


def test_odd_cases_are_judged_or_refused():
    """Shapes with axes added, dropped and emptied, numbers of every size, and every kind of case: a report or an `InputError`."""
    random = np.random.default_rng(1)
    reports = 0
    kinds = [
        "scan", "step", "gradients", "convolution", "convolution_gradients", "gated_norm", "gated_norm_gradients", "mixer", "matmul"
    ]
    for round in range(200):
        call = operands(round, B=random.integers(0, 3), L=random.integers(0, 6), H=2 * random.integers(1, 3), P=2, N=2)
        shape = call["dt"].shape + (2,)
        found = {"y": np.zeros(shape, np.float32), "grad_dt": call["dt"], "final_states": call["initial_states"]}
        call["dout"] = np.ones(shape)
        for _ in range(random.integers(0, 3)):
            values = call if random.random() < 0.7 else found
            name = random.choice(list(values))
            array = values[name]
            change = random.integers(0, 5)
            if change == 0:
                values[name] = array[..., None]
            elif change == 1:
                values[name] = array[:0]
            elif change == 2:
                with np.errstate(over="ignore"):
                    values[name] = array * np.float32(10.0 ** random.integers(-44, 38))
            elif change == 3:
                values[name] = np.where(random.random(array.shape) < 0.1, np.inf, array)
            else:
                values[name] = array[0] if array.ndim and array.shape[0] else array.astype(np.int8)
        kind = random.choice(kinds) if random.random() < 0.5 else "scan"
        try:
            verify(found, call, kind=str(kind), options={"chunk_size": int(random.integers(-1, 5))})
            reports += 1
        except InputError:
            pass
    assert reports > 50
