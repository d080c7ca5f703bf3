"""The operator in every form, its gradients, and the sizes of error that a kernel of a given arithmetic may show."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any, Dict, Iterable, List, Literal, Optional, Tuple

import numpy as np
from numpy.typing import NDArray

from ._arrays import Argument, Array, argument
from ._library import call

Form = Literal["recurrent", "chunked", "quadratic", "associative", "convolution"]
FloatArray = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class SSDGradients:
    """The gradient of the loss with respect to each operand, in the shape of that operand; None for operands not given."""

    x: FloatArray
    dt: FloatArray
    A: FloatArray
    B: FloatArray
    C: FloatArray
    #: ``[B, H, P, N]`` or ``[S, H, P, N]``; given also when there are no initial states, where they would be zero.
    initial_states: FloatArray
    D: Optional[FloatArray] = None
    z: Optional[FloatArray] = None
    dt_bias: Optional[FloatArray] = None


@dataclass(frozen=True)
class SSDResult:
    """What the operator returns, in the precision that was asked for."""

    #: Output, ``[B, L, H, P]``.
    y: FloatArray
    #: State after the last token of each row, ``[B, H, P, N]``.
    final_states: FloatArray
    #: Sum of Δ A over the tokens behind ``final_states``, ``[B, H]``, in float64 always.
    log_decay: FloatArray
    #: State after each packed sequence, ``[S, H, P, N]``.
    varlen_states: Optional[FloatArray] = None
    #: Sum of Δ A over each packed sequence, ``[S, H]``.
    varlen_log_decay: Optional[FloatArray] = None
    #: With ``states_every``, the states after every so many tokens and at the end, ``[B, ceil(L / E), H, P, N]``.
    chunk_states: Optional[FloatArray] = None
    #: With upstream gradients, the gradient of every operand.
    gradients: Optional[SSDGradients] = None


@dataclass(frozen=True)
class ErrorSizes:
    """One number for every number the operator returns."""

    #: ``[B, L, H, P]``.
    y: FloatArray
    #: ``[B, H, P, N]``.
    final_states: FloatArray
    #: ``[S, H, P, N]`` for S packed sequences.
    varlen_states: Optional[FloatArray] = None


@dataclass(frozen=True)
class Bound:
    """The oracle's answer and what a correct kernel of an arithmetic may be off by, all in float64."""

    #: The arithmetic, written out in full.
    precision: str
    #: What the oracle says: y, final_states and varlen_states.
    exact: ErrorSizes
    #: No correct kernel is ever further off than this.
    bound: Optional[ErrorSizes]
    #: The standard deviation of a correct kernel's error. A few of them is normal, a hundred is a fault.
    sigma: Optional[ErrorSizes]
    #: The error of the exact numbers rounded to the kernel's output formats.
    floor: Optional[ErrorSizes]
    #: The sum of the magnitudes of the terms. Divided by ``abs(exact.y)`` it is the condition number.
    magnitude: Optional[ErrorSizes]
    #: ``||floor|| / ||exact||`` of "y" and "final_states": the least relative error that there can be.
    relative_floor: Dict[str, float]


def ssd(
    x: Array,
    dt: Array,
    A: Array,
    B: Array,
    C: Array,
    *,
    D: Optional[Array] = None,
    z: Optional[Array] = None,
    dt_bias: Optional[Array] = None,
    initial_states: Optional[Array] = None,
    seq_idx: Optional[Array] = None,
    cu_seqlens: Optional[Array] = None,
    dt_softplus: bool = True,
    dt_limit: Tuple[float, float] = (0.0, math.inf),
    form: Form = "recurrent",
    chunk_size: Optional[int] = None,
    leaf: Optional[int] = None,
    tree: Optional[Literal["balanced", "left", "right"]] = None,
    precision: Literal["f64", "f32"] = "f64",
    states_every: Optional[int] = None,
    dout: Optional[Array] = None,
    dfinal_states: Optional[Array] = None,
    dvarlen_states: Optional[Array] = None,
) -> SSDResult:
    """Runs the operator::

        Δ_t = clamp(softplus(dt_t + dt_bias))
        S_t = exp(Δ_t A) S_{t-1} + Δ_t x_t B_tᵀ
        y_t = (S_t C_t + D x_t) silu(z_t)

    All forms give the same result up to rounding; the recurrent one in float64 is the oracle.

    Args:
        x: ``[B, L, Hx, P]``.
        dt: the raw step, ``[B, L, H]``.
        A: the decay rate itself, -exp(A_log), ``[H]``, at most zero.
        B: ``[B, L, G, N]``.
        C: ``[B, L, G, N]``. Hx and both G divide H; head h reads head h // (H / G).
        D: ``[H]`` or ``[H, P]``.
        z: ``[B, L, H, P]``.
        dt_bias: ``[H]``.
        initial_states: ``[B, H, P, N]``, or ``[S, H, P, N]`` with one for each packed sequence.
        seq_idx: ``[B, L]``, never decreasing: the packed sequence that each token belongs to.
        cu_seqlens: ``[S + 1]``: where the sequences packed into a single row begin, and L.
        dt_softplus: whether the step passes through softplus. Note that mamba_ssm's functions default to False.
        dt_limit: what the step is clamped to, after the softplus.
        form: how it is computed. The convolution form needs a dt, B and C that do not change within a sequence.
        chunk_size: tokens in a chunk of the chunked form; 256 when None.
        leaf: tokens in a leaf of the associative form; 1 when None.
        tree: how the associative form groups its leaves; "balanced" when None.
        precision: what it is computed and returned in.
        states_every: also return the states after every so many tokens.
        dout: the gradient of a loss with respect to y, ``[B, L, H, P]``.
        dfinal_states: with respect to the final states, ``[B, H, P, N]``.
        dvarlen_states: with respect to the states of the packed sequences, ``[S, H, P, N]``. With any of these three the
            result has gradients.

    Raises:
        InputError: when something does not fit; it names the operand.
    """
    operands = arguments(
        x=x, dt=dt, A=A, B=B, C=C, D=D, z=z, dt_bias=dt_bias, initial_states=initial_states, seq_idx=seq_idx,
        cu_seqlens=cu_seqlens, dout=dout, dfinal_states=dfinal_states, dvarlen_states=dvarlen_states,
    )  # fmt: skip
    options = {
        "dt_softplus": dt_softplus,
        "dt_limit": list(dt_limit),
        "form": form,
        "chunk_size": chunk_size,
        "leaf": leaf,
        "tree": tree,
        "precision": precision,
        "states_every": states_every,
    }
    arrays = call("duality_ssd", operands, options).arrays()
    gradients = {name[5:]: array for name, array in arrays.items() if name.startswith("grad_")}
    outputs = {name: array for name, array in arrays.items() if not name.startswith("grad_")}
    return SSDResult(**outputs, gradients=SSDGradients(**gradients) if gradients else None)


Quantity = Literal["bound", "sigma", "floor", "magnitude"]


def bound(
    x: Array,
    dt: Array,
    A: Array,
    B: Array,
    C: Array,
    *,
    D: Optional[Array] = None,
    z: Optional[Array] = None,
    dt_bias: Optional[Array] = None,
    initial_states: Optional[Array] = None,
    seq_idx: Optional[Array] = None,
    cu_seqlens: Optional[Array] = None,
    dt_softplus: bool = True,
    dt_limit: Tuple[float, float] = (0.0, math.inf),
    precision: str = "float32",
    quantities: Iterable[Quantity] = ("bound", "sigma", "floor", "magnitude"),
) -> Bound:
    """What a correct kernel of a given arithmetic may be off by, number by number, against the float64 oracle.

    The operands are the exact ones: where the kernel rounds them on reading, that is part of what it may be off by.

    Args:
        precision: the kernel's arithmetic: a preset ("float32", "mamba_ssm", …), items ``KEY=VALUE``, or both, as in
            ``"mamba_ssm,products=tf32"`` or ``"form=chunked:64,inputs=bf16,products=bf16,out=bf16"``.
        quantities: which of the four to compute; the others are None. Bound and sigma take a small multiple of the time of
            the kernel's own form in float64.

    The other arguments are those of :func:`ssd`.

    Raises:
        InputError: when something does not fit; it names the operand or the item.
    """
    wanted = list(quantities)
    operands = arguments(
        x=x, dt=dt, A=A, B=B, C=C, D=D, z=z, dt_bias=dt_bias, initial_states=initial_states, seq_idx=seq_idx,
        cu_seqlens=cu_seqlens,
    )  # fmt: skip
    options = {
        "dt_softplus": dt_softplus,
        "dt_limit": list(dt_limit),
        "precision": precision,
        "quantities": wanted,
    }
    result = call("duality_bound", operands, options)
    arrays = result.arrays()
    facts = json.loads(result.text("json") or "{}")

    def sizes(prefix: str) -> ErrorSizes:
        names = ("y", "final_states", "varlen_states")
        return ErrorSizes(**{name: arrays[prefix + name] for name in names if prefix + name in arrays})

    parts = {name: sizes(f"{name}.") if name in wanted else None for name in ("bound", "sigma", "floor", "magnitude")}
    return Bound(facts["precision"], sizes(""), relative_floor=facts["floor"], **parts)


def arguments(**arrays: Optional[Array]) -> List[Argument]:
    """The arrays that are given, under their names."""
    return [argument(name, array) for name, array in arrays.items() if array is not None]
