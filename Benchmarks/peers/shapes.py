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


def shape_of(name):
    """The shape of a name; "qwen3-8b/12" is the first with 12 layers."""
    name, _, layers = name.partition("/")
    return SHAPES[name] | ({"layers": int(layers)} if layers else {})


def layer_weights(shape):
    """How many numbers the matrices of a dense layer have."""
    return shape["hidden"] * (2 * shape["heads"] + 2 * shape["kv_heads"]) * shape["dim"] + 3 * shape["hidden"] * shape["ffn"]


def weights(shape):
    """How many numbers the matrices of a dense shape have; those that a token multiplies with, where the embedding is the head."""
    return shape["layers"] * layer_weights(shape) + (1 if shape["tied"] else 2) * shape["vocab"] * shape["hidden"]
