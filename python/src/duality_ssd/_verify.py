"""A kernel's outputs in, a report out: the verdict, where it goes wrong first, and what most likely is wrong."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple, Union

from ._arrays import Argument, Array, argument
from ._errors import InputError
from ._library import Call, judge
from ._vectors import Case, Dtype, Suite, vectors

#: What a kernel returns: y alone, (y, final_states), or arrays by name.
Outputs = Union[Array, Tuple[Array, Array], Mapping[str, Optional[Array]]]


class Report:
    """What is said about a kernel. True when its verdict is PASS; printed, it is the whole report."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = dict(texts)
        #: The report as data: ``{"schema": 1, "verdict": …, "cases": [{"name", "verdict", "diagnosis", "outputs", …}], …}``.
        self.json: Dict[str, Any] = json.loads(texts["json"])

    @property
    def verdict(self) -> str:
        """"PASS", "SUSPECT" or "FAIL", the worst of all cases; "UNCHECKED" where nothing was judged."""
        return str(self.json["verdict"])

    @property
    def passed(self) -> bool:
        """Whether the verdict is PASS."""
        return self.verdict == "PASS"

    def __bool__(self) -> bool:
        return self.passed

    @property
    def cases(self) -> List[Dict[str, Any]]:
        """What is said about each case of which there was an output."""
        return list(self.json["cases"])

    @property
    def diagnosis(self) -> List[str]:
        """The names of the known faults that explain the error, the one that explains most cases first; empty if none does."""
        return [fault["name"] for fault in self.json["diagnosis"]]

    @property
    def headline(self) -> str:
        """The verdict in one line."""
        return self._texts["headline"]

    @property
    def short(self) -> str:
        """The verdict, the likely cause, and the first wrong cases with where they go wrong."""
        return self._texts["short"]

    @property
    def text(self) -> str:
        """The whole report for a terminal."""
        return self._texts["text"]

    @property
    def markdown(self) -> str:
        """The report for a pull request."""
        return self._texts["markdown"]

    @property
    def html(self) -> str:
        """The report as one self-contained page."""
        return self._texts["html"]

    def save(self, path: Union[str, Path]) -> None:
        """Writes the report to a file, in the form that its suffix says: .html, .md, .json or .txt."""
        forms = {".html": self.html, ".md": self.markdown, ".json": self._texts["json"] + "\n", ".txt": self.text + "\n"}
        suffix = Path(path).suffix
        if suffix not in forms:
            raise InputError("value", str(path), "a file name that ends in .html, .md, .json or .txt", repr(suffix))
        Path(path).write_text(forms[suffix], encoding="utf-8")

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"<Report {self.headline}>"

    def _repr_html_(self) -> str:  # how notebooks show it
        return self.html


def verify(
    outputs: Outputs,
    inputs: Union[Case, Mapping[str, Any]],
    *,
    precision: Optional[str] = None,
    layout: Optional[str] = None,
    names: Optional[Mapping[str, str]] = None,
    kind: Optional[str] = None,
    options: Optional[Mapping[str, Any]] = None,
    name: str = "kernel",
    diagnose: bool = True,
) -> Report:
    """Judges what a kernel made of some inputs.

    A kernel that is wrong gets a report that says so, not an exception; so does an output of a wrong shape or full of NaN.

    Args:
        outputs: ``y``, ``(y, final_states)``, or arrays by name: y, final_states, varlen_states, grad_x, grad_dt, …. What is
            absent or None among them is reported as not checked; where all are, the verdict is UNCHECKED.
        inputs: the operands by name, as for :func:`ssd`, and the options of the call, as in
            ``dict(x=x, dt=dt, A=A, B=B, C=C, D=D, dt_softplus=True)``; or a case from :func:`vectors`.
        precision: what the kernel computes in: a known kernel ("mamba_ssm", "vllm", "fla", "ggml", "mlx", "float32", …), items
            such as ``inputs=bf16,products=bf16,state=f32,out=bf16``, or both. Read off the arrays when None.
        layout: the order of axes of x and y, of inputs and outputs alike, in the letters b, l, h, p: "bhlp" for
            ``[B, H, L, P]``. In B and C the group and the state axis stand for h and p. "blhp" when None.
        names: names of arrays that differ from ours, ``{"x": "hidden_states", …}``.
        kind: what it is a call of: "scan" (when None), "step", "gradients", "convolution", "convolution_gradients", "gated_norm",
            "gated_norm_gradients", "mixer", "matmul", "gated_delta", "gated_delta_step", "attention", "kalman",
            "gated_delta_gradients", "attention_gradients". Kernels of the gated delta rule return o or (o, final_state), kernels of
            attention o, kernels of Gated KalmaNet o or (o, final_gram, final_memory), backward passes the gradients of q, k, v and
            what comes after them, in the order of the operands.
        options: options of the call beside those in `inputs`: dt_softplus (default True), dt_limit, chunk_size,
            use_qk_l2norm_in_kernel (default False), scale, window, ….
        name: what the report calls the kernel.
        diagnose: whether to look for the cause of an error.

    Raises:
        InputError: when the inputs, the precision, the layout, the names or the options cannot be used, or `outputs` is None,
            as from a kernel that forgot its ``return``.
    """
    _require_outputs(outputs, name)
    call = _call(outputs, inputs, layout=layout, names=names, kind=kind, options=options, name=name)
    return _judged([call], precision, name, "float64 reference", diagnose)


def assert_ssd_close(
    outputs: Outputs,
    inputs: Union[Case, Mapping[str, Any]],
    *,
    precision: Optional[str] = None,
    layout: Optional[str] = None,
    names: Optional[Mapping[str, str]] = None,
    kind: Optional[str] = None,
    options: Optional[Mapping[str, Any]] = None,
    name: str = "kernel",
    diagnose: bool = True,
) -> None:
    """For tests: raises unless what a kernel made of some inputs is what a correct kernel of its precision makes of them.

    There is no tolerance to choose: `precision` says what may be lost. The arguments are those of :func:`verify`.

    Raises:
        AssertionError: when the verdict is not PASS. The message is the report's short form: how wrong, where first, and why.
        InputError: when the inputs cannot be used, or `outputs` is None.
    """
    __tracebackhide__ = True  # pytest shows the line of the test
    report = verify(
        outputs, inputs, precision=precision, layout=layout, names=names, kind=kind, options=options, name=name,
        diagnose=diagnose,
    )  # fmt: skip
    if not report:
        raise AssertionError(report.short)


#: :func:`assert_ssd_close` under the name that fits kernels of every kind.
assert_close = assert_ssd_close


def verify_kernel(
    kernel: Callable[[Case], Optional[Outputs]],
    suite: Union[Suite, Sequence[Case]] = "standard",
    *,
    dtype: Dtype = "f32",
    kinds: Optional[Sequence[str]] = None,
    precision: Optional[str] = None,
    name: Optional[str] = None,
    diagnose: bool = True,
    repeats: int = 1,
    shape: Optional[Mapping[str, int]] = None,
) -> Report:
    """Runs a kernel on a suite of test vectors and judges what comes out, in one report.

    Args:
        kernel: is called with each :class:`Case`, and returns its outputs, or None for a case that it does not know. A kernel
            that knows no case is UNCHECKED.
        suite: "smoke", "standard" or "stress"; or the cases themselves, as :func:`vectors` gives them, and then without `dtype`,
            `kinds` and `shape`.
        dtype: the number format in which all operands are exact: "f32", "bf16" or "f16".
        kinds: the kinds of cases to run, such as ``["scan"]``; all when None.
        repeats: how often the kernel is run on each case. The first run is judged; where another leaves other bits, the case is
            SUSPECT and the report says where.
        shape: sizes of a suite for one's own shape, as in :func:`vectors`; `suite` is not used then.

    The other arguments are those of :func:`verify`.
    """
    candidate = name or str(getattr(kernel, "__name__", "kernel"))
    if isinstance(repeats, bool) or not isinstance(repeats, int) or repeats < 1:
        raise InputError("value", "repeats", "a whole number >= 1", repr(repeats))
    if isinstance(suite, str):
        cases = [case for case in vectors(suite, dtype=dtype, **(shape or {})) if kinds is None or case.kind in kinds]
        reference = f"suite {suite} in {dtype}" if shape is None else f"suite for {dict(shape)} in {dtype}"
    else:
        cases, reference = list(suite), "chosen cases"
        others = [type(item).__name__ for item in cases if not isinstance(item, Case)]
        if others or kinds is not None or shape is not None:
            given = others[0] if others else "kinds or shape beside them"
            raise InputError("value", "suite", "the name of a suite, or cases of vectors() alone", given)
    calls: List[Call] = []
    for case in cases:
        # Every run gets operands of its own, and its outputs are copied: kernels that update a state in place, or write to one
        # buffer again and again, do not change what is judged.
        first = kernel(replace(case))
        calls.append(_call(_copied(first), case, name=case.name))
        for number in range(1, repeats if first is not None else 1):
            again = kernel(replace(case))
            if again is None:
                raise InputError("value", f"{case.name}: run {number + 1}", "outputs, as from run 1", "None")
            found = _call(_copied(again), case, name=case.name)
            calls.append(Call(f"{case.name} again", {"repeat_of": case.name}, [], found.outputs))
    return _judged(calls, precision, candidate, reference, diagnose)


def _copied(outputs: Any) -> Any:
    """The same outputs in memory of their own."""
    if outputs is None:
        return None
    if isinstance(outputs, Mapping):
        return {name: _copied(array) for name, array in outputs.items()}
    if isinstance(outputs, tuple):
        return tuple(_copied(array) for array in outputs)
    if hasattr(outputs, "detach"):  # torch
        return outputs.detach().clone()
    return outputs.copy() if hasattr(outputs, "copy") else outputs


def _require_outputs(outputs: Any, name: str) -> None:
    if outputs is None:
        raise InputError(
            "missing", f"{name}: outputs", "y, (y, final_states), or arrays by name", "None",
            "Does the kernel return its result? None counts only for single arrays among them.",
        )  # fmt: skip


def _judged(calls: Iterable[Call], precision: Optional[str], name: str, reference: str, diagnose: bool) -> Report:
    options = {"precision": precision, "candidate": name, "reference": reference, "diagnose": diagnose}
    result = judge(calls, options)
    forms = ("json", "headline", "short", "text", "markdown", "html")
    return Report({form: result.text(form) or "" for form in forms})


# Keys of `inputs` that are options of the call, not arrays.
_OPTIONS = (
    "dt_softplus", "dt_limit", "chunk_size", "scale", "use_qk_l2norm_in_kernel", "l2norm_epsilon", "causal", "window",
    "sink_tokens", "num_iter", "ridge_strength", "use_forgetting_gate_kk",
)  # fmt: skip

# What kernels return, by the kinds of calls that have other names than y and final_states.
_RETURNED = {
    "gated_delta": ("o", "final_state"),
    "gated_delta_step": ("o", "final_state"),
    "attention": ("o",),
    "kalman": ("o", "final_gram", "final_memory"),
    "gated_delta_gradients": ("grad_q", "grad_k", "grad_v", "grad_g", "grad_beta", "grad_initial_state"),
    "attention_gradients": ("grad_q", "grad_k", "grad_v", "grad_sinks"),
}

# Arrays that have all four axes, and those that have all but p.
_WIDE = ("x", "y", "z", "B", "C", "dout", "grad_x", "grad_z", "grad_B", "grad_C")
_NARROW = ("dt", "grad_dt")


def _call(
    outputs: Optional[Outputs],
    inputs: Union[Case, Mapping[str, Any]],
    *,
    layout: Optional[str] = None,
    names: Optional[Mapping[str, str]] = None,
    kind: Optional[str] = None,
    options: Optional[Mapping[str, Any]] = None,
    name: str,
) -> Call:
    described: Dict[str, Any] = {}
    if isinstance(inputs, Case):
        described.update(inputs.options)
        described["kind"], described["catches"] = inputs.kind, inputs.catches
        inputs = inputs.inputs
    arrays = dict(inputs)
    for key in _OPTIONS:
        if key in arrays:
            described[key] = arrays.pop(key)
    for key, value in arrays.items():
        if isinstance(value, (bool, int, float, str)):
            raise InputError(
                "unknown", f"{name}: {key}", f"an array, or one of the options {', '.join(_OPTIONS)}", repr(value),
                "Other options go into options={...}.",
            )  # fmt: skip
    described.update(options or {})
    if kind is not None:
        described["kind"] = kind
    returned = _RETURNED.get(str(described.get("kind")), ("y", "final_states"))
    theirs = {name: (names or {}).get(name, name) for name in ("initial_state", "sinks")}
    # Of an operand that is absent there is no gradient.
    absent = {f"grad_{name}" for name, key in theirs.items() if arrays.get(key) is None}
    returned = tuple(output for output in returned if output not in absent)
    found: Optional[Dict[str, Any]]
    if outputs is None:
        found = None
    elif isinstance(outputs, Mapping):
        found = dict(outputs)
    elif isinstance(outputs, tuple):
        if len(outputs) != len(returned):
            expected = f"{returned[0]}, ({', '.join(returned)}), or arrays by name"
            raise InputError("value", f"{name}: outputs", expected, f"a tuple of {len(outputs)}")
        found = dict(zip(returned, outputs))
    else:
        found = {returned[0]: outputs}
    for key, value in described.items():
        if isinstance(value, tuple):
            described[key] = list(value)
    results = None if found is None else _arranged(found, layout, names)
    return Call(name, described, _arranged(arrays, layout, names), results)


def _arranged(arrays: Mapping[str, Any], layout: Optional[str], names: Optional[Mapping[str, str]]) -> List[Argument]:
    """The arrays under our names, with their axes in our order."""
    ours = {theirs: name for name, theirs in (names or {}).items()}
    given = [argument(ours.get(name, name), array) for name, array in arrays.items() if array is not None]
    return given if layout is None else [_reordered(array, layout) for array in given]


def _reordered(array: Argument, layout: str) -> Argument:
    letters = layout.lower()
    if len(set(letters)) != len(letters) or set(letters) | {"b"} != set("blhp"):
        raise InputError("value", "layout", "the letters b, l, h, p in some order, b optional", repr(layout))
    if array.name in _WIDE:
        wanted = "blhp"
    elif array.name in _NARROW:
        wanted, letters = "blh", letters.replace("p", "")
    else:
        return array
    if len(array.shape) != len(letters):
        raise InputError("shape", array.name, f"{len(letters)} axes, {letters}", str(list(array.shape)))
    order = [letters.find(letter) for letter in wanted]  # -1 where there is no batch: a new axis of length 1
    return replace(
        array,
        shape=tuple(1 if axis < 0 else array.shape[axis] for axis in order),
        strides=tuple(0 if axis < 0 else array.strides[axis] for axis in order),
    )
