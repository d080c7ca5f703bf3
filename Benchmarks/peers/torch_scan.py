"""The chunked SSD form in PyTorch, float32: seconds for one layer, as JSON.

    torch_scan.py THREADS LENGTH HEADS SHARED REPEATS        P = N = 128, x and B with SHARED heads, C with HEADS

S_t = a_t S_{t-1} + x_t b_t^T, y_t = S_t c_t, a_t = exp(log a_t), x already scaled by its step. The fastest chunk of 64, 128 and 256 is reported,
after a check against the recurrence in float64.
"""
import json
import sys
import time

import torch


def repeated(t, heads):
    return t.repeat_interleave(heads // t.shape[0], 0)


def recurrent(x, log_a, b, c):
    x, b = repeated(x, c.shape[0]), repeated(b, c.shape[0])
    state, y = torch.zeros(c.shape[0], x.shape[2], b.shape[2], dtype=x.dtype), []
    for t in range(c.shape[1]):
        state = state * log_a[:, t, None, None].exp() + x[:, t, :, None] * b[:, t, None, :]
        y.append((state @ c[:, t, :, None])[..., 0])
    return torch.stack(y, 1)


def chunked(x, log_a, b, c, chunk):
    heads, length, state_dim = c.shape
    chunks, dim = length // chunk, x.shape[2]
    x, b = (repeated(t, heads).view(heads, chunks, chunk, -1) for t in (x, b))
    c, sums = c.view(heads, chunks, chunk, state_dim), log_a.view(heads, chunks, chunk).cumsum(-1)
    # Inside a chunk: the Gram matrix of C and B, times the decay between the two tokens.
    decay = sums[..., :, None] - sums[..., None, :]
    decay.masked_fill_(torch.ones(chunk, chunk, dtype=torch.bool).triu_(1), float("-inf"))
    y = decay.exp_().mul_(c @ b.transpose(-1, -2)) @ x
    # What a chunk adds to the state, the states at the chunks' beginnings, and what those give.
    added = (x * (sums[..., -1:] - sums).exp()[..., None]).transpose(-1, -2) @ b
    whole = sums[..., -1].exp()
    before, state = torch.empty_like(added), torch.zeros(heads, dim, state_dim, dtype=x.dtype)
    for k in range(chunks):
        before[:, k] = state
        state = torch.addcmul(added[:, k], state, whole[:, k, None, None])
    y += (c @ before.transpose(-1, -2)) * sums.exp()[..., None]
    return y.reshape(heads, length, dim)


def operands(length, heads, shared, dim, dtype):
    x = torch.randn(shared, length, dim, dtype=dtype)
    b, c = (torch.randn(n, length, dim, dtype=dtype) / dim**0.5 for n in (shared, heads))
    return x, -0.05 * torch.rand(heads, length, dtype=dtype), b, c


threads, length, heads, shared, repeats = map(int, sys.argv[1:6])
torch.set_num_threads(threads)
torch.manual_seed(0)
small = operands(256, 4, 2, 16, torch.float64)
error = (chunked(*small, 64) - recurrent(*small)).abs().max().item()
assert error < 1e-12, f"chunked and recurrent form differ by {error}"
inputs, best = operands(length, heads, shared, 128, torch.float32), None
for chunk in (64, 128, 256):
    seconds = []
    for repetition in range(repeats + 1):
        start = time.perf_counter()
        chunked(*inputs, chunk)
        seconds.append(time.perf_counter() - start)
    seconds = sorted(seconds[1:])
    if best is None or seconds[len(seconds) // 2] < best[len(best) // 2]:
        best = seconds
print(json.dumps(best))
