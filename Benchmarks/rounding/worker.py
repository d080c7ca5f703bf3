"""Writes a checkpoint in float32 whose matrices went through a format and back.

    worker.py MODEL PACKED FORMAT OUT [--only NAME] [--ggml PROGRAM]

MODEL is the checkpoint and PACKED what `duality quantize` made of it: its matrices of the base format are those that are rounded, in whatever format.
FORMAT is `ours` (decoded as docs/formats.md says) or a type of ggml, which its own program rounds. Prints bits per weight, of ggml's as its
blocks have them and of ours with everything that lies beside the codes. Where a type's block does not divide a row, `running` blocks go on over
the end of rows: parts of 32 stay within one, and only what 256 numbers share is shared by two rows.
"""
import argparse
import json
import pathlib
import shutil
import subprocess

import numpy

ALPHABET = numpy.array([-127, -99, -78, -61, -47, -33, -21, -9, 3, 15, 27, 41, 55, 72, 92, 121], numpy.float32)
TYPES = {"F32": numpy.float32, "F64": numpy.float64, "F16": numpy.float16, "BF16": numpy.uint16, "U8": numpy.uint8, "U32": numpy.uint32,
         "I32": numpy.int32, "I64": numpy.int64}
PANEL = 32


def read(path):
    """The tensors of a safetensors file, bfloat16 widened."""
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    tensors = {}
    for name, entry in json.loads(data[8:8 + size]).items():
        if name == "__metadata__":
            continue
        begin, end = (8 + size + offset for offset in entry["data_offsets"])
        values = numpy.frombuffer(data[begin:end], TYPES[entry["dtype"]])
        if entry["dtype"] == "BF16":
            values = (values.astype(numpy.uint32) << 16).view(numpy.float32)
        tensors[name] = values.reshape(entry["shape"])
    return tensors


def write(path, tensors):
    header, offset, parts = {}, 0, []
    for name, values in tensors.items():
        parts.append(numpy.ascontiguousarray(values, numpy.float32).tobytes())
        header[name] = {"dtype": "F32", "shape": list(values.shape), "data_offsets": [offset, offset + len(parts[-1])]}
        offset += len(parts[-1])
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(parts))


def decoded(stored, name, format, rows, columns):
    """A matrix of a packed file, [rows, columns]."""
    bytes_, scales = stored[name], stored[f"{name}.scales"]
    group = int(format.split("/")[1])
    panels = bytes_.shape[0]
    if format.startswith("int4"):
        both = bytes_.reshape(panels, -1, 16, 4)
        codes = numpy.stack([both & 15, both >> 4], 1)  # [panels, halves, K'/4, 16, 4]
        values = ALPHABET[codes.transpose(0, 1, 3, 2, 4).reshape(panels, PANEL, -1)]
        table = scales.reshape(panels, -1, PANEL)
        row = numpy.ascontiguousarray(table[:, :4]).reshape(panels, -1).view(numpy.float32)  # [panels, 32]
        factors = table[:, 4:].view(numpy.int8).astype(numpy.float32) * row[:, None, :]
    else:
        values = (bytes_.reshape(panels, -1, 2, 16, 4).astype(numpy.float32) - 128).transpose(0, 2, 3, 1, 4).reshape(panels, PANEL, -1)
        factors = scales.reshape(panels, -1, PANEL)
    factors = factors.transpose(0, 2, 1).repeat(group, 2)[:, :, :values.shape[2]]
    return (values * factors).reshape(panels * PANEL, -1)[:rows, :columns]


def by_ggml(program, type, values):
    """Rounded by ggml, and the bytes of it; rows as they are where blocks of the type divide them, else run together as far as needed."""
    columns = values.shape[1]
    block = 256 if type.endswith(("_K", "_xs")) else 32
    together = numpy.lcm(columns, block)
    flat = numpy.ascontiguousarray(values, numpy.float32).ravel()
    padding = -flat.size % together
    done = subprocess.run(
        [program, type, str(together)], input=numpy.pad(flat, (0, padding)).tobytes(), capture_output=True, check=True)
    rounded = numpy.frombuffer(done.stdout, numpy.float32)[:flat.size].reshape(values.shape)
    return rounded, int(done.stderr) * flat.size / together


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("packed", type=pathlib.Path)
    parser.add_argument("format")
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--only", help="round only matrices with this in their name")
    parser.add_argument("--ggml", help="the program ggml_round")
    arguments = parser.parse_args()
    tensors = {name: values.astype(numpy.float32) for name, values in read(arguments.model / "model.safetensors").items()}
    report = json.loads((arguments.packed / "quantization.json").read_text())
    stored = read(arguments.packed / "model.packed.safetensors")
    bytes_, weights = 0, 0
    for matrix in report["matrices"]:
        name, format = matrix["name"], matrix["format"]
        if not format.startswith("int") or (arguments.only and arguments.only not in name):
            continue
        tensor = name.partition(".weight")[0] + ".weight"
        rows = tensors[tensor].shape[0]
        if name != tensor:  # in_proj, whose last rows are dt's
            rows -= tensors[tensor.replace("in_proj.weight", "dt_bias")].size
        values = tensors[tensor][:rows]
        if arguments.format == "ours":
            rounded, size = decoded(stored, name, format, *values.shape), matrix["bytes"]
        else:
            rounded, size = by_ggml(arguments.ggml, arguments.format, values)
        tensors[tensor] = numpy.concatenate([rounded, tensors[tensor][rows:]])
        bytes_, weights = bytes_ + size, weights + values.size
    arguments.out.mkdir(parents=True, exist_ok=True)
    for path in arguments.model.iterdir():
        if path.is_file() and path.suffix == ".json":
            shutil.copy(path, arguments.out)
    write(arguments.out / "model.safetensors", tensors)
    print(json.dumps({"bits_per_weight": 8 * bytes_ / weights, "weights": weights}))


if __name__ == "__main__":
    main()
