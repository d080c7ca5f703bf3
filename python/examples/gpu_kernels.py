"""Kernels that run on a GPU, verified: those of mamba_ssm, flash-linear-attention and vLLM, whichever are installed.

    pip install ./python torch mamba_ssm flash-linear-attention vllm
    python python/examples/gpu_kernels.py [--suite standard] [--only fla] [--out REPORTS]

Prints one line a kernel and number format, as in docs/python.md, and writes the reports to REPORTS. A kernel whose package is
absent is named as such, and a case that a kernel has no arguments for is not run. The exit status is that of the command:
0 where everything that ran passes, 1 where something does not, and 2 where nothing ran, without a GPU or without a package.
"""

import argparse
import importlib
import importlib.metadata
import inspect
import sys
from collections import Counter
from pathlib import Path

import duality_ssd
from duality_ssd import Case

DEVICE = "cuda"


def operands(case: Case, *, repeats_x: bool = True):
    """The operands on the GPU; shared heads of x are repeated, since no kernel here has fewer of them than of dt."""
    inputs = {name: tensor.to(DEVICE) for name, tensor in case.torch().items()}
    if repeats_x:
        inputs["x"] = inputs["x"].repeat_interleave(inputs["dt"].shape[2] // inputs["x"].shape[2], 2)
    if inputs["B"].shape[2] != inputs["C"].shape[2]:
        for name in "BC":
            inputs[name] = inputs[name].repeat_interleave(inputs["dt"].shape[2] // inputs[name].shape[2], 2)
    return inputs


def sequences(inputs):
    """For each row where its sequences begin, and its end."""
    batch, length = inputs["dt"].shape[:2]
    if "seq_idx" not in inputs:
        return [[0, length]] * batch
    return [[0] + [t for t in range(1, length) if row[t] != row[t - 1]] + [length] for row in inputs["seq_idx"].tolist()]


def entering(inputs, row: int, starts):
    """The state before each sequence of a row, [S, H, P, N], in float32: one for each, or the row's for its first."""
    import torch

    (batch, _, heads), width, size = inputs["dt"].shape, inputs["x"].shape[3], inputs["B"].shape[3]
    states = torch.zeros(len(starts) - 1, heads, width, size, device=DEVICE)
    given = inputs.get("initial_states")
    if given is not None and given.shape[0] == batch:
        states[0] = given[row]
    elif given is not None:
        before = sum(len(other) - 1 for other in sequences(inputs)[:row])
        states = given[before : before + len(starts) - 1].float()
    return states


def gated(y, inputs):
    """y, which a kernel has stored in its format, times silu(z) in float32: the order of layers that norm what they gate."""
    import torch

    if "z" not in inputs:
        return y
    return (y.float() * torch.nn.functional.silu(inputs["z"].float())).to(y.dtype)


def mamba_ssm_scan(gates_itself: bool):
    from mamba_ssm.ops.triton.ssd_combined import mamba_chunk_scan_combined as scan

    def run(case: Case):
        import torch

        inputs = operands(case)
        if "initial_states" in inputs and inputs["initial_states"].shape[0] != inputs["x"].shape[0]:
            return None  # one initial state a row
        if any(len(set(row)) != len(starts) - 1 for row, starts in zip(
                inputs.get("seq_idx", torch.zeros(0)).tolist(), sequences(inputs))):  # fmt: skip
            return None  # it tells sequences apart by their numbers
        given = dict(inputs)
        z = given.pop("z", None)
        names = ("D", "dt_bias", "initial_states", "seq_idx")
        y, states = scan(
            given["x"], given["dt"], given["A"], given["B"], given["C"], chunk_size=case.chunk_size,
            z=z if gates_itself else None, dt_softplus=case.dt_softplus, dt_limit=case.dt_limit,
            return_final_states=True, **{name: given[name] for name in names if name in given},
        )  # fmt: skip
        return {"y": y if gates_itself else gated(y, inputs), "final_states": states}

    return run


def mamba_ssm_steps():
    from mamba_ssm.ops.triton.selective_state_update import selective_state_update as step

    def run(case: Case):
        import torch

        inputs = operands(case)
        if case.dt_limit != (0.0, float("inf")):
            return None
        (batch, length, heads), width, size = inputs["dt"].shape, inputs["x"].shape[3], inputs["B"].shape[3]
        state = torch.zeros(batch, heads, width, size, device=DEVICE)
        if "initial_states" in inputs:
            state = inputs["initial_states"].float().clone()

        def wide(tensor):  # [H] as [H, P], which the kernel reads with a stride of 0
            return tensor[:, None].expand(-1, width) if tensor.ndim == 1 else tensor

        outputs = []
        for t in range(length):
            outputs.append(
                step(
                    state, inputs["x"][:, t], inputs["dt"][:, t, :, None].expand(-1, -1, width),
                    inputs["A"][:, None, None].expand(-1, width, size), inputs["B"][:, t], inputs["C"][:, t],
                    D=wide(inputs["D"]) if "D" in inputs else None, z=inputs["z"][:, t] if "z" in inputs else None,
                    dt_bias=wide(inputs["dt_bias"]) if "dt_bias" in inputs else None, dt_softplus=case.dt_softplus,
                )  # fmt: skip
            )
        return {"y": torch.stack(outputs, 1), "final_states": state}

    return run


def mamba_ssm_gradients():
    from mamba_ssm.ops.triton.ssd_combined import mamba_chunk_scan_combined as scan

    def run(case: Case):
        inputs = operands(case, repeats_x=False)
        if inputs["x"].shape[2] != inputs["dt"].shape[2] or "seq_idx" in inputs:
            return None  # gradients of a repeated operand are sums that are not the kernel's
        upstream = {name: inputs.pop(name) for name in ("dout", "dfinal_states", "dvarlen_states") if name in inputs}
        leaves = {name: tensor.requires_grad_() for name, tensor in inputs.items()}
        y, states = scan(
            leaves["x"], leaves["dt"], leaves["A"], leaves["B"], leaves["C"], chunk_size=case.chunk_size,
            dt_softplus=case.dt_softplus, dt_limit=case.dt_limit, return_final_states=True,
            **{name: leaves[name] for name in ("D", "z", "dt_bias", "initial_states") if name in leaves},
        )  # fmt: skip
        loss = (y.double() * upstream["dout"].double()).sum()
        if "dfinal_states" in upstream:
            loss = loss + (states.double() * upstream["dfinal_states"].double()).sum()
        loss.backward()
        return {f"grad_{name}": tensor.grad for name, tensor in leaves.items() if tensor.grad is not None}

    return run


def fla(name: str):
    kernel = getattr(importlib.import_module("fla.ops.simple_gla"), name)

    def run(case: Case):
        import torch

        inputs = operands(case)
        heads = inputs["dt"].shape[2]
        step = inputs["dt"].float()
        if "dt_bias" in inputs:
            step = step + inputs["dt_bias"]
        if case.dt_softplus:
            step = torch.nn.functional.softplus(step)
        step = step.clamp(*case.dt_limit)
        x, q, k = (inputs[n].repeat_interleave(heads // inputs[n].shape[2], 2) for n in ("x", "C", "B"))
        v, g = (step[..., None] * x.float()).to(x.dtype), step * inputs["A"]
        rows = []
        for row, starts in enumerate(sequences(inputs)):
            # States are [N, P] there, and packed calls are one row of tokens.
            packed = {"cu_seqlens": torch.tensor(starts, device=DEVICE)} if len(starts) > 2 else {}
            rows.append(
                kernel(
                    *(a[row : row + 1].contiguous() for a in (q, k, v)), g=g[row : row + 1].contiguous(), scale=1.0,
                    initial_state=entering(inputs, row, starts).transpose(-1, -2).contiguous(), output_final_state=True,
                    **packed,
                )  # fmt: skip
            )
        y = torch.cat([o for o, _ in rows])
        states = [s.transpose(-1, -2) for _, s in rows]
        if "D" in inputs:
            skip = inputs["D"] if inputs["D"].ndim == 2 else inputs["D"][:, None]
            y = (y.float() + skip * x.float()).to(y.dtype)
        found = {"y": gated(y, inputs), "final_states": torch.stack([s[-1] for s in states])}
        if "seq_idx" in inputs:
            found["varlen_states"] = torch.cat(states)
        return found

    return run


def vllm_scan():
    """vLLM's scan of sequences in a row. Its arguments have changed; those that its signature names are given."""
    from vllm.model_executor.layers.mamba.ops.ssd_combined import mamba_chunk_scan_combined_varlen as scan

    known = inspect.signature(scan).parameters

    def run(case: Case):
        import torch

        inputs = operands(case)
        found, states = [], []
        for row, starts in enumerate(sequences(inputs)):
            # Chunks end at multiples of their size from each sequence's first token.
            ends, last, owner = [0], [], []
            for s, (begin, end) in enumerate(zip(starts, starts[1:])):
                for first in range(begin, end, case.chunk_size):
                    ends.append(min(first + case.chunk_size, end))
                    owner.append(s)
                last.append(len(owner) - 1)

            def numbers(values):
                return torch.tensor(values, dtype=torch.int32, device=DEVICE)

            tokens = [s for s, (a, b) in enumerate(zip(starts, starts[1:])) for _ in range(a, b)]
            x = inputs["x"][row].contiguous()
            out = torch.empty_like(x)
            given = dict(
                x=x, dt=inputs["dt"][row].contiguous(), A=inputs["A"], B=inputs["B"][row].contiguous(),
                C=inputs["C"][row].contiguous(), chunk_size=case.chunk_size, cu_seqlens=numbers(starts),
                cu_chunk_seqlens=numbers(ends), last_chunk_indices=numbers(last),
                seq_idx=numbers(owner if "cu_chunk_seqlens" in known else tokens), out=out, D=inputs.get("D"),
                dt_bias=inputs.get("dt_bias"), initial_states=entering(inputs, row, starts),
                dt_softplus=case.dt_softplus, dt_limit=case.dt_limit, state_dtype=torch.float32,
            )  # fmt: skip
            states.append(scan(**{name: value for name, value in given.items() if name in known}))
            found.append(out)
        outputs = {"y": gated(torch.stack(found), inputs), "final_states": torch.stack([s[-1] for s in states]).float()}
        if "seq_idx" in inputs:
            outputs["varlen_states"] = torch.cat(states).float()
        return outputs

    return run


#: Name, package, kinds of cases, precision of each number format, and what makes the kernel.
KERNELS = [
    ("mamba_ssm mamba_chunk_scan_combined", "mamba_ssm", ["scan"], {"bf16": "mamba_ssm"}, lambda: mamba_ssm_scan(True)),
    ("mamba_ssm the same, gated later", "mamba_ssm", ["scan"], {"bf16": "mamba_ssm"}, lambda: mamba_ssm_scan(False)),
    ("mamba_ssm selective_state_update", "mamba_ssm", ["step"], {"bf16": "mamba_ssm_step"}, mamba_ssm_steps),
    ("mamba_ssm gradients", "mamba_ssm", ["gradients"], {"bf16": "mamba_ssm"}, mamba_ssm_gradients),
    ("fla chunk_simple_gla", "fla", ["scan"], {"bf16": "fla-chunked"}, lambda: fla("chunk_simple_gla")),
    (
        "fla fused_recurrent_simple_gla", "fla", ["scan", "step"], {"f32": "float32", "bf16": "fla-recurrent"},
        lambda: fla("fused_recurrent_simple_gla"),
    ),
    ("vllm mamba_chunk_scan_combined_varlen", "vllm", ["scan"], {"bf16": "vllm"}, vllm_scan),
]  # fmt: skip


def guarded(kernel, refusals: Counter):
    """A kernel whose own errors are counted: a shape that it refuses is a case that it does not know."""

    def run(case: Case):
        try:
            outputs = kernel(case)
        except Exception as error:  # whatever a compiler of kernels throws
            refusals[f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"[:100]] += 1
            return None
        return None if outputs is None else {name: tensor.detach().cpu() for name, tensor in outputs.items()}

    return run


def version(package: str) -> str:
    for name in (package, {"fla": "flash-linear-attention"}.get(package, package)):
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return "of unknown version"


def device_is_missing() -> str:
    """Why there is no GPU to run on; empty where there is one."""
    try:
        import torch
    except ImportError:
        return "torch is not installed"
    if not torch.cuda.is_available():
        return f"torch {torch.__version__} finds no GPU"
    print(f"torch {torch.__version__} on {torch.cuda.get_device_name()}")
    return ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite", default="standard", choices=["smoke", "standard", "stress"])
    parser.add_argument("--only", choices=["mamba_ssm", "fla", "vllm"], help="the kernels of one package")
    parser.add_argument("--out", type=Path, help="where to write the reports")
    arguments = parser.parse_args()
    reason = device_is_missing()
    if reason:
        print(f"Nothing was verified: {reason}, and these kernels run on GPUs alone.", file=sys.stderr)
        return 2

    verdicts = Counter()
    for name, package, kinds, precisions, make in KERNELS:
        if arguments.only not in (None, package):
            continue
        try:
            kernel = make()
        except (ImportError, AttributeError) as error:
            print(f"\n{name}: not verified, since it cannot be imported ({error})")
            continue
        for dtype, precision in precisions.items():
            refusals = Counter()
            title = f"{name} of {package} {version(package)}, {dtype}"
            report = duality_ssd.verify_kernel(
                guarded(kernel, refusals), arguments.suite, dtype=dtype, kinds=kinds, precision=precision, name=title
            )
            verdicts[report.verdict] += 1
            print(f"\n{report.headline}\n      by --precision {precision}")
            for fault in report.json["diagnosis"]:
                print(f"      {fault['name']} explains {fault['cases']}")
            for message, count in refusals.items():
                print(f"      {count} cases were refused: {message}")
            if arguments.out:
                arguments.out.mkdir(parents=True, exist_ok=True)
                stem = "".join(c if c.isalnum() else "-" for c in title)
                for suffix in (".txt", ".html"):
                    report.save(arguments.out / (stem + suffix))
    if not set(verdicts) - {"UNCHECKED"}:
        print("\nNothing was verified: none of the packages is installed, or none ran a case.", file=sys.stderr)
        return 2
    return 0 if set(verdicts) <= {"PASS", "UNCHECKED"} else 1


if __name__ == "__main__":
    sys.exit(main())
