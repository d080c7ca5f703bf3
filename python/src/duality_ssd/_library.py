"""The library behind the package: finding it, calling it, and what it returns. Mirrors ``duality_ssd.h``."""

from __future__ import annotations

import ctypes
import json
import os
import sys
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterable, List, Mapping, Optional

import numpy as np
from numpy.typing import NDArray

from ._arrays import Argument
from ._errors import InputError

ABI_VERSION = 1


class _Tensor(ctypes.Structure):
    """``duality_tensor``."""

    _fields_ = [
        ("name", ctypes.c_char_p),
        ("dtype", ctypes.c_char_p),
        ("data", ctypes.c_void_p),
        ("rank", ctypes.c_int64),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
    ]


class _Case(ctypes.Structure):
    """``duality_case``."""

    _fields_ = [
        ("name", ctypes.c_char_p),
        ("options", ctypes.c_char_p),
        ("inputs", ctypes.POINTER(_Tensor)),
        ("input_count", ctypes.c_int64),
        ("outputs", ctypes.POINTER(_Tensor)),
        ("output_count", ctypes.c_int64),
    ]


def library_path() -> Path:
    """The library in use: the one in the package, or the one that ``DUALITY_LIBRARY`` in the environment names."""
    given = os.environ.get("DUALITY_LIBRARY")
    if given:
        return Path(given)
    return Path(__file__).parent / ("libduality_ssd.dylib" if sys.platform == "darwin" else "libduality_ssd.so")


def _load() -> ctypes.CDLL:
    path = library_path()
    if not path.is_file():
        raise ImportError(
            f"duality_ssd: no library at {path}. Build it with `pip install ./python` in a checkout of Duality, "
            "or set DUALITY_LIBRARY to where it is."
        )
    library = ctypes.CDLL(str(path))
    library.duality_abi_version.restype = ctypes.c_int32
    found = library.duality_abi_version()
    if found != ABI_VERSION:
        raise ImportError(f"duality_ssd: {path} has ABI version {found}, this package needs {ABI_VERSION}.")
    tensors, result, text = ctypes.POINTER(_Tensor), ctypes.c_void_p, ctypes.c_char_p
    for name, restype, argtypes in [
        ("duality_ssd", result, [tensors, ctypes.c_int64, text]),
        ("duality_bound", result, [tensors, ctypes.c_int64, text]),
        ("duality_verify", result, [ctypes.POINTER(_Case), ctypes.c_int64, text]),
        ("duality_vectors", result, [text]),
        ("duality_status", ctypes.c_int32, [result]),
        ("duality_text", text, [result, text]),
        ("duality_count", ctypes.c_int64, [result]),
        ("duality_tensor_at", ctypes.c_int32, [result, ctypes.c_int64, tensors]),
        ("duality_free", None, [result]),
    ]:
        function = getattr(library, name)
        function.restype, function.argtypes = restype, argtypes
    return library


_library = _load()

_DTYPES: Dict[bytes, str] = {
    b"F64": "<f8", b"F32": "<f4", b"I64": "<i8", b"I32": "<i4", b"I8": "|i1", b"BF16": "<u2", b"F16": "<f2",
}  # fmt: skip


class Result:
    """``duality_result``: named arrays and texts. The arrays are views of its memory and keep it alive."""

    def __init__(self, handle: int) -> None:
        self._handle = handle
        # Not at exit: arrays that are still in use then would lose their memory under them.
        weakref.finalize(self, _library.duality_free, handle).atexit = False
        if _library.duality_status(handle) != 0:
            raise InputError(**json.loads(self.text("json") or "{}"))

    def text(self, name: str) -> Optional[str]:
        """A text of the result; None when it has none of that name."""
        text = _library.duality_text(self._handle, name.encode())
        return None if text is None else text.decode()

    def arrays(self) -> Dict[str, NDArray[Any]]:
        """All tensors by name."""
        arrays: Dict[str, NDArray[Any]] = {}
        tensor = _Tensor()
        for i in range(_library.duality_count(self._handle)):
            _library.duality_tensor_at(self._handle, i, ctypes.byref(tensor))
            array = np.asarray(_View(self, tensor))
            arrays[tensor.name.decode()] = array.view(_bfloat16()) if tensor.dtype == b"BF16" else array
        return arrays


def _bfloat16() -> Any:
    """The format that NumPy does not have."""
    try:
        import ml_dtypes
    except ImportError as error:
        raise ImportError("duality_ssd: bfloat16 arrays need ml_dtypes: pip install ml_dtypes") from error
    return ml_dtypes.bfloat16


class _View:
    """One tensor of a result, as NumPy wants to see it."""

    def __init__(self, owner: Result, tensor: _Tensor) -> None:
        self._owner = owner
        self.__array_interface__ = {
            "version": 3,
            "data": (tensor.data, False),
            "typestr": _DTYPES[tensor.dtype],
            "shape": tuple(tensor.shape[axis] for axis in range(tensor.rank)),
            "strides": None,
        }


class _Tensors:
    """``duality_tensor`` structures of some arguments, and everything they point to."""

    def __init__(self, arguments: Iterable[Argument]) -> None:
        self.arguments = list(arguments)
        self.structures = (_Tensor * max(len(self.arguments), 1))()
        self._alive = []
        for structure, argument in zip(self.structures, self.arguments):
            axes = ctypes.c_int64 * max(len(argument.shape), 1)
            shape, strides = axes(*argument.shape), axes(*argument.strides)
            self._alive += [shape, strides]
            structure.name, structure.dtype = argument.name.encode(), argument.dtype.encode()
            structure.data, structure.rank = argument.address, len(argument.shape)
            structure.shape = ctypes.cast(shape, ctypes.POINTER(ctypes.c_int64))
            structure.strides = ctypes.cast(strides, ctypes.POINTER(ctypes.c_int64))


def _json(options: Mapping[str, Any]) -> bytes:
    return json.dumps({key: value for key, value in options.items() if value is not None}).encode()


def call(function: str, arguments: Iterable[Argument], options: Mapping[str, Any]) -> Result:
    """Calls a function of the library that takes operands and options. Other threads run meanwhile."""
    tensors = _Tensors(arguments)
    return Result(getattr(_library, function)(tensors.structures, len(tensors.arguments), _json(options)))


@dataclass(frozen=True)
class Call:
    """A call of a kernel: its options, its inputs, and what came out."""

    name: str
    options: Mapping[str, Any]
    inputs: List[Argument]
    #: None where the kernel does not do this call.
    outputs: Optional[List[Argument]]


def judge(calls: Iterable[Call], options: Mapping[str, Any]) -> Result:
    """The report on some calls, as texts."""
    judged = list(calls)
    cases = (_Case * max(len(judged), 1))()
    alive = []
    for case, item in zip(cases, judged):
        inputs = _Tensors(item.inputs)
        alive.append(inputs)
        case.name, case.options = item.name.encode(), _json(item.options)
        case.inputs, case.input_count = inputs.structures, len(item.inputs)
        if item.outputs is not None:
            outputs = _Tensors(item.outputs)
            alive.append(outputs)
            case.outputs, case.output_count = outputs.structures, len(item.outputs)
    return Result(_library.duality_verify(cases, len(judged), _json(options)))


def list_vectors(options: Mapping[str, Any]) -> Result:
    """The cases of a suite, and the operands of those that are asked for."""
    return Result(_library.duality_vectors(_json(options)))
