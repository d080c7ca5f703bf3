"""Writes a GGUF file of random weights of one of our shapes, for timing only: its words are the numbers of the tokens.

    gguf_model.py OUT SHAPE Q8_0|BF16|Q4_0|Q4_K_M|IQ4_XS|IQ4_KS POOL

Every matrix repeats some rows of quantized random numbers, which the program POOL (`ggml_pool.c`) writes: speed does not depend on the values,
and quantizing 8 billion would take long.
"""
import functools
import subprocess
import sys

import gguf
import numpy as np

from shapes import shape_of

# Numbers that files give the formats; ik_llama.cpp's own are above 100.
FILE_TYPES = {"Q8_0": 7, "BF16": 32, "Q4_0": 2, "Q4_K_M": 15, "IQ4_XS": 30, "IQ4_KS": 137}
POOL_ROWS = 512


def tensor_type(format, name, layers, shares):
    """ggml's name of a matrix's type, as llama.cpp chooses it without statistics. Formats of four bits keep the head in six, Q4_K_M also the
    values' and the last products of the first and last eighth of the layers and of every third between; IQ4_XS has five bits for the values
    where at least four heads share them, and for the first last products."""
    if format in ("Q8_0", "BF16"):
        return format.lower()
    if name in ("output.weight", "token_embd.weight"):
        return "q6_K"
    layer, eighth = int(name.split(".")[1]), layers // 8
    is_value, is_last = name.endswith("attn_v.weight"), name.endswith("ffn_down.weight")
    if format == "Q4_K_M" and (is_value or is_last) and (layer < eighth or layer >= 7 * layers // 8 or (layer - eighth) % 3 == 2):
        return "q6_K"
    if format == "IQ4_XS" and (is_value and shares >= 4 or is_last and layer < eighth):
        return "q5_K"
    return {"Q4_0": "q4_0", "Q4_K_M": "q4_K", "IQ4_XS": "iq4_xs", "IQ4_KS": "iq4_ks"}[format]


class Writer:
    """Tensors are announced first and written afterwards, as the format wants."""

    def __init__(self, path, architecture, format, program, shape):
        self.writer = gguf.GGUFWriter(path, architecture)
        self.format, self.program, self.shape = format, program, shape
        self.random = np.random.default_rng(7)
        self.tensors = []

    @functools.lru_cache(maxsize=None)
    def pool(self, type, columns):
        """The type's number and POOL_ROWS rows in it: `[rows, bytes of a row]`."""
        stored = subprocess.run([self.program, type, str(POOL_ROWS), str(columns)], capture_output=True, check=True).stdout
        line, rows = stored.split(b"\n", 1)
        number, row_bytes = map(int, line.split())
        return number, np.frombuffer(rows, np.uint8).reshape(POOL_ROWS, row_bytes)

    def matrix(self, name, rows, columns):
        # An embedding that is no head is only looked up, and has the type of the rest.
        stands_for = "blk.0." + name if name == "token_embd.weight" and not self.shape["tied"] else name
        shares = self.shape["heads"] // self.shape["kv_heads"]
        number, pool = self.pool(tensor_type(self.format, stands_for, self.shape["layers"], shares), columns)
        # A shape in numbers, whatever their type: the library knows not every engine's types.
        self.writer.add_tensor_info(name, (rows, columns), np.dtype(np.int8), rows * pool.shape[1], raw_dtype=number)
        self.tensors.append((pool, rows))

    def vector(self, name, *shape, mean=1.0, deviation=0.0):
        values = (mean + deviation * self.random.standard_normal(shape)).astype(np.float32)
        self.writer.add_tensor_info(name, values.shape, values.dtype, values.nbytes)
        self.tensors.append(values)

    def write(self):
        self.writer.write_header_to_file()
        self.writer.write_kv_data_to_file()
        self.writer.write_ti_data_to_file()
        for tensor in self.tensors:
            if isinstance(tensor, tuple):
                pool, rows = tensor
                tensor = np.resize(pool, (rows, pool.shape[1]))
            self.writer.write_tensor_data(tensor)
        self.writer.close()


def add_words(writer, count):
    """A vocabulary that tokenizes anything and means nothing: a server wants one."""
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    letters = [chr(c) for c in range(33, 127)]
    writer.add_token_list(letters + [f"<{n}>" for n in range(len(letters), count)])
    writer.add_token_types([gguf.TokenType.NORMAL] * count)
    writer.add_token_merges(["a b"])
    writer.add_eos_token_id(count - 1)


def write_model(path, name, format, program):
    shape = shape_of(name)
    mamba, hidden, layers = shape.get("mamba"), shape["hidden"], shape["layers"]
    is_mamba = [mamba is not None and layer % 2 == 1 for layer in range(layers)]
    out = Writer(path, "granitehybrid" if mamba else "qwen3", format, program, shape)
    w = out.writer
    w.add_name("random-" + name.replace("/", "-"))
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
    add_words(w, shape["vocab"])
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
    write_model(*sys.argv[1:5])
