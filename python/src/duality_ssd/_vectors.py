"""Test vectors: operands that catch what goes wrong in kernels, every number exact in the format of the suite."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Dict, List, Literal, Optional, Sequence, Tuple

from numpy.typing import NDArray

from ._errors import InputError
from ._library import list_vectors

Suite = Literal["smoke", "standard", "stress"]
Dtype = Literal["f32", "bf16", "f16"]


@dataclass(frozen=True)
class Case:
    """One case of a suite. Its operands are made when they are first asked for."""

    name: str
    #: What it is a call of: "scan", "step", "gradients", ….
    kind: str
    #: What it is there to catch.
    catches: str
    #: The options of the call, as text.
    options: Dict[str, str]
    suite: Suite = field(repr=False)
    dtype: Dtype = field(repr=False)
    #: The sizes that were asked for; empty for a case of a suite.
    shape: Dict[str, int] = field(repr=False, default_factory=dict)

    @cached_property
    def inputs(self) -> Dict[str, NDArray[Any]]:
        """The operands by name. bfloat16 arrays have the format of ml_dtypes, which has to be installed for them."""
        result = list_vectors({**_suite(self.suite, self.dtype, self.shape), "cases": [self.name]})
        return {name.partition("/")[2]: array for name, array in result.arrays().items()}

    def torch(self) -> Dict[str, Any]:
        """The operands as torch tensors, on the CPU. They share the memory of `inputs`."""
        import torch

        def tensor(array: NDArray[Any]) -> Any:
            if array.dtype.name == "bfloat16":
                return torch.from_numpy(array.view("int16")).view(torch.bfloat16)
            return torch.from_numpy(array)

        return {name: tensor(array) for name, array in self.inputs.items()}

    @property
    def dt_softplus(self) -> bool:
        """Whether the step passes through softplus."""
        return self.options.get("dt_softplus", "true") == "true"

    @property
    def dt_limit(self) -> Tuple[float, float]:
        """What the step is clamped to, after the softplus."""
        low, high = self.options.get("dt_limit", "0,inf").split(",")
        return float(low), float(high)

    @property
    def chunk_size(self) -> Optional[int]:
        """Tokens in a chunk, for a kernel that has chunks."""
        text = self.options.get("chunk_size")
        return None if text is None else int(text)

    def __str__(self) -> str:
        return self.name


def _suite(suite: str, dtype: str, shape: Dict[str, int]) -> Dict[str, Any]:
    return {"dtype": dtype, "shape": shape} if shape else {"suite": suite, "dtype": dtype}


def vectors(
    suite: Suite = "standard",
    *,
    dtype: Dtype = "f32",
    kinds: Optional[Sequence[str]] = None,
    heads: Optional[int] = None,
    x_heads: Optional[int] = None,
    groups: Optional[int] = None,
    c_groups: Optional[int] = None,
    head_dim: Optional[int] = None,
    state: Optional[int] = None,
    chunk: Optional[int] = None,
    length: Optional[int] = None,
    batch: Optional[int] = None,
) -> List[Case]:
    """The cases of a suite, for instance to parametrize a test: ``@pytest.mark.parametrize("case", vectors("smoke"), ids=str)``.

    With any of the sizes the cases are scans, steps and gradients of that shape, and `suite` is not used: ``vectors(heads=80,
    head_dim=64, groups=8, state=128, chunk=256)``.

    Args:
        suite: "smoke" (a dozen cases), "standard" (what a verdict should rest on) or "stress" (long and large).
        dtype: the number format in which all operands are exact.
        kinds: only cases of these kinds, such as ``["scan"]``; all when None.
        heads: SSM heads, those of dt (4 when another size is given and this is not).
        x_heads: heads of x (as many as `heads`).
        groups: groups of B, and of C unless `c_groups` says otherwise (1).
        c_groups: groups of C (as many as `groups`).
        head_dim: channels of a head (64).
        state: width of the state (128).
        chunk: tokens in a chunk (64).
        length: tokens of the longest cases (two chunks and three tokens).
        batch: rows (1).
    """
    sizes = {
        "heads": heads, "x_heads": x_heads, "groups": groups, "c_groups": c_groups, "head_dim": head_dim, "state": state,
        "chunk": chunk, "length": length, "batch": batch,
    }  # fmt: skip
    shape = {name: size for name, size in sizes.items() if size is not None}
    listed = json.loads(list_vectors(_suite(suite, dtype, shape)).text("json") or "{}")
    cases = [
        Case(item["name"], item["kind"], item["catches"], item["options"], suite, dtype, shape)
        for item in listed["cases"]
    ]
    unknown = sorted(set(kinds or []) - set(listed["kinds"]))
    if isinstance(kinds, str) or unknown:
        found = repr(kinds) if isinstance(kinds, str) else ", ".join(map(repr, unknown))
        raise InputError("unknown", "kinds", f"a list of {', '.join(listed['kinds'])}", found)
    return [case for case in cases if kinds is None or case.kind in kinds]


@dataclass(frozen=True)
class Fault:
    """A known fault, which a diagnosis can name."""

    name: str
    #: What a kernel does that has it.
    summary: str
    #: The kinds of cases it shows in; "all" for any.
    kinds: Tuple[str, ...]

    def __str__(self) -> str:
        return self.name


def faults(kind: Optional[str] = None) -> List[Fault]:
    """The faults that a diagnosis can name, those of one kind of cases unless `kind` is None."""
    listed = json.loads(list_vectors({"suite": "smoke", "dtype": "f32"}).text("json") or "{}")
    every = [Fault(item["name"], item["summary"], tuple(item["kinds"].split(", "))) for item in listed["faults"]]
    return [fault for fault in every if kind is None or kind in fault.kinds or "all" in fault.kinds]
