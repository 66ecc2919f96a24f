"""The readable reference for the Lookahead optimizer of Zhang, Lucas, Hinton and Ba."""

__version__ = "0.1.0"
