"""What is measured, and beside whom.

Every function takes an `Installation` and a number of threads and gives {contender: preparation}. A preparation installs, builds and writes what the
contender needs and gives the function for `alternate`; it is called for those contenders only that are measured. All contenders of one measurement
name the same tests. `report` reads the medians and holds them against the bars.
"""
import json

import engines
from shapes import SHAPES, layer_weights, shape_of, weights
from timing import output, output_json

OPENVINO_SETTINGS = ["bf16-128-u8", "bf16-32-u8", "f32-128-u8", "f32-32-u8"]
# Layers of the 8B shape that OpenVINO's export fits in memory beside everything else; times are scaled to 36.
OPENVINO_LAYERS, OPENVINO_VOCABULARY = 4, 2048
# The shapes called 8B; `--layers` has fewer of their layers, for a machine without the memory or the disk.
LARGE = {"ours": "hqwen3-8b", "theirs": "qwen3-8b"}


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


# ik_llama.cpp's own format of four bits, and all its formats with rows interleaved at loading.
IK_FORMATS = {"IQ4_KS": False, "IQ4_KS, repacked": True, "Q4_0, repacked": True}


def four_bits(i, threads, shape, tests):
    """Everybody's four bits on one shape, and our int8."""
    whole = shape_of(shape)

    def with_bits(run, *files):
        """Adds bits per weight, by the files' sizes."""
        bits = 8 * sum(file.stat().st_size for file in files) / weights(whole)
        return lambda: run() | {"bits per weight": [bits]}

    def packed(precision):
        folder = i.packed(shape, precision)
        return with_bits(engines.ours(i, folder, tests, threads), *folder.glob("*.safetensors"))

    def file(engine, format, repack=False):
        path = i.gguf(shape, format)
        return with_bits(engines.llama(i, engine, path, tests, threads, repeats=2, repack=repack), path)

    def openvino(group):
        folder = i.openvino(shape, whole["layers"], whole["vocab"], group)
        return with_bits(engines.openvino(i, folder, "bf16-128-u8", tests, threads), folder / "openvino_model.bin")

    contenders = {"Duality int4": lambda: packed("int4"), "Duality int8": lambda: packed("int8")}
    for format in ("Q4_K_M", "Q4_0", "IQ4_XS"):
        contenders[f"llama.cpp {format}"] = lambda format=format: file("llama.cpp", format)
    for name, repack in IK_FORMATS.items():
        contenders[f"ik_llama.cpp {name}"] = lambda name=name, repack=repack: file("ik_llama.cpp", name.split(",")[0], repack)
    for group in (64, 128):
        if shape == "qwen3-0.6b":
            contenders[f"OpenVINO INT4 group {group}"] = lambda group=group: openvino(group)
        else:
            contenders |= openvino_large(i, threads, tests, ("bf16-128-u8",), group, shape)
    return contenders


def small_four_bits(i, threads):
    """0.6B in four bits."""
    return four_bits(i, threads, "qwen3-0.6b", ["pp512", "tg64"])


def large_four_bits(i, threads):
    """8B in four bits, 8 of its layers."""
    return four_bits(i, threads, "qwen3-8b/8", ["pp512", "tg16"])


def whole_four_bits(i, threads):
    """8B in four bits, whole and mapped."""
    return {"Duality int4": lambda: engines.ours(i, i.packed("qwen3-8b", "int4"), ["tg16"], threads, resident=False)}


def serving(i, threads):
    """Streams over HTTP, dense 0.6B: servers of llama.cpp and vLLM."""

    def vllm():
        folder = i.work / "vllm-shape"
        folder.mkdir(exist_ok=True)
        shape = SHAPES["qwen3-0.6b"]
        (folder / "config.json").write_text(json.dumps({
            "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "hidden_size": shape["hidden"], "num_hidden_layers": shape["layers"],
            "num_attention_heads": shape["heads"], "num_key_value_heads": shape["kv_heads"], "head_dim": shape["dim"], "intermediate_size": shape["ffn"],
            "vocab_size": shape["vocab"], "tie_word_embeddings": True, "rms_norm_eps": 1e-6, "rope_theta": 1e6, "max_position_embeddings": 40960,
            "hidden_act": "silu", "torch_dtype": "bfloat16", "bos_token_id": 0, "eos_token_id": 1}))
        return engines.serving(i, "vllm", i.vllm_python(), folder, threads)

    def ours(precision):
        return engines.serving(i, "duality", i.server, i.served("qwen3-0.6b", precision.removesuffix("-dot")), threads, precision)

    return {
        "Duality bf16": lambda: ours("bf16"), "Duality bf16-dot": lambda: ours("bf16-dot"), "Duality int8": lambda: ours("int8"),
        "llama-server BF16": lambda: engines.serving(i, "llama-server", i.llama_server(), i.gguf("qwen3-0.6b", "BF16"), threads),
        "llama-server Q8_0": lambda: engines.serving(i, "llama-server", i.llama_server(), i.gguf("qwen3-0.6b", "Q8_0"), threads),
        "vLLM bf16": vllm,
    }


def chat(i, threads):
    """Turns of a chat over HTTP, hybrid of the 0.6B widths in eight bits; and eight streams of it."""
    def both(kind, program, model, precision):
        turns, streams = (engines.serving(i, kind, program, model, threads, precision, tests, repeats=2) for tests in (("chat",), ("1", "8")))
        return lambda: turns() | streams()

    return {
        "Duality int8": lambda: both("duality", i.server, i.served("hqwen3-0.6b", "int8"), "int8"),
        "llama-server Q8_0": lambda: both("llama-server", i.llama_server(), i.gguf("hqwen3-0.6b", "Q8_0"), "int8"),
    }


def large_prefill(i, threads):
    """8B, int8, a prompt. llama.cpp takes a minute for it: one repeat a round."""
    return {
        "Duality int8": lambda: engines.ours(i, i.packed(LARGE["ours"], "int8"), ["pp512"], threads),
        "llama.cpp Q8_0": lambda: engines.llama(
            i, "llama.cpp", i.gguf(LARGE["theirs"], "Q8_0"), ["pp512"], threads, repeats=1),
        "ik_llama.cpp Q8_KV_R8": lambda: engines.llama(
            i, "ik_llama.cpp", i.gguf(LARGE["theirs"], "Q8_KV_R8"), ["pp512"], threads, repeats=1),
    } | openvino_large(i, threads, ["pp512"])


def large_decode(i, threads):
    """8B, int8, generation."""
    return {
        "Duality int8": lambda: engines.ours(i, i.packed(LARGE["ours"], "int8"), ["tg16"], threads),
        "llama.cpp Q8_0": lambda: engines.llama(
            i, "llama.cpp", i.gguf(LARGE["theirs"], "Q8_0"), ["tg16"], threads, repeats=2),
        "ik_llama.cpp Q8_KV_R8": lambda: engines.llama(
            i, "ik_llama.cpp", i.gguf(LARGE["theirs"], "Q8_KV_R8"), ["tg16"], threads, repeats=2),
    } | openvino_large(i, threads, ["tg16"])


def openvino_large(i, threads, tests, settings=tuple(OPENVINO_SETTINGS[:3]), group=0, shape=None):
    """Some layers of the 8B shape, scaled: a prompt by its layers, a token by the bytes of its weights (a head is in int8 where layers have four bits)."""
    shape = shape_of(shape or LARGE["theirs"])
    head_bits, layer_bits = 8, 4 + 16 / group if group else 8

    def bytes_per_token(layers, vocabulary):
        return layers * layer_weights(shape) * layer_bits + vocabulary * shape["hidden"] * head_bits

    few, whole = bytes_per_token(OPENVINO_LAYERS, OPENVINO_VOCABULARY), bytes_per_token(shape["layers"], shape["vocab"])

    def scaled(setting):
        run = engines.openvino(
            i, i.openvino("qwen3-8b", OPENVINO_LAYERS, OPENVINO_VOCABULARY, group), setting, tests, threads)

        def contender():
            factors = {"pp": OPENVINO_LAYERS / shape["layers"], "tg": few / whole}
            bits = {"bits per weight": [whole / weights(shape | {"tied": True})]} if group else {}
            return {test: [rate * factors[test[:2]] for rate in rates] for test, rates in run().items()} | bits

        return contender

    name = f"OpenVINO INT4 group {group}, " if group else "OpenVINO "
    return {f"{name}{setting} (from {OPENVINO_LAYERS} layers)": lambda setting=setting: scaled(setting) for setting in settings}


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
        model = installation.packed(f"{shape}/2", "int8")

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
    "int4": (small_four_bits, 2, 5),
    "8b-int4": (large_four_bits, 2, 8),
    "8b-int4-whole": (whole_four_bits, 1, 1),
    "serving": (serving, 2, 8),
    "chat": (chat, 2, 4),
    "8b-prefill": (large_prefill, 2, 6),
    "8b-decode": (large_decode, 2, 4),
    "loading": (loading, 1, 1),
    "whole-token": (whole_token, 1, 1),
    "long-context": (long_context, 1, 6),
}
