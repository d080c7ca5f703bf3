"""The gated delta rule in transformers' PyTorch form, float32: seconds for one layer, as JSON.

    delta_torch.py THREADS LENGTH HEADS DIM REPEATS

transformers' own function for machines without its kernels, as its Qwen3-Next calls it; the fastest chunk of 32, 64 and 128 is reported.
"""
import json
import sys
import time

import torch
from transformers.models.qwen3_next.modeling_qwen3_next import torch_chunk_gated_delta_rule

threads, length, heads, dim, repeats = map(int, sys.argv[1:6])
torch.set_num_threads(threads)
torch.manual_seed(0)
q, k, v = (torch.randn(1, length, heads, dim) for _ in range(3))
decay, beta = -0.8 * torch.rand(1, length, heads), torch.rand(1, length, heads)
best = None
with torch.inference_mode():
    for chunk in (32, 64, 128):
        seconds = []
        for repetition in range(repeats + 1):
            start = time.perf_counter()
            torch_chunk_gated_delta_rule(
                q, k, v, decay, beta, chunk_size=chunk, initial_state=None, output_final_state=True, use_qk_l2norm_in_kernel=True)
            seconds.append(time.perf_counter() - start)
        if best is None or min(seconds[1:]) < min(best):
            best = seconds[1:]
print(json.dumps(best))
