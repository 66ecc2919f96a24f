"""Real data, and how batches are drawn from it."""

from lookahead_ref.data.batches import BatchStream
from lookahead_ref.data.digits import load_digits
from lookahead_ref.data.examples import Dataset, Examples

__all__ = ["BatchStream", "Dataset", "Examples", "load_digits"]
