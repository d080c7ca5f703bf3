"""Writes a GGUF file of random weights of one of our shapes, for timing only: it has no tokenizer.

    gguf_model.py OUT SHAPE Q8_0|BF16

Every matrix is a window into one pool of quantized random numbers: speed does not depend on the values, and quantizing 8 billion would take long.
"""
import sys

import gguf
import numpy as np
from gguf.quants import quantize

from shapes import SHAPES

FILE_TYPES = {"Q8_0": 7, "BF16": 32}


class Writer:
    """Tensors are announced first and written afterwards, as the format wants."""

    def __init__(self, path, architecture, format):
        self.writer = gguf.GGUFWriter(path, architecture)
        self.type = gguf.GGMLQuantizationType[format]
        self.random = np.random.default_rng(7)
        pool = quantize((self.random.standard_normal((2048, 4096)) * 0.02).astype(np.float32), self.type)
        self.pool = pool.reshape(-1).view(np.uint8)
        self.block, self.block_bytes = gguf.GGML_QUANT_SIZES[self.type]
        self.tensors = []

    def matrix(self, name, rows, columns):
        row_bytes = columns // self.block * self.block_bytes
        self.writer.add_tensor_info(name, (rows, row_bytes), np.dtype(np.uint8), rows * row_bytes, raw_dtype=self.type)
        self.tensors.append(rows * row_bytes)

    def vector(self, name, *shape, mean=1.0, deviation=0.0):
        values = (mean + deviation * self.random.standard_normal(shape)).astype(np.float32)
        self.writer.add_tensor_info(name, values.shape, values.dtype, values.nbytes)
        self.tensors.append(values)

    def write(self):
        self.writer.write_header_to_file()
        self.writer.write_kv_data_to_file()
        self.writer.write_ti_data_to_file()
        for tensor in self.tensors:
            self.writer.write_tensor_data(np.resize(self.pool, tensor) if isinstance(tensor, int) else tensor)
        self.writer.close()


def write_model(path, name, format):
    shape = SHAPES[name]
    mamba, hidden, layers = shape.get("mamba"), shape["hidden"], shape["layers"]
    is_mamba = [mamba is not None and layer % 2 == 1 for layer in range(layers)]
    out = Writer(path, "granitehybrid" if mamba else "qwen3", format)
    w = out.writer
    w.add_name(f"random-{name}")
    w.add_block_count(layers)
    w.add_context_length(40960)
    w.add_embedding_length(hidden)
    w.add_feed_forward_length(shape["ffn"])
    w.add_head_count(shape["heads"])
    w.add_head_count_kv([0 if m else shape["kv_heads"] for m in is_mamba] if mamba else shape["kv_heads"])
    w.add_vocab_size(shape["vocab"])
    w.add_key_length(shape["dim"])
    w.add_value_length(shape["dim"])
    w.add_rope_dimension_count(shape["dim"])
    w.add_layer_norm_rms_eps(1e-6)
    w.add_rope_freq_base(1e6)
    w.add_file_type(FILE_TYPES[format])
    w.add_tokenizer_model("none")
    if mamba:
        inner, state = mamba["heads"] * mamba["head_dim"], mamba["groups"] * mamba["state_dim"]
        w.add_ssm_conv_kernel(mamba["kernel"])
        w.add_ssm_inner_size(inner)
        w.add_ssm_state_size(mamba["state_dim"])
        w.add_ssm_time_step_rank(mamba["heads"])
        w.add_ssm_group_count(mamba["groups"])
    out.matrix("token_embd.weight", shape["vocab"], hidden)
    for layer in range(layers):
        prefix = f"blk.{layer}."
        out.vector(prefix + "attn_norm.weight", hidden)
        if is_mamba[layer]:
            convolved = inner + 2 * state
            out.matrix(prefix + "ssm_in.weight", inner + convolved + mamba["heads"], hidden)
            out.vector(prefix + "ssm_conv1d.weight", convolved, mamba["kernel"], mean=0, deviation=0.2)
            out.vector(prefix + "ssm_conv1d.bias", convolved, mean=0, deviation=0.1)
            out.vector(prefix + "ssm_dt.bias", mamba["heads"], mean=-4, deviation=0.5)
            out.vector(prefix + "ssm_a", mamba["heads"], 1, mean=-4, deviation=0.5)
            out.vector(prefix + "ssm_d", mamba["heads"], 1)
            out.vector(prefix + "ssm_norm.weight", mamba["groups"], inner // mamba["groups"])
            out.matrix(prefix + "ssm_out.weight", hidden, inner)
        else:
            query, shared = shape["heads"] * shape["dim"], shape["kv_heads"] * shape["dim"]
            out.matrix(prefix + "attn_q.weight", query, hidden)
            out.matrix(prefix + "attn_k.weight", shared, hidden)
            out.matrix(prefix + "attn_v.weight", shared, hidden)
            out.matrix(prefix + "attn_output.weight", hidden, query)
            if not mamba:
                out.vector(prefix + "attn_q_norm.weight", shape["dim"])
                out.vector(prefix + "attn_k_norm.weight", shape["dim"])
        out.vector(prefix + "ffn_norm.weight", hidden)
        out.matrix(prefix + "ffn_gate.weight", shape["ffn"], hidden)
        out.matrix(prefix + "ffn_up.weight", shape["ffn"], hidden)
        out.matrix(prefix + "ffn_down.weight", hidden, shape["ffn"])
    out.vector("output_norm.weight", hidden)
    if not shape["tied"]:
        out.matrix("output.weight", shape["vocab"], hidden)
    out.write()


if __name__ == "__main__":
    write_model(*sys.argv[1:4])
