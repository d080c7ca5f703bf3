"""The shapes that are measured, in the terms that all engines share.

Qwen3 0.6B and 8B (arXiv 2505.09388), and the hybrid of the 0.6B widths with a Mamba-2 mixer in every second layer. llama.cpp knows hybrids of
this kind only with B and C in groups and x with a head of its own for each SSM head (its `granitehybrid`), so its hybrid has a wider input
projection than ours: 8208 rows a layer against 6160.
"""

SHAPES = {
    "qwen3-0.6b": dict(hidden=1024, layers=28, heads=16, kv_heads=8, dim=128, ffn=3072, vocab=151936, tied=True),
    "qwen3-8b": dict(hidden=4096, layers=36, heads=32, kv_heads=8, dim=128, ffn=12288, vocab=151936, tied=False),
}
SHAPES["hqwen3-0.6b"] = dict(SHAPES["qwen3-0.6b"], mamba=dict(heads=16, head_dim=128, state_dim=128, groups=16, kernel=4))

