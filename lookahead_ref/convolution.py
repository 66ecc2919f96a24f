"""What a backend may offer to models of pictures: convolution and batch normalisation.

A backend that has such kernels has an attribute ``convolution`` that follows
`ConvolutionKernels`. Others, and dtypes that its kernels do not take, are served by the
general kernels of `lookahead_ref.zoo.channels_last`, which are also what each of these
methods means.

Pictures are arrays of shape (n, height, width, channels): a product over channels then
reads memory in order. Convolution kernels have shape (rows, columns, channels, outputs).
"""

from typing import Any, Protocol

__all__ = ["ConvolutionKernels"]


class ConvolutionKernels(Protocol):
    """Kernels for pictures, of one dtype and of the backend's library.

    What is read may be read-only and lie in memory in any order.
    """

    @property
    def dtypes(self) -> tuple[str, ...]:
        """The dtypes that the kernels take, by name."""

    def correlate(
        self, x: Any, kernel: Any, out: Any, stride: int, offset: tuple[int, int]
    ) -> None:
        """Write what a kernel sees of pictures from every place.

        ``out[n, i, j, o]`` becomes the sum over a, b and c of ``kernel[a, b, c, o]`` times
        ``x[n, i * stride + offset[0] + a, j * stride + offset[1] + b, c]``, where x is zero
        outside of the pictures.

        Parameters
        ----------
        x : array, shape (n, height, width, channels)
            The pictures.
        kernel : array, shape (rows, columns, channels, outputs)
            The kernel.
        out : array, shape (n, out_height, out_width, outputs)
            Written to. Its last axis is contiguous, the others need not be.
        stride : int
            Steps between places.
        offset : tuple of int
            The row and column of the picture at which the kernel begins in the first
            place. Negative where it begins in the zeros around the picture.
        """

    def kernel_gradient(
        self,
        x: Any,
        grad: Any,
        size: tuple[int, int],
        stride: int,
        offset: tuple[int, int],
    ) -> Any:
        """Compute the gradient of `correlate` with respect to the kernel.

        Parameters
        ----------
        x : array, shape (n, height, width, channels)
            The pictures.
        grad : array, shape (n, out_height, out_width, outputs)
            The gradient of what `correlate` writes.
        size : tuple of int
            Rows and columns of the kernel.
        stride, offset
            As given to `correlate`.

        Returns
        -------
        array, shape (rows, columns, channels, outputs)
            The gradient.
        """

    def moments(self, x: Any) -> tuple[Any, Any]:
        """Compute the mean and the variance of each channel.

        Parameters
        ----------
        x : array, shape (n, height, width, channels)
            Pictures.

        Returns
        -------
        mean, variance : array, shape (channels,)
            Over all pictures and places; the variance of a population, divided by their
            number.
        """

    def affine(
        self, x: Any, factor: Any, term: Any, residual: Any, *, rectify: bool
    ) -> Any:
        """Compute ``x * factor + term + residual``, each channel with its own numbers.

        Parameters
        ----------
        x : array, shape (n, height, width, channels)
            Pictures.
        factor, term : array, shape (channels,)
            Of each channel.
        residual : array of the shape of x, or None
            What is added.
        rectify : bool
            Whether negative results become zero.

        Returns
        -------
        array
            Of the shape of x, contiguous.
        """

    def normalize_gradient(
        self, g: Any, y: Any, x: Any, mean: Any, inverse: Any, scale: Any, *, residual: bool
    ) -> tuple[Any, Any, Any, Any]:
        """Compute the gradients of batch normalisation.

        It computes ``(x - mean) * inverse * scale + shift``, plus a residual, where mean
        and inverse are those of the batch; the result may have been rectified.

        Parameters
        ----------
        g : array, shape (n, height, width, channels)
            The gradient of the result.
        y : array of the shape of g, or None
            The result, if it was rectified.
        x : array of the shape of g
            What was normalised.
        mean, inverse : array, shape (channels,)
            The means of the channels of x, and 1 over their deviations.
        scale : array, shape (channels,)
            The scale.
        residual : bool
            Whether the gradient of the residual is wanted.

        Returns
        -------
        x, scale, shift, residual : array
            The gradients; that of the residual is g itself where nothing was rectified, and
            None where it is not wanted.
        """
