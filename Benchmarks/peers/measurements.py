"""What is measured, and beside whom.

Every function takes an `Installation` and a number of threads and gives {contender: preparation}. A preparation installs, builds and writes what the
contender needs and gives the function for `alternate`; it is called for those contenders only that are measured. All contenders of one measurement
name the same tests. `report` reads the medians and holds them against the bars.
"""
import engines
from shapes import SHAPES
from timing import output, output_json

OPENVINO_SETTINGS = ["bf16-128-u8", "bf16-32-u8", "f32-128-u8", "f32-32-u8"]
# Layers of the 8B shape that OpenVINO's export fits in memory beside everything else; times are scaled to 36.
OPENVINO_LAYERS, OPENVINO_VOCABULARY = 4, 2048


def dense(i, threads):
    """0.6B, int8: the peers' formats of one scale per row and of blocks of 32."""
    tests = ["pp512", "tg64"]
    contenders = {"Duality int8": lambda: engines.ours(i, i.packed("qwen3-0.6b", "int8"), tests, threads)}
    for setting in OPENVINO_SETTINGS:
        contenders[f"OpenVINO {setting}"] = lambda setting=setting: engines.openvino(
            i, i.openvino("qwen3-0.6b", 28, 151936), setting, tests, threads)
    contenders["llama.cpp Q8_0"] = lambda: engines.llama(i, "llama.cpp", i.gguf("qwen3-0.6b", "Q8_0"), tests, threads)
    contenders["ik_llama.cpp Q8_KV_R8"] = lambda: engines.llama(
        i, "ik_llama.cpp", i.gguf("qwen3-0.6b", "Q8_KV_R8"), tests, threads)
    return contenders


def group32(i, threads):
    """0.6B with a scale for 32 weights."""
    tests = ["pp512", "tg64"]

    def model():
        return i.gguf("qwen3-0.6b", "Q8_0")

    return {
        "Duality int8/32": lambda: engines.ours(i, i.packed("qwen3-0.6b", "int8", group=32), tests, threads),
        "ik_llama.cpp Q8_0": lambda: engines.llama(i, "ik_llama.cpp", model(), tests, threads),
        "ik_llama.cpp Q8_0, repacked": lambda: engines.llama(i, "ik_llama.cpp", model(), tests, threads, repack=True),
        "llama.cpp Q8_0": lambda: engines.llama(i, "llama.cpp", model(), tests, threads),
    }


def bfloat16(i, threads):
    """0.6B in bfloat16; OpenVINO's weights are int8 there and are widened, so that only its prompt can be compared."""
    tests = ["pp512", "tg64"]

    def model():
        return i.gguf("qwen3-0.6b", "BF16")

    return {
        "Duality bf16": lambda: engines.ours(i, i.packed("qwen3-0.6b", "bf16"), tests, threads),
        "OpenVINO bf16-0-bf16": lambda: engines.openvino(
            i, i.openvino("qwen3-0.6b", 28, 151936), "bf16-0-bf16", ["pp512"], threads),
        "llama.cpp BF16": lambda: engines.llama(i, "llama.cpp", model(), tests, threads),
        "ik_llama.cpp BF16": lambda: engines.llama(i, "ik_llama.cpp", model(), tests, threads),
    }


def large_prefill(i, threads):
    """8B, int8, a prompt. llama.cpp takes a minute for it: one repeat a round."""
    return {
        "Duality int8": lambda: engines.ours(i, i.packed("hqwen3-8b", "int8"), ["pp512"], threads),
        "llama.cpp Q8_0": lambda: engines.llama(
            i, "llama.cpp", i.gguf("qwen3-8b", "Q8_0"), ["pp512"], threads, repeats=1),
        "ik_llama.cpp Q8_KV_R8": lambda: engines.llama(
            i, "ik_llama.cpp", i.gguf("qwen3-8b", "Q8_KV_R8"), ["pp512"], threads, repeats=1),
    } | openvino_large(i, threads, ["pp512"])


def large_decode(i, threads):
    """8B, int8, generation."""
    return {
        "Duality int8": lambda: engines.ours(i, i.packed("hqwen3-8b", "int8"), ["tg16"], threads),
        "llama.cpp Q8_0": lambda: engines.llama(
            i, "llama.cpp", i.gguf("qwen3-8b", "Q8_0"), ["tg16"], threads, repeats=2),
        "ik_llama.cpp Q8_KV_R8": lambda: engines.llama(
            i, "ik_llama.cpp", i.gguf("qwen3-8b", "Q8_KV_R8"), ["tg16"], threads, repeats=2),
    } | openvino_large(i, threads, ["tg16"])


def openvino_large(i, threads, tests):
    """Some layers of the 8B shape, scaled: a prompt by its layers, a token by the bytes of its weights."""
    shape = SHAPES["qwen3-8b"]
    layer = shape["hidden"] * (2 * shape["heads"] + 2 * shape["kv_heads"]) * shape["dim"] + 3 * shape["hidden"] * shape["ffn"]
    few = OPENVINO_LAYERS * layer + OPENVINO_VOCABULARY * shape["hidden"]
    whole = shape["layers"] * layer + shape["vocab"] * shape["hidden"]

    def scaled(setting):
        run = engines.openvino(
            i, i.openvino("qwen3-8b", OPENVINO_LAYERS, OPENVINO_VOCABULARY), setting, tests, threads)

        def contender():
            factors = {"pp": OPENVINO_LAYERS / shape["layers"], "tg": few / whole}
            return {test: [rate * factors[test[:2]] for rate in rates] for test, rates in run().items()}

        return contender

    return {f"OpenVINO {setting} (from {OPENVINO_LAYERS} layers)": lambda setting=setting: scaled(setting) for setting in OPENVINO_SETTINGS[:3]}


def deep(i, threads):
    """Decoding behind 4096 tokens."""
    tests = ["tg32@4096"]

    def openvino():
        return i.openvino("qwen3-0.6b", 28, 151936)

    return {
        "Duality hybrid": lambda: engines.ours(i, i.packed("hqwen3-0.6b", "int8"), tests, threads),
        "llama.cpp hybrid Q8_0": lambda: engines.llama(i, "llama.cpp", i.gguf("hqwen3-0.6b", "Q8_0"), tests, threads),
        "Duality dense": lambda: engines.ours(i, i.packed("qwen3-0.6b", "int8"), tests, threads),
        "Duality dense, KV int8": lambda: engines.ours(i, i.packed("qwen3-0.6b", "int8"), tests, threads, kv="int8"),
        "OpenVINO f32-32-u8": lambda: engines.openvino(i, openvino(), "f32-32-u8", tests, threads),
        "OpenVINO bf16-128-u8": lambda: engines.openvino(i, openvino(), "bf16-128-u8", tests, threads),
        "ik_llama.cpp Q8_KV_R8": lambda: engines.llama(
            i, "ik_llama.cpp", i.gguf("qwen3-0.6b", "Q8_KV_R8"), tests, threads),
        "llama.cpp dense Q8_0": lambda: engines.llama(i, "llama.cpp", i.gguf("qwen3-0.6b", "Q8_0"), tests, threads),
        "llama.cpp dense Q8_0, KV q8_0": lambda: engines.llama(
            i, "llama.cpp", i.gguf("qwen3-0.6b", "Q8_0"), tests, threads, cache="q8_0"),
    }


def scan(installation, threads):
    """One layer, L = 2048, H = 32, P = N = 128, float32; x and B with 32 heads."""
    i = installation
    return {
        "Duality": lambda: engines.our_scan(i, 2048, 32, threads),
        "ggml": lambda: engines.ggml_scan(i, 2048, 32, threads),
        "PyTorch, chunked": lambda: engines.torch_scan(i, 2048, 32, threads),
    }


def scan_length(installation, threads):
    """The same layer with 8 heads of x and B at two lengths."""
    i = installation
    return {
        "16384": lambda: engines.our_scan(i, 16384, 8, threads, repeats=5),
        "131072": lambda: engines.our_scan(i, 131072, 8, threads, repeats=3),
    }


# What has one contender only, ourselves.


def long_context(installation, threads):
    """First token and decoding behind 16K and 64K tokens: models of 2 layers (one of them Mamba-2 in the hybrid), for time goes with the layers."""

    def of(shape):
        model = installation.packed(shape, "int8", layers=2)

        def contender():
            lines = output(
                installation.products / "context", model, "--lengths", "16,16384,65536", "--threads", threads)
            values = {}
            for line in lines.splitlines():
                length, first, token, _ = line.split("\t")
                values[f"first token s @{length}"] = [float(first)]
                values[f"token ms @{length}"] = [float(token)]
            return values

        return contender

    return {"hybrid": lambda: of("hqwen3-0.6b"), "dense": lambda: of("qwen3-0.6b")}


def whole_token(installation, threads):
    """A token of the whole 0.6B models at the start, to which the above adds what a context costs."""
    i = installation
    return {
        "hybrid": lambda: engines.ours(i, i.packed("hqwen3-0.6b", "int8"), ["tg64"], threads),
        "dense": lambda: engines.ours(i, i.packed("qwen3-0.6b", "int8"), ["tg64"], threads),
    }


def loading(installation, threads):
    """The 8B model mapped, as it is loaded by default, and its memory."""
    i = installation
    return {"Duality 8B mapped": lambda: engines.ours(
        i, i.packed("hqwen3-8b", "int8"), ["pp512", "tg8"], threads, repeats=1, resident=False)}


def product(installation, threads):
    """Products alone, ours beside oneDNN's: a program of its own alternates them."""

    def prepare():
        installation.packages("torch")
        return contender

    def contender():
        rows = output_json(
            installation.python, installation.scripts.parent / "onednn.py", "--json", "--rounds", 3, "--threads", threads)
        values = {}
        for row in rows:
            for key in ("ours", "oneDNN", "peak"):
                values[f"{row['outputs']}x{row['inputs']} {row['tokens']} {key}"] = row[key]
        return values

    return {"int8 products": prepare}


# In the order in which they are measured: name, function, rounds, minutes of the machine (about).
MEASUREMENTS = {
    "product": (product, 1, 3),
    "scan": (scan, 3, 1),
    "scan-length": (scan_length, 2, 1),
    "dense": (dense, 2, 4),
    "group32": (group32, 2, 2),
    "bf16": (bfloat16, 2, 2),
    "deep": (deep, 1, 6),
    "8b-prefill": (large_prefill, 2, 6),
    "8b-decode": (large_decode, 2, 4),
    "loading": (loading, 1, 1),
    "whole-token": (whole_token, 1, 1),
    "long-context": (long_context, 1, 6),
}
