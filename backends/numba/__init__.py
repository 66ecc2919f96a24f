"""Programs and layers compiled by Numba, for processors."""

from .backend import NumbaBackend

__all__ = ["NumbaBackend"]
