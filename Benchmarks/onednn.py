#!/usr/bin/env python3
"""Our int8 product beside oneDNN's, in alternation, on the shapes of the 8B hybrid.

    python3 -m venv peers && peers/bin/pip install torch numpy
    swift build -c release --package-path Benchmarks --product kernels
    peers/bin/python Benchmarks/onednn.py [--threads 2] [--rounds 5] [--json]

`python3 Benchmarks/peers --only product` does all of this.

Both multiply activations that are already quantized by packed weights with one scale per row, into float32; weights rotate
through more memory than L2 holds. oneDNN is PyTorch's `onednn::qlinear_pointwise` (u8 x s8). Time is processor time: of
the busiest thread for us, of the process divided by its threads for oneDNN, which waits passively.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import time

parser = argparse.ArgumentParser()
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--rounds", type=int, default=5)
parser.add_argument("--json", action="store_true", help="print all rounds as JSON, rates in TOPS")
arguments = parser.parse_args()
os.environ["OMP_WAIT_POLICY"] = "passive"

import torch

torch.set_num_threads(arguments.threads)
KERNELS = pathlib.Path(__file__).parent / ".build/release/kernels"
SHAPES = [(m, k, t) for t in (512, 128) for m, k in
          [(10272, 4096), (6144, 4096), (4096, 4096), (24576, 4096), (4096, 12288)]]


def peer(m, k):
    """oneDNN's product for m outputs and k inputs, as a function of activations and a repetition."""
    packed = [torch.ops.onednn.qlinear_prepack(torch.randint(-127, 128, (m, k), dtype=torch.int8), None)
              for _ in range(max(2, (256 << 20) // (m * k)))]
    scales, zeros = torch.full((m,), 0.01), torch.zeros(m, dtype=torch.int32)

    def product(x, repetition):
        return torch.ops.onednn.qlinear_pointwise(
            x, 0.01, 128, packed[repetition % len(packed)], scales, zeros, None, 1.0, 0, torch.float32, "none", [], "")

    return product


def measure_peer(product, t, k, m):
    x = torch.randint(0, 256, (t, k), dtype=torch.uint8)
    product(x, 0)
    times = []
    for repetition in range(7):
        start = time.process_time()
        product(x, repetition)
        times.append((time.process_time() - start) / arguments.threads)
    return 2 * m * k * t / statistics.median(times) * 1e-12


def measure_ours(m, k, t):
    line = subprocess.run([KERNELS, "--threads", str(arguments.threads), "--once", f"{m}x{k}x{t}"],
                          check=True, capture_output=True, text=True).stdout.split()
    return float(line[0]), float(line[1])


found = []
if not arguments.json:
    print(f"{'outputs x inputs':>16} {'tokens':>6} {'ours':>6} {'oneDNN':>6} {'peak':>6}  TOPS {'ours':>6} {'oneDNN':>6} % of peak  ratio")
for m, k, t in SHAPES:
    product, ours, theirs, peaks = peer(m, k), [], [], []
    for _ in range(arguments.rounds):
        rate, peak = measure_ours(m, k, t)
        ours.append(rate)
        peaks.append(peak)
        theirs.append(measure_peer(product, t, k, m))
    found.append({"outputs": m, "inputs": k, "tokens": t, "ours": ours, "oneDNN": theirs, "peak": peaks})
    a, b, peak = map(statistics.median, (ours, theirs, peaks))
    if not arguments.json:
        print(f"{m:>9} x {k:<5} {t:>5} {a:>6.3f} {b:>6.3f} {peak:>6.3f}       {100 * a / peak:>6.1f} {100 * b / peak:>6.1f}"
              f"            {a / b:.2f}", flush=True)
if arguments.json:
    print(json.dumps(found))
