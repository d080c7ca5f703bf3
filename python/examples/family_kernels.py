"""Verifies kernels of the gated delta rule and of attention that other people wrote.

    pip install torch transformers ml_dtypes          # on a CPU: torch's own paths
    python family_kernels.py [f32|bf16]

With a GPU the backends of scaled_dot_product_attention are verified one by one, and with flash-linear-attention its chunked and its
recurrent kernel, each by the preset that describes it. What is not installed is named and left out, and what a kernel itself refuses is
counted. The exit status is 0 where all that was judged passes, 1 where something does not, and 2 where nothing was verified.

Triton compiles FLA's chunked kernel for every width and tunes it, some minutes for the whole suite.
"""

from __future__ import annotations

import sys
from collections import Counter
from typing import Any, Callable, Dict, List, Optional, Tuple

import torch

Kernel = Callable[[Any], Optional[Dict[str, Any]]]


def sequences(case: Any) -> List[Tuple[int, int]]:
    """Where each packed sequence of a case begins and ends; one for each row where nothing is packed."""
    starts = [int(n) for n in case.inputs["cu_seqlens"]]
    return list(zip(starts, starts[1:]))


def expanded(t: Dict[str, Any]) -> Tuple[Any, Any]:
    """q and k with as many heads as v."""
    repeats = t["v"].shape[2] // t["q"].shape[2]
    return t["q"].repeat_interleave(repeats, dim=2), t["k"].repeat_interleave(repeats, dim=2)


def delta_of_transformers(function: Callable[..., Any]) -> Kernel:
    """torch_chunk_gated_delta_rule or torch_recurrent_gated_delta_rule: packed rows one at a time, since they know none."""

    def kernel(case: Any) -> Optional[Dict[str, Any]]:
        if "scale" in case.options:  # fixed to 1 / sqrt(K)
            return None
        t = case.torch()
        q, k = expanded(t)
        parts = sequences(case) if "cu_seqlens" in t else [(0, q.shape[1])]
        outputs, states = [], []
        for number, (first, last) in enumerate(parts):
            state = t.get("initial_state")
            if state is not None and "cu_seqlens" in t:
                state = state[number : number + 1]
            o, final = function(
                *(a[:, first:last] for a in (q, k, t["v"])), g=t["g"][:, first:last], beta=t["beta"][:, first:last],
                initial_state=state, output_final_state=True,
                use_qk_l2norm_in_kernel=case.options["use_qk_l2norm_in_kernel"] == "true",
            )  # fmt: skip
            outputs.append(o)
            states.append(final)
        return {"o": torch.cat(outputs, dim=1), "final_state": torch.cat(states)}

    return kernel


def delta_of_fla(function: Callable[..., Any]) -> Kernel:
    """chunk_gated_delta_rule or fused_recurrent_gated_delta_rule, on a GPU."""

    def kernel(case: Any) -> Optional[Dict[str, Any]]:
        t = {name: array.cuda() for name, array in case.torch().items()}
        q, k = expanded(t)
        if q.shape[-1] < 16:  # below the smallest tile
            return None
        starts = t["cu_seqlens"].long() if "cu_seqlens" in t else None
        o, final = function(
            q, k, t["v"], g=t["g"], beta=t["beta"], scale=float(case.options.get("scale", q.shape[-1] ** -0.5)),
            initial_state=t.get("initial_state"), output_final_state=True, cu_seqlens=starts,
            use_qk_l2norm_in_kernel=case.options["use_qk_l2norm_in_kernel"] == "true",
        )  # fmt: skip
        return {"o": o.cpu(), "final_state": final.cpu()}

    return kernel


def mask(case: Any, queries: int, keys: int) -> Any:
    """What each query sees, `[L, M]`."""
    position = torch.arange(queries)[:, None] + keys - queries
    key = torch.arange(keys)[None, :]
    seen = torch.ones(queries, keys, dtype=torch.bool)
    if case.options.get("causal", "true") == "true":
        seen &= key <= position
    if "window" in case.options:
        near = key > position - int(case.options["window"])
        seen &= near | (key < int(case.options.get("sink_tokens", 0)))
    return seen


def attention_by_sdpa(case: Any) -> Optional[Dict[str, Any]]:
    """torch.nn.functional.scaled_dot_product_attention with a mask, by whatever backend it takes."""
    t = case.torch()
    if "sinks" in t:
        return None
    repeats = t["q"].shape[2] // t["k"].shape[2]
    q, k, v = t["q"], t["k"].repeat_interleave(repeats, dim=2), t["v"].repeat_interleave(repeats, dim=2)
    o = torch.nn.functional.scaled_dot_product_attention(
        *(a.transpose(1, 2) for a in (q, k, v)), attn_mask=mask(case, q.shape[1], k.shape[1]),
        scale=float(case.options.get("scale", q.shape[-1] ** -0.5)),
    )  # fmt: skip
    return {"o": o.transpose(1, 2)}


def attention_by_backend(backend: Any) -> Kernel:
    """The same on a GPU by one backend, told that it is causal where that is all, since some take no mask."""

    def kernel(case: Any) -> Optional[Dict[str, Any]]:
        t = {name: array.cuda() for name, array in case.torch().items()}
        if "sinks" in t:
            return None
        queries, keys = t["q"].shape[1], t["k"].shape[1]
        causal = case.options.get("causal", "true") == "true"
        plain = "window" not in case.options and (queries == keys or not causal)
        seen = {"is_causal": causal} if plain else {"attn_mask": mask(case, queries, keys).cuda()}
        repeats = t["q"].shape[2] // t["k"].shape[2]
        q, k, v = t["q"], t["k"].repeat_interleave(repeats, dim=2), t["v"].repeat_interleave(repeats, dim=2)
        with torch.nn.attention.sdpa_kernel(backend):
            o = torch.nn.functional.scaled_dot_product_attention(
                *(a.transpose(1, 2) for a in (q, k, v)), scale=float(case.options.get("scale", q.shape[-1] ** -0.5)), **seen
            )
        return {"o": o.transpose(1, 2).cpu()}

    return kernel


def attention_of_transformers(case: Any) -> Optional[Dict[str, Any]]:
    """eager_attention_forward of transformers' Qwen3."""
    from transformers.models.qwen3.modeling_qwen3 import eager_attention_forward

    t = case.torch()
    if "sinks" in t:
        return None

    class Module(torch.nn.Module):
        num_key_value_groups = t["q"].shape[2] // t["k"].shape[2]

    q, k, v = (t[name].transpose(1, 2) for name in "qkv")
    seen = mask(case, q.shape[2], k.shape[2])
    lowest = torch.zeros(seen.shape, dtype=q.dtype).masked_fill(~seen, torch.finfo(q.dtype).min)
    scaling = float(case.options.get("scale", q.shape[-1] ** -0.5))
    o, _ = eager_attention_forward(Module().eval(), q, k, v, lowest[None, None], scaling)
    return {"o": o}


def kernels(dtype: str) -> List[Tuple[str, List[str], Optional[str], Kernel]]:
    """Name, kinds, preset and function of each kernel that can be run here."""
    found: List[Tuple[str, List[str], Optional[str], Kernel]] = []
    narrow = dtype == "bf16"
    both = ["gated_delta", "gated_delta_step"]
    try:
        from transformers.models.qwen3_next import modeling_qwen3_next as qwen
    except ImportError as missing:
        print(f"left out: transformers ({missing})")
    else:
        found += [
            ("transformers, torch_chunk_gated_delta_rule", both, "transformers_gated_delta" if narrow else None,
             delta_of_transformers(qwen.torch_chunk_gated_delta_rule)),
            ("transformers, torch_recurrent_gated_delta_rule", both,
             "transformers_gated_delta_recurrent" if narrow else None,
             delta_of_transformers(qwen.torch_recurrent_gated_delta_rule)),
            ("transformers, eager_attention_forward", ["attention"], "eager_attention" if narrow else None,
             attention_of_transformers),
        ]  # fmt: skip
    found.append(("torch, scaled_dot_product_attention", ["attention"], None, attention_by_sdpa))
    if torch.cuda.is_available():
        for name in ("FLASH_ATTENTION", "EFFICIENT_ATTENTION", "CUDNN_ATTENTION", "MATH"):
            preset = ("sdpa_math" if name == "MATH" else "sdpa_flash") if narrow else None
            backend = getattr(torch.nn.attention.SDPBackend, name)
            found.append((f"torch, SDPA by {name}", ["attention"], preset, attention_by_backend(backend)))
        try:
            from fla.ops.gated_delta_rule import chunk_gated_delta_rule, fused_recurrent_gated_delta_rule
        except ImportError as missing:
            print(f"left out: flash-linear-attention ({missing})")
        else:
            # On float32 the matrix products of a GPU are TF32 unless Triton is told otherwise.
            tf32 = "fla_gated_delta_f32"
            found += [
                ("FLA, chunk_gated_delta_rule", both, "fla_gated_delta" if narrow else tf32,
                 delta_of_fla(chunk_gated_delta_rule)),
                ("FLA, fused_recurrent_gated_delta_rule", both, "fla_gated_delta_recurrent" if narrow else None,
                 delta_of_fla(fused_recurrent_gated_delta_rule)),
            ]  # fmt: skip
    else:
        print("left out: kernels for a GPU (there is none)")
    return found


def guarded(kernel: Kernel, refusals: Counter) -> Kernel:
    """A kernel whose own refusals (a width, a mask, a card without it) are counted: cases that it does not know."""

    def run(case: Any) -> Optional[Dict[str, Any]]:
        try:
            return kernel(case)
        except RuntimeError as error:
            refusals[(str(error).splitlines() or [""])[0][:100]] += 1
            return None

    return run


def main() -> int:
    from duality_ssd import verify_kernel

    verdicts = set()
    for dtype in sys.argv[1:] or ["f32", "bf16"]:
        for name, kinds, preset, kernel in kernels(dtype):
            refusals: Counter = Counter()
            report = verify_kernel(guarded(kernel, refusals), "standard", dtype=dtype, kinds=kinds, precision=preset, name=name)
            print(f"{dtype}: {report.headline}")
            for message, count in refusals.items():
                print(f"      {count} cases were refused: {message}")
            for fault in report.json["diagnosis"]:
                print(f"      {fault['name']} explains {fault['cases']}")
            verdicts.add(report.verdict)
    if not verdicts - {"UNCHECKED"}:
        return 2
    return 0 if verdicts <= {"PASS", "UNCHECKED"} else 1


if __name__ == "__main__":
    sys.exit(main())
