"""What a backend may offer to the layers of models: kernels for what NumPy does slowly.

A backend that has such kernels has an attribute ``layers`` that follows `LayerKernels`.
Those that have none, and dtypes that a backend's kernels do not take, are served by the
general kernels of `lookahead_ref.zoo.kernels`, which are also what each of these methods
means.

Arrays are C-contiguous, of the backend's library and of one dtype; what is only read may be
read-only.
"""

from typing import Any, Protocol

__all__ = ["LayerKernels"]


class LayerKernels(Protocol):
    """Kernels for layers; ``n`` is the number of rows of a batch."""

    @property
    def dtypes(self) -> tuple[str, ...]:
        """The dtypes that the kernels take, by name."""

    def activate(self, y: Any, bias: Any, activation: str | None) -> None:
        """Overwrite y by ``activation(y + bias)``.

        Parameters
        ----------
        y : array, shape (n, units)
            The product of a dense layer; then its output.
        bias : array, shape (units,)
            Added to each row.
        activation : {"relu", "tanh", None}
            None is the identity.
        """

    def activate_gradient(self, g: Any, y: Any, activation: str | None) -> tuple[Any, Any]:
        """Compute the gradients of what `activate` does.

        Parameters
        ----------
        g : array, shape (n, units)
            The gradient of the output.
        y : array, shape (n, units)
            The output.
        activation : {"relu", "tanh", None}
            As given to `activate`.

        Returns
        -------
        product : array, shape (n, units)
            The gradient of the product; `g` itself where there is no activation.
        bias : array, shape (units,)
            The gradient of the bias.
        """

    def cross_entropy(self, logits: Any, bias: Any, labels: Any, *, gradient: bool) -> Any:
        """Compute softmax cross entropies, and overwrite the logits by their gradient.

        Parameters
        ----------
        logits : array, shape (n, classes)
            Overwritten: by the gradient of the mean cross entropy with respect to
            ``logits + bias``, or by anything where no gradient is wanted.
        bias : array, shape (classes,), or None
            Added to each row first.
        labels : array of int32 or int64, shape (n,)
            From 0 to ``classes - 1``.
        gradient : bool
            Whether the gradient is wanted.

        Returns
        -------
        array, shape (n,)
            The cross entropy of each row, in nats.
        """

    def scatter(self, indices: Any, rows: Any, size: int) -> Any:
        """Sum rows by their index.

        Parameters
        ----------
        indices : array of int32 or int64, shape (n,)
            From 0 to ``size - 1``.
        rows : array, shape (n, width)
            What is summed.
        size : int
            The number of sums.

        Returns
        -------
        array, shape (size, width)
            Row ``i`` is the sum of the rows whose index is ``i``.
        """

    def lstm_cell(
        self,
        gates: Any,
        recurrent: Any,
        cell: Any,
        next_cell: Any,
        squashed: Any,
        hidden: Any,
    ) -> None:
        """Do what a step of an LSTM does after its matrix products.

        Parameters
        ----------
        gates : array, shape (n, 4 * units)
            The product of the input, and the bias; overwritten by the gates' values, in the
            order input, forget, candidate, output.
        recurrent : array, shape (n, 4 * units)
            The product of the last hidden state, which is added.
        cell : array, shape (n, units)
            The last state of the cells.
        next_cell, squashed, hidden : array, shape (n, units)
            Written to: the cells' state, its hyperbolic tangent, the hidden state.
        """

    def lstm_cell_gradient(
        self,
        gates: Any,
        cell: Any,
        squashed: Any,
        output_gradient: Any,
        hidden_gradient: Any,
        cell_gradient: Any,
    ) -> None:
        """Compute the gradients of what `lstm_cell` does.

        Parameters
        ----------
        gates : array, shape (n, 4 * units)
            The gates' values; overwritten by the gradient of the sum of the products.
        cell, squashed : array, shape (n, units)
            The cells' last state, and the hyperbolic tangent of their new one.
        output_gradient, hidden_gradient : array, shape (n, units)
            The gradient of the hidden state, as the layer's output and as what the next
            step took; their sum counts.
        cell_gradient : array, shape (n, units)
            The gradient of the cells' new state from the next step; overwritten by that of
            their last one.
        """
