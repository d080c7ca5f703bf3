"""Is my SSD kernel right?

State space duality, the operator of Mamba-2, computed by an oracle in float64, with bounds on what a correct kernel of any
precision may be off by::

    import duality_ssd

    exact = duality_ssd.ssd(x, dt, A, B, C, D=D, dt_bias=dt_bias)
    sizes = duality_ssd.bound(x, dt, A, B, C, D=D, dt_bias=dt_bias, precision="mamba_ssm")
    worst = (abs(y - exact.y) / sizes.sigma.y).max()     # a few, when the kernel is right

Arrays may be NumPy arrays, torch CPU tensors, JAX arrays on the CPU or anything else with DLPack or ``__array__``, of any
real format (bfloat16 and float8 included) and any strides. They are read where they lie.
"""

from ._arrays import Array
from ._errors import InputError
from ._library import library_path
from ._operator import Bound, ErrorSizes, SSDGradients, SSDResult, bound, ssd

__version__ = "0.1.0"

__all__ = [
    "Array",
    "Bound",
    "ErrorSizes",
    "InputError",
    "SSDGradients",
    "SSDResult",
    "bound",
    "library_path",
    "ssd",
]
