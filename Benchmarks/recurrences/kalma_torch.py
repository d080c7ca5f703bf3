"""Gated KalmaNet in plain PyTorch, float32: seconds for one layer, as JSON.

    kalma_torch.py recurrent|chunked THREADS LENGTH HEADS DIM REPEATS

Nobody publishes one for CPUs; this is ours, from the definition (docs/layers.md): token by token, all heads in one batch, and as
chunks whose tokens are solved for together,

    G_i x = e^(l_i) G_c x + sum over j <= i of e^(l_i - l_j) (k_j . x) k_j,

G_c before the chunk and l the logarithms of decays summed within it, which forms no matrix of a token. The two are held against each other in
float64 first. Of chunks the fastest size of 16, 32 and 64 is reported.
"""
import json
import sys
import time

import torch

ITERATIONS, RIDGE = 30, 0.02


def rows(q, k, v, beta):
    """What the recurrence reads, [H, L, D] and gates [H, L]."""
    gate = (beta + 1e-6)[..., None]
    return q / (q.norm(dim=-1, keepdim=True) + 1e-6), gate * k / (k.norm(dim=-1, keepdim=True) + 1e-6), gate * v


def solve(apply, q, norm):
    """Chebyshev's iteration; norm [..., 1]."""
    ridge = RIDGE * norm
    step, rho = 2 / (2 * ridge + norm), norm / (2 * ridge + norm)
    before, x, omega = torch.zeros_like(q), step * q, torch.full_like(norm, 2)
    for _ in range(ITERATIONS):
        omega = 1 / (1 - rho * rho / 4 * omega)
        moved = x - step * (apply(x) + ridge * x - q)
        before, x = x, torch.lerp(before, moved, omega)
    return x


def recurrent(q, k, v, log_decay, alpha, beta):
    q, k, v = rows(q, k, v, beta)
    heads, length, dim = q.shape
    gram, memory = (torch.zeros(heads, dim, dim, dtype=q.dtype) for _ in range(2))
    decay, out = log_decay.exp(), torch.empty_like(q)
    for t in range(length):
        fade, key, query = decay[:, t, None, None], k[:, t, :, None], q[:, t, :, None]
        gram = torch.baddbmm(gram * fade, key, key.transpose(1, 2))
        memory = torch.baddbmm(memory * fade, key, v[:, t, None, :])
        norm = gram.flatten(1).norm(dim=1)[:, None, None]
        x = solve(lambda x: gram @ x, query, norm)
        out[:, t] = (memory.transpose(1, 2) @ torch.lerp(query, x, alpha[:, t, None, None]))[..., 0]
    return out / dim**0.5


def chunked(q, k, v, log_decay, alpha, beta, chunk):
    q, k, v = rows(q, k, v, beta)
    heads, length, dim = q.shape
    gram, memory = (torch.zeros(heads, dim, dim, dtype=q.dtype) for _ in range(2))
    out, above = torch.empty_like(q), torch.ones(chunk, chunk, dtype=torch.bool).triu_(1)
    for first in range(0, length, chunk):
        part = slice(first, first + chunk)
        queries, keys, values, sums = q[:, part], k[:, part], v[:, part], log_decay[:, part].cumsum(1)
        within = (sums[:, :, None] - sums[:, None, :]).masked_fill_(above, float("-inf")).exp_()
        since, turned = sums.exp()[..., None], keys.transpose(1, 2)
        products, own = (keys @ turned).square(), ((keys @ gram) * keys).sum(-1, keepdim=True)
        squares = since**2 * gram.flatten(1).square().sum(1)[:, None, None] + 2 * since * (within @ own)
        squares += ((within @ products) * within).sum(-1, keepdim=True)
        x = solve(lambda x: torch.baddbmm(since * (x @ gram), (x @ turned) * within, keys), queries, squares.sqrt())
        query = torch.lerp(queries, x, alpha[:, part, None])
        out[:, part] = torch.baddbmm(since * (query @ memory), (query @ turned) * within, values)
        later = ((sums[:, -1:] - sums).exp()[..., None] * keys).transpose(1, 2)
        whole = since[:, -1:]
        gram, memory = torch.baddbmm(gram * whole, later, keys), torch.baddbmm(memory * whole, later, values)
    return out / dim**0.5


def operands(length, heads, dim, dtype):
    q, k, v = (torch.randn(heads, length, dim, dtype=dtype) for _ in range(3))
    decay, alpha, beta = (torch.rand(heads, length, dtype=dtype) for _ in range(3))
    return q, k, v, -0.8 * decay, alpha, beta


def timed(function, repeats):
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return seconds


form = sys.argv[1]
threads, length, heads, dim, repeats = map(int, sys.argv[2:7])
torch.set_num_threads(threads)
torch.manual_seed(0)
with torch.inference_mode():
    small = operands(64, 2, 16, torch.float64)
    expected = recurrent(*small)
    error = ((chunked(*small, 16) - expected).abs().max() / expected.abs().max()).item()
    assert error < 1e-9, f"chunked and recurrent form differ by {error}"
    inputs = operands(length, heads, dim, torch.float32)
    if form == "recurrent":
        recurrent(*operands(16, heads, dim, torch.float32))
        best = timed(lambda: recurrent(*inputs), repeats)
    else:
        best = None
        for chunk in (16, 32, 64):
            chunked(*operands(2 * chunk, heads, dim, torch.float32), chunk)
            seconds = timed(lambda: chunked(*inputs, chunk), repeats)
            best = seconds if best is None or min(seconds) < min(best) else best
print(json.dumps(best))
