#!/usr/bin/env python3
"""What rounding costs, ours beside ggml's own: KL, top-1 and perplexity on trained weights, everybody on the same matrices and the same text.

    python3 Benchmarks/rounding            round and measure everything, write the tables of docs/performance.md
    python3 Benchmarks/rounding report     write the tables again

Every model goes through each format and back into a float32 checkpoint (worker.py), which `duality compare` holds against the model itself on the
second half of the held-out text; calibration sees the first half. So everybody has float32 activations. Ours are also measured as they run, with
int8 activations. ggml comes from the source package that Benchmarks/peers builds for its scan, and rounds by its own program. Nothing
is timed; an hour of two cores, a compiler and pip's package index.
"""
import argparse
import json
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path += [str(HERE.parent), str(HERE.parent / "peers"), str(HERE.parent / "family")]

import pages
import tables
from install import Installation
from program import FAMILY, ROOT, Program

MODELS = ("duality-tiny", *FAMILY)
CALIBRATION_TOKENS = 16384
# Our files: what `duality quantize` is asked for.
OURS = {
    "int4": ("--precision", "int4", "--group", 32),
    "int4 calibrated": ("--precision", "int4", "--group", 32, "--calibrate", "embedded", "--calibration-tokens", CALIBRATION_TOKENS),
    "int8": ("--precision", "int8", "--group", 32),
}
FOUR_BITS = ("q4_0", "iq4_nl", "q4_K", "iq4_xs")


def model_path(name):
    return ROOT / "Models" / (name if name == "duality-tiny" else f"family/{name}")


def half_of_the_text(work):
    """The second half of the held-out text; calibration takes the first, by characters too."""
    text = (ROOT / "Models/duality-tiny/data/heldout.txt").read_text()
    path = work / "second-half.txt"
    path.write_text(text[len(text) // 2:])
    return path


class Measurement:
    def __init__(self, arguments, entry, save, name, text, installation):
        self.arguments, self.entry, self.save, self.name, self.text = arguments, entry, save, name, text
        self.installation, self.program = installation, arguments.program
        self.work = arguments.work / name
        self.work.mkdir(parents=True, exist_ok=True)

    def packed(self, which):
        path = self.work / which.replace(" ", "-")
        if not (path / "quantization.json").exists():
            self.program.run("quantize", model_path(self.name), *OURS[which], "--out", path)
        return path

    def compare(self, model, *flags):
        result = self.program.json(
            "compare", "--model", model, "--against", model_path(self.name), *flags, "--kv", "f32", "--tokens", self.arguments.tokens,
            "--window", 2048, self.text)
        return {key: result[key] for key in ("mean_kl", "mean_kl_error", "top1_agreement", "delta_ppl", "delta_ppl_error")}

    def weights(self, label, which, format, only=None):
        """Matrices through a format and back, everything else in float32."""
        if label in self.entry:
            return
        print(f"{self.name}, {label}", file=sys.stderr, flush=True)
        out = self.work / "rounded"
        done = subprocess.run(
            [str(part) for part in (
                self.installation.python, HERE / "worker.py", model_path(self.name), self.packed(which), format, out,
                *(["--only", only] if only else []), "--ggml", self.installation.program("llama.cpp", "ggml_round"))],
            check=True, capture_output=True, text=True)
        self.entry[label] = json.loads(done.stdout) | self.compare(out, "--precision", "f32")
        self.save()

    def run(self, label, which):
        """A packed model as it runs, with int8 activations."""
        if label in self.entry:
            return
        print(f"{self.name}, {label}", file=sys.stderr, flush=True)
        self.entry[label] = self.compare(self.packed(which))
        self.save()

    def everything(self):
        for which in ("int4", "int4 calibrated"):
            self.weights(which, which, "ours")
            self.run(f"{which}, as it runs", which)
            self.weights(f"down {which}", which, "ours", only="down_proj")
        for type in FOUR_BITS:
            self.weights(type, "int4", type)
            self.weights(f"down {type}", "int4", type, only="down_proj")
        self.weights("int8", "int8", "ours")
        self.run("int8, as it runs", "int8")
        self.weights("q8_0", "int8", "q8_0")


def main():
    parser = argparse.ArgumentParser(
        prog="python3 Benchmarks/rounding", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="?", choices=["measure", "report"], default="measure")
    parser.add_argument("--duality", type=pathlib.Path, metavar="PROGRAM", help="measure this build of duality (default: build one)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--tokens", type=int, default=16384, help="of the second half of the held-out text, in windows of 2048")
    parser.add_argument("--only", metavar="NAMES", help="these models, separated by commas")
    parser.add_argument("--work", type=pathlib.Path, default=ROOT / "Benchmarks/.build/rounding", metavar="DIR")
    parser.add_argument("--peers", type=pathlib.Path, default=ROOT / "Benchmarks/.build/peers", metavar="DIR", help="where Benchmarks/peers builds")
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    path = arguments.work / "results.json"
    results = json.loads(path.read_text()) if path.exists() else {}
    if arguments.part == "measure":
        arguments.program = Program(arguments.duality, arguments.threads)
        installation = Installation(arguments.peers)
        installation.packages("tools")
        text = half_of_the_text(arguments.work)
        if results.get("tokens") != arguments.tokens:
            results = {"tokens": arguments.tokens, "models": {}}
        results |= pages.about(ROOT)
        for name in MODELS:
            if not arguments.only or name in arguments.only.split(","):
                entry = results["models"].setdefault(name, {})
                Measurement(arguments, entry, lambda: path.write_text(json.dumps(results, indent=1)), name, text, installation).everything()
    tables.write(results, ROOT / "docs/performance.md")


if __name__ == "__main__":
    main()
