"""Programs and layers as CUDA kernels, on CuPy arrays."""

from .backend import CupyBackend

__all__ = ["CupyBackend"]
