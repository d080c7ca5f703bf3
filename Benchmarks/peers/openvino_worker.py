"""A random Qwen3 in OpenVINO: written once, then timed.

    openvino_worker.py write DIR SHAPE LAYERS VOCABULARY GROUP
    openvino_worker.py time DIR THREADS REPEATS SETTING:TEST…        prints JSON, {"SETTING:TEST": [tokens per second]}

The model is exported by optimum-intel with int8 symmetric weights, one scale per row (nncf), or with a GROUP other than 0 in four bits, symmetric,
a scale for each group, embedding and head in int8 as it does by default; it keeps keys and values as state. SETTING is
PRECISION-GROUP-KV: the inference precision (f32, bf16), the group of the dynamic quantization of activations (0 for none) and the format of the cache
(u8, bf16, f32). TEST is ppN (a prompt of N tokens; the head computes the last row, as OpenVINO GenAI has it), or tgN@D (N tokens one
by one behind D others).
"""
import json
import shutil
import sys
import time

from shapes import SHAPES


def write(directory, name, layers, vocabulary, group):
    import torch
    from optimum.intel import OVModelForCausalLM, OVWeightQuantizationConfig
    from transformers import Qwen3Config, Qwen3ForCausalLM

    shape = SHAPES[name]
    configuration = Qwen3Config(
        hidden_size=shape["hidden"], num_hidden_layers=int(layers), num_attention_heads=shape["heads"],
        num_key_value_heads=shape["kv_heads"], head_dim=shape["dim"], intermediate_size=shape["ffn"],
        vocab_size=int(vocabulary), tie_word_embeddings=shape["tied"], max_position_embeddings=40960, rms_norm_eps=1e-6)
    torch.manual_seed(0)
    Qwen3ForCausalLM(configuration).eval().save_pretrained(directory + "-torch")
    model = OVModelForCausalLM.from_pretrained(
        directory + "-torch", export=True, compile=False,
        quantization_config=OVWeightQuantizationConfig(bits=4, sym=True, group_size=int(group), ratio=1.0) if int(group)
        else OVWeightQuantizationConfig(bits=8, sym=True))
    model.save_pretrained(directory)
    shutil.rmtree(directory + "-torch")


def load(directory, setting, threads):
    """The compiled model; its head computes the last position only."""
    import numpy as np
    import openvino
    import openvino.opset13 as ops

    core = openvino.Core()
    model = core.read_model(directory + "/openvino_model.xml")
    head = model.get_results()[0].input_value(0).get_node()
    while head.get_type_name() != "MatMul":
        head = head.input_value(0).get_node()
    last = ops.slice(head.input_value(0), *(ops.constant(np.array([n], np.int64)) for n in (-1, 2**62, 1, 1)))
    head.input(0).replace_source_output(last.output(0))
    model.validate_nodes_and_infer_types()
    precision, group, cache = setting.split("-")
    return core.compile_model(model, "CPU", {
        "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": precision, "DYNAMIC_QUANTIZATION_GROUP_SIZE": int(group),
        "KV_CACHE_PRECISION": cache})


def measure(directory, threads, repeats, tests):
    import numpy as np

    random, rates, compiled, loaded = np.random.default_rng(0), {}, None, None

    def inputs(count, past):
        feed = {"input_ids": random.integers(0, 2000, (1, count)).astype(np.int64),
                "attention_mask": np.ones((1, past + count), np.int64), "beam_idx": np.zeros(1, np.int32)}
        if "position_ids" in names:
            feed["position_ids"] = np.arange(past, past + count, dtype=np.int64)[None]
        return feed

    for key in tests:
        setting, test = key.split(":")
        if setting != loaded:
            compiled = None  # before the next is loaded: both would not fit
            compiled, loaded = load(directory, setting, threads), setting
        names = {port.get_any_name() for port in compiled.inputs}
        request = compiled.create_infer_request()
        if test.startswith("pp"):
            count = int(test[2:])
            feed = inputs(count, 0)
            rates[key] = []
            for repetition in range(repeats + 1):
                request.reset_state()
                start = time.perf_counter()
                request.infer(feed)
                if repetition > 0:
                    rates[key].append(count / (time.perf_counter() - start))
        else:
            count, past = (int(n) for n in (test[2:] + "@0").split("@")[:2])
            for first in range(0, past, 512):
                request.infer(inputs(min(512, past - first), first))
            for _ in range(4):
                request.infer(inputs(1, past))
                past += 1
            rates[key] = []
            for _ in range(repeats):
                start = time.perf_counter()
                for _ in range(count):
                    request.infer(inputs(1, past))
                    past += 1
                rates[key].append(count / (time.perf_counter() - start))
    print(json.dumps(rates))


if __name__ == "__main__":
    if sys.argv[1] == "write":
        write(*sys.argv[2:7])
    else:
        measure(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5:])
