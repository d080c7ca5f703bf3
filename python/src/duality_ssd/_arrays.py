"""Arrays of any library as addresses, shapes and strides, without copying them.

NumPy arrays are taken as they are. Everything else that speaks DLPack (torch, JAX, CuPy, MLX, …) is asked for its memory that
way, which knows bfloat16 and float8; the rest goes through ``numpy.asarray``, that is, through ``__array__``.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any, Optional, Protocol, Tuple, Union

import numpy as np
from numpy.typing import ArrayLike

from ._errors import InputError


class SupportsDLPack(Protocol):
    """An array that another library can look at through DLPack."""

    def __dlpack__(self) -> Any: ...

    def __dlpack_device__(self) -> Tuple[int, int]: ...


#: What is taken for an array.
Array = Union[ArrayLike, SupportsDLPack]


@dataclass(frozen=True)
class Argument:
    """A named array in memory that `owner` keeps alive. Strides are in bytes."""

    name: str
    dtype: str
    address: int
    shape: Tuple[int, ...]
    strides: Tuple[int, ...]
    owner: Any


# Names of NumPy's formats and those that ml_dtypes adds to them, and the names of the same in the library.
_NUMPY = {
    "float64": "F64",
    "float32": "F32",
    "float16": "F16",
    "bfloat16": "BF16",
    "float8_e4m3fn": "F8_E4M3",
    "float8_e5m2": "F8_E5M2",
    "float8_e4m3fnuz": "F8_E4M3FNUZ",
    "float8_e5m2fnuz": "F8_E5M2FNUZ",
    "bool": "BOOL",
    **{f"int{bits}": f"I{bits}" for bits in (8, 16, 32, 64)},
    **{f"uint{bits}": f"U{bits}" for bits in (8, 16, 32, 64)},
}

_REAL = "real numbers: float64, float32, float16, bfloat16, float8 or integers"

# (code, bits) of DLPack's formats; dlpack.h, DLDataTypeCode.
_DLPACK = {
    **{(0, bits): f"I{bits}" for bits in (8, 16, 32, 64)},
    **{(1, bits): f"U{bits}" for bits in (8, 16, 32, 64)},
    **{(2, bits): f"F{bits}" for bits in (16, 32, 64)},
    (4, 16): "BF16",
    (6, 8): "BOOL",
    (10, 8): "F8_E4M3",
    (11, 8): "F8_E4M3FNUZ",
    (12, 8): "F8_E5M2",
    (13, 8): "F8_E5M2FNUZ",
}


def argument(name: str, array: Array) -> Argument:
    """The memory of an array.

    Raises:
        InputError: (kind "dtype") for a format that holds no real numbers, ("unsupported") for an array that is not in the
            memory of the CPU.
    """
    if not isinstance(array, (np.ndarray, np.generic)) and hasattr(array, "__dlpack__"):
        found = _from_dlpack(name, array)
        if found is not None:
            return found
    return _from_numpy(name, np.asarray(array))


def _from_numpy(name: str, array: np.ndarray[Any, Any]) -> Argument:
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    dtype = _NUMPY.get(array.dtype.name)
    if dtype is None:
        raise InputError("dtype", name, _REAL, array.dtype.name)
    return Argument(name, dtype, array.ctypes.data, array.shape, array.strides, array)


class _DLTensor(ctypes.Structure):
    """``DLTensor`` of dlpack.h, with which ``DLManagedTensor`` begins."""

    _fields_ = [
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    ]


_capsule_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_capsule_pointer.restype = ctypes.c_void_p
_capsule_pointer.argtypes = [ctypes.py_object, ctypes.c_char_p]


def _from_dlpack(name: str, array: Any) -> Optional[Argument]:
    """The memory of an array that speaks DLPack; None when it will not show it that way."""
    device = array.__dlpack_device__()
    if int(device[0]) != 1:
        raise InputError(
            "unsupported",
            name,
            "an array in the memory of the CPU",
            f"one on DLPack device {int(device[0])}",
            "Copy it there first: .cpu() in torch, jax.device_get in JAX.",
        )
    if getattr(array, "requires_grad", False):
        array = array.detach()
    try:
        # Left unconsumed: the capsule gives the memory back when it goes, after the call.
        capsule = array.__dlpack__()
    except (BufferError, TypeError):
        if hasattr(array, "__array__"):
            return None
        raise
    tensor = ctypes.cast(_capsule_pointer(capsule, b"dltensor"), ctypes.POINTER(_DLTensor)).contents
    dtype = _DLPACK.get((tensor.code, tensor.bits)) if tensor.lanes == 1 else None
    if dtype is None:
        found = getattr(array, "dtype", f"DLPack type {tensor.code} of {tensor.bits} bits")
        raise InputError("dtype", name, _REAL, str(found))
    shape = tuple(tensor.shape[axis] for axis in range(tensor.ndim))
    size = tensor.bits // 8
    if tensor.strides:
        strides = tuple(tensor.strides[axis] * size for axis in range(tensor.ndim))
    else:
        strides = tuple(size * int(np.prod(shape[axis + 1 :], dtype=np.int64)) for axis in range(tensor.ndim))
    return Argument(name, dtype, (tensor.data or 0) + tensor.byte_offset, shape, strides, capsule)
