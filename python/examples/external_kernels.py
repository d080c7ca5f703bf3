"""Kernels that we did not write, verified: the torch path of transformers' Mamba2, and the two scans of niverel-mamba.

    pip install ./python torch transformers niverel-mamba einops ml_dtypes
    python python/examples/external_kernels.py [--suite standard] [--out REPORTS]

Prints one line a kernel and number format, as in docs/python.md, and writes the reports to REPORTS. A case that a kernel has no
arguments for is not run.
"""

import argparse
import importlib.metadata
import logging
from pathlib import Path

import duality_ssd
import torch
from duality_ssd import Case

logging.disable(logging.WARNING)


def scan_arguments(case: Case):
    """The operands as torch tensors, or None for what neither kernel has: heads of x that several heads of dt read."""
    inputs = case.torch()
    if inputs["x"].shape[2] != inputs["dt"].shape[2]:
        return None
    for name in ("dout", "dfinal_states", "dvarlen_states"):
        inputs.pop(name, None)
    return inputs


def backward(kernel):
    """The gradients that torch takes of a kernel."""

    def run(case: Case):
        operands = {}

        class Recording:  # the case, with operands that record what is done to them
            def __getattr__(self, name):
                return getattr(case, name)

            def torch(self):
                operands.update(
                    (name, tensor.clone().requires_grad_(tensor.is_floating_point()))
                    for name, tensor in case.torch().items()
                )
                return dict(operands)

        outputs = kernel(Recording())
        if outputs is None:
            return None
        y, final_states = outputs
        upstream = case.torch()
        loss = (y.double() * upstream["dout"].double()).sum()
        if "dfinal_states" in upstream:
            loss = loss + (final_states.double() * upstream["dfinal_states"].double()).sum()
        loss.backward()
        return {f"grad_{name}": tensor.grad for name, tensor in operands.items() if tensor.grad is not None}

    return run


def transformers_chunk_scan(case: Case):
    """`mamba2_chunk_scan`, what Mamba2Mixer runs where there is no CUDA kernel."""
    from transformers.models.mamba2.modeling_mamba2 import mamba2_chunk_scan

    inputs = scan_arguments(case)
    if inputs is None or "z" in inputs or "seq_idx" in inputs or inputs.get("D", torch.empty(0)).ndim == 2:
        return None  # no gate, D is one number per head, and packed sequences are refused
    return mamba2_chunk_scan(
        inputs.pop("x"), **inputs, chunk_size=case.chunk_size, dt_softplus=case.dt_softplus, dt_limit=case.dt_limit,
        return_final_states=True,
    )  # fmt: skip


def explain_transformers(suite: str) -> None:
    """What is left of its error in bfloat16 once the oracle is given the steps that it makes, rounded as it rounds them."""
    verdicts, sigmas = [], []
    for case in duality_ssd.vectors(suite, dtype="bf16", kinds=["scan"]):
        outputs = transformers_chunk_scan(case)
        if outputs is None:
            continue
        inputs = case.torch()
        step = inputs["dt"]
        if "dt_bias" in inputs:
            step = step + inputs.pop("dt_bias").to(step.dtype)
        if case.dt_softplus:
            step = torch.nn.functional.softplus(step)
        inputs["dt"] = torch.clamp(step, *case.dt_limit)
        precision = f"float32,form=chunked:{case.chunk_size},sums=differences"
        report = duality_ssd.verify(outputs, inputs, options={"dt_softplus": False}, precision=precision)
        verdicts.append(report.verdict)
        sigmas += [output["error_over_sigma"] for output in report.cases[0]["outputs"].values()]
    print(f"      with the steps that it makes in bfloat16: {verdicts.count('PASS')} of {len(verdicts)} PASS, "
          f"largest error/sigma {max(sigmas):.1f}")  # fmt: skip


def niverel(scan, **options):
    """`ssd_chunked` or `ssd_sequential` of niverel-mamba, which share a signature."""

    from niverel_mamba.errors import InvalidSeqIdxError

    def run(case: Case):
        inputs = scan_arguments(case)
        if inputs is None:
            return None
        states = inputs.get("initial_states")
        if states is not None and states.shape[0] != inputs["x"].shape[0]:
            return None  # one initial state a row
        chunk = {"chunk_size": case.chunk_size} if options.get("chunked") else {}
        try:
            return scan(inputs.pop("x"), inputs.pop("dt"), **inputs, **chunk, dt_softplus=case.dt_softplus,
                        dt_limit=case.dt_limit)  # fmt: skip
        except InvalidSeqIdxError:
            return None  # it refuses sequence ids that come back

    return run


def transformers_mixer(dtype: torch.dtype):
    """The scan inside a real forward pass: a Mamba2 layer with random weights, its scan recorded on the way.

    Returns:
        (outputs, inputs) of the scan of 300 tokens, and of the single steps of 24 more.
    """
    from transformers import Mamba2Config, Mamba2Model
    from transformers.models.mamba2 import modeling_mamba2 as module

    torch.manual_seed(0)
    config = Mamba2Config(
        vocab_size=512, hidden_size=128, num_hidden_layers=1, num_heads=8, head_dim=32, state_size=64, n_groups=2,
        chunk_size=64,
    )  # fmt: skip
    model = Mamba2Model(config).to(dtype).eval()
    scans, steps = [], []
    original = module.mamba2_chunk_scan, module.mamba2_selective_state_update

    def scan(x, dt, A, B, C, **options):
        y, state = original[0](x, dt, A, B, C, **options)
        inputs = dict(x=x, dt=dt, A=A, B=B, C=C, D=options["D"], dt_bias=options["dt_bias"],
                      chunk_size=options["chunk_size"], dt_limit=options["dt_limit"])  # fmt: skip
        scans.append((dict(y=y.clone(), final_states=state.clone()), {k: _kept(v) for k, v in inputs.items()}))
        return y, state

    def step(state, x, dt, A, B, C, D, **options):
        before = state.clone()
        y = original[1](state, x, dt, A, B, C, D, **options)
        steps.append((before, x, dt[..., 0], A[:, 0, 0], B, C, D[:, 0], options["dt_bias"][:, 0], y, state.clone()))
        return y

    module.mamba2_chunk_scan, module.mamba2_selective_state_update = scan, step
    try:
        with torch.no_grad():
            tokens = torch.randint(0, 512, (1, 300))
            cache = model(tokens, use_cache=True).cache
            for _ in range(24):
                cache = model(torch.randint(0, 512, (1, 1)), cache=cache, use_cache=True).cache
    finally:
        module.mamba2_chunk_scan, module.mamba2_selective_state_update = original
    yield "scan", *scans[0]
    if steps:
        before, x, dt, A, B, C, D, bias, y, state = zip(*steps)
        stacked = {name: torch.stack(column, 1) for name, column in dict(x=x, dt=dt, B=B, C=C).items()}
        inputs = dict(stacked, A=A[0], D=D[0], dt_bias=bias[0], initial_states=before[0])
        yield "step", dict(y=torch.stack(y, 1), final_states=state[-1]), inputs
        if dtype != torch.float32:
            yield "widened step", steps_in_float32(original[1], inputs), inputs


def steps_in_float32(step, inputs):
    """The same steps by the same function, once its operands are widened: what is left is not the arithmetic of bfloat16."""
    wide = {name: tensor.float() for name, tensor in inputs.items()}
    state, outputs = wide["initial_states"].clone(), []
    (heads, width), size = wide["x"].shape[2:], wide["B"].shape[3]
    for t in range(wide["x"].shape[1]):
        outputs.append(
            step(
                state, wide["x"][:, t], wide["dt"][:, t, :, None].expand(-1, -1, width),
                wide["A"][:, None, None].expand(-1, width, size), wide["B"][:, t], wide["C"][:, t],
                wide["D"][:, None].expand(-1, width), z=None, dt_bias=wide["dt_bias"][:, None].expand(-1, width),
                dt_softplus=True,
            )  # fmt: skip
        )
    return dict(y=torch.stack(outputs, 1), final_states=state)


def _kept(value):
    return value.clone() if isinstance(value, torch.Tensor) else value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite", default="standard", choices=["smoke", "standard", "stress"])
    parser.add_argument("--out", type=Path, help="where to write the reports")
    arguments = parser.parse_args()

    from niverel_mamba.torch_ops.ssd_chunked import ssd_chunked
    from niverel_mamba.torch_ops.ssd_sequential import ssd_sequential

    versions = [f"{name} {importlib.metadata.version(name)}" for name in ("torch", "transformers", "niverel-mamba")]
    print(", ".join(versions))
    kernels = {
        "transformers mamba2_chunk_scan": transformers_chunk_scan,
        "niverel ssd_chunked": niverel(ssd_chunked, chunked=True),
        "niverel ssd_sequential": niverel(ssd_sequential),
    }
    for dtype in ("f32", "bf16"):
        for name, kernel in kernels.items():
            report = duality_ssd.verify_kernel(kernel, arguments.suite, dtype=dtype, kinds=["scan"], name=name)
            show(report, name, dtype, arguments.out)
            if dtype == "f32":
                report = duality_ssd.verify_kernel(
                    backward(kernel), arguments.suite, kinds=["gradients"], name=f"{name}, its gradients"
                )
                show(report, f"{name} gradients", dtype, arguments.out)
            if kernel is transformers_chunk_scan and dtype == "bf16":
                explain_transformers(arguments.suite)
        for kind, outputs, inputs in transformers_mixer({"f32": torch.float32, "bf16": torch.bfloat16}[dtype]):
            name = f"transformers Mamba2Model, its {kind}"
            report = duality_ssd.verify(outputs, inputs, kind=kind.split()[-1], name=name)
            show(report, name, dtype, arguments.out)


def show(report: duality_ssd.Report, name: str, dtype: str, folder) -> None:
    """One line, and the whole report into the folder."""
    print(f"\n{dtype}  {report.headline}")
    for fault in report.json["diagnosis"]:
        print(f"      {fault['name']} explains {fault['cases']}")
    if folder:
        folder.mkdir(parents=True, exist_ok=True)
        stem = f"{name}-{dtype}".replace(" ", "-").replace(",", "")
        for suffix in (".txt", ".html"):
            report.save(folder / (stem + suffix))


if __name__ == "__main__":
    main()
