"""Is my SSD kernel right?

State space duality, the operator of Mamba-2, computed by an oracle in float64, with bounds on what a correct kernel of any
precision may be off by, and a diagnosis that names what is wrong with an incorrect one. In a test::

    from duality_ssd import assert_ssd_close, vectors

    @pytest.mark.parametrize("case", vectors("smoke", kinds=["scan"]), ids=str)
    def test_my_kernel(case):
        y, final_states = my_kernel(**case.inputs, chunk_size=case.chunk_size)
        assert_ssd_close((y, final_states), case)

Outside of tests, ``verify`` and ``verify_kernel`` give a :class:`Report`, and ``ssd`` and ``bound`` the numbers themselves.

Arrays may be NumPy arrays, torch CPU tensors, JAX arrays on the CPU or anything else with DLPack or ``__array__``, of any
real format (bfloat16 and float8 included) and any strides. They are read where they lie.
"""

from ._arrays import Array
from ._errors import InputError
from ._library import library_path
from ._operator import Bound, ErrorSizes, SSDGradients, SSDResult, bound, ssd
from ._vectors import Case, Fault, faults, vectors
from ._verify import Outputs, Report, assert_close, assert_ssd_close, verify, verify_kernel

__version__ = "0.1.0"

__all__ = [
    "Array",
    "Bound",
    "Case",
    "ErrorSizes",
    "Fault",
    "InputError",
    "Outputs",
    "Report",
    "SSDGradients",
    "SSDResult",
    "assert_close",
    "assert_ssd_close",
    "bound",
    "faults",
    "library_path",
    "ssd",
    "vectors",
    "verify",
    "verify_kernel",
]
