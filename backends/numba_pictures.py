"""The kernels for models of pictures, put together and given threads."""

from functools import partial

from . import numba_convolution, numba_normalization
from .numba_convolution import Share


class Pictures:
    """Compiled kernels: see `lookahead_ref.convolution.ConvolutionKernels`.

    Parameters
    ----------
    share : callable
        ``share(work, count, least)`` calls ``work(start, stop)`` for parts of
        ``range(count)``, none but an only one smaller than `least`, at the same time.
    """

    dtypes = ("float32", "float64")

    def __init__(self, share: Share) -> None:
        self.correlate = partial(numba_convolution.correlate, share)
        self.kernel_gradient = partial(numba_convolution.kernel_gradient, share)
        self.moments = partial(numba_normalization.moments, share)
        self.affine = partial(numba_normalization.affine, share)
        self.normalize_gradient = partial(numba_normalization.normalize_gradient, share)
