"""Arrays of every kind are read where they lie, and as what they are."""

import ml_dtypes
import numpy as np
import pytest

import duality_ssd
from duality_ssd._arrays import argument


def same(call, changed):
    np.testing.assert_array_equal(duality_ssd.ssd(**{**call, **changed}).y, duality_ssd.ssd(**call).y)


@pytest.mark.parametrize(
    "view",
    [
        lambda x: np.asfortranarray(x),
        lambda x: np.ascontiguousarray(x[:, ::-1])[:, ::-1],
        lambda x: np.repeat(x, 3, axis=3)[..., ::3],
        lambda x: np.ascontiguousarray(x.transpose(3, 1, 0, 2)).transpose(2, 1, 3, 0),
        lambda x: x.astype(x.dtype.newbyteorder()),
        lambda x: x.tolist(),
    ],
    ids=["fortran", "backwards", "every third", "transposed", "other byte order", "lists"],
)
def test_layout_does_not_matter(call, view):
    same(call, {name: view(call[name]) for name in ("x", "B", "C", "z")})


def test_a_stride_of_zero_repeats(call):
    call["dt"] = np.broadcast_to(call["dt"][:, :1, :1], call["dt"].shape)
    same(call, {"dt": np.array(call["dt"])})


@pytest.mark.parametrize(
    "dtype", [np.float16, ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2, np.int8, np.int64, np.uint16]
)
def test_every_format_is_read_exactly(call, dtype):
    narrow = (10 * abs(call["x"])).astype(dtype)
    call["x"] = narrow.astype(np.float64)
    same(call, {"x": narrow})


def test_nothing_is_copied(call):
    for array in (call["x"], call["x"][:, ::-2], call["x"].transpose(1, 0, 2, 3)):
        array.flags.writeable = False
        found = argument("x", array)
        assert (found.address, found.shape, found.strides) == (array.ctypes.data, array.shape, array.strides)


class ThroughDLPack:
    """An array that can be seen through DLPack alone."""

    def __init__(self, array, device=1):
        self.array, self.device = array, device

    def __dlpack__(self):
        return self.array.__dlpack__()

    def __dlpack_device__(self):
        return (self.device, 0)


def test_dlpack_is_understood(call):
    for array in (call["x"], call["x"][:, ::-2], call["x"][0, 0]):
        found = argument("x", ThroughDLPack(array))
        assert (found.address, found.shape, found.strides) == (array.ctypes.data, array.shape, array.strides)
    same(call, {name: ThroughDLPack(array) for name, array in call.items()})
    same(call, {"x": ThroughDLPack(call["x"].astype(np.float64))})


def test_memory_of_a_gpu_is_refused(call):
    call["x"] = ThroughDLPack(call["x"], device=2)
    with pytest.raises(duality_ssd.InputError, match="x: expected an array in the memory of the CPU.*cpu()") as error:
        duality_ssd.ssd(**call)
    assert error.value.kind == "unsupported"


def test_numbers_that_are_not_real_are_refused(call):
    for array in (call["x"].astype(complex), ThroughDLPack(call["x"].astype(complex)), call["x"].astype(str)):
        with pytest.raises(duality_ssd.InputError, match="x: expected real numbers") as error:
            duality_ssd.ssd(**{**call, "x": array})
        assert error.value.kind == "dtype"


def test_torch_tensors(call):
    torch = pytest.importorskip("torch", reason="torch is not installed; duality_ssd does not need it")
    tensors = {name: torch.from_numpy(array) for name, array in call.items()}
    same(call, tensors)
    assert argument("x", tensors["x"]).address == tensors["x"].data_ptr()
    same(call, {"x": tensors["x"].clone().requires_grad_()})
    same(call, {"x": tensors["x"].permute(3, 1, 0, 2).contiguous().permute(2, 1, 3, 0)})
    for dtype in (torch.bfloat16, torch.float16):
        narrow = tensors["x"].to(dtype)
        same({**call, "x": narrow.double().numpy()}, {"x": narrow})
