"""Test vectors: operands that catch what goes wrong in kernels, every number exact in the format of the suite."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Dict, List, Literal, Optional, Sequence, Tuple

from numpy.typing import NDArray

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

    @cached_property
    def inputs(self) -> Dict[str, NDArray[Any]]:
        """The operands by name. bfloat16 arrays have the format of ml_dtypes, which has to be installed for them."""
        result = list_vectors({"suite": self.suite, "dtype": self.dtype, "cases": [self.name]})
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


def vectors(suite: Suite = "standard", *, dtype: Dtype = "f32", kinds: Optional[Sequence[str]] = None) -> List[Case]:
    """The cases of a suite, for instance to parametrize a test: ``@pytest.mark.parametrize("case", vectors("smoke"), ids=str)``.

    Args:
        suite: "smoke" (a dozen cases), "standard" (what a verdict should rest on) or "stress" (long and large).
        dtype: the number format in which all operands are exact.
        kinds: only cases of these kinds, such as ``["scan"]``; all when None.
    """
    listed = json.loads(list_vectors({"suite": suite, "dtype": dtype}).text("json") or "{}")
    cases = [
        Case(item["name"], item["kind"], item["catches"], item["options"], suite, dtype) for item in listed["cases"]
    ]
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
