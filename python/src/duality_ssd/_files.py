"""Tensors in safetensors files, with NumPy alone (bfloat16 with ml_dtypes)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, Mapping, Tuple

import numpy as np
from numpy.typing import NDArray

from ._errors import InputError

_FORMATS = {
    "F64": "float64", "F32": "float32", "F16": "float16", "I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8",
    "U8": "uint8", "BF16": "bfloat16",
}  # fmt: skip


def _dtype(name: str, place: str) -> Any:
    if name not in _FORMATS:
        raise InputError("dtype", place, f"one of {', '.join(_FORMATS)}", name)
    if name == "BF16":
        import ml_dtypes

        return np.dtype(ml_dtypes.bfloat16)
    return np.dtype(_FORMATS[name])


def read(path: Path) -> Tuple[Dict[str, NDArray[Any]], Dict[str, str]]:
    """The tensors of a file by name, and its string table.

    Raises:
        InputError: where the file is none, or ends before its tensors do.
    """
    raw = path.read_bytes()
    start = 8 + int.from_bytes(raw[:8], "little")
    try:
        if len(raw) < 8 or start > len(raw):
            raise ValueError
        header = json.loads(raw[8:start])
        table = {str(key): str(value) for key, value in header.pop("__metadata__", {}).items()}
        tensors = {}
        for name, entry in header.items():
            dtype, shape = _dtype(entry["dtype"], f"{path}: {name}"), [int(n) for n in entry["shape"]]
            first, last = (start + int(offset) for offset in entry["data_offsets"])
            count = int(np.prod(shape, dtype=object)) if shape else 1
            if not start <= first <= last <= len(raw) or last - first != count * dtype.itemsize or min(shape, default=1) < 0:
                raise ValueError
            tensors[name] = np.frombuffer(raw, dtype, count, first).reshape(shape)
    except (ValueError, KeyError, TypeError, AttributeError, UnicodeDecodeError):
        raise InputError("malformed", str(path), "a safetensors file", "something else, or a part of one") from None
    return tensors, table


def write(path: Path, tensors: Mapping[str, NDArray[Any]], table: Mapping[str, str]) -> None:
    """Writes tensors and a string table; an older file of the name is replaced."""
    names = {value: key for key, value in _FORMATS.items()}
    header: Dict[str, Any] = {"__metadata__": dict(table)} if table else {}
    offset, parts = 0, []
    for name, tensor in tensors.items():
        array = np.ascontiguousarray(tensor)
        header[name] = {
            "dtype": names[array.dtype.name],
            "shape": list(array.shape),
            "data_offsets": [offset, offset + array.nbytes],
        }
        offset += array.nbytes
        parts.append(array.tobytes())
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(parts))
