"""Counts and times in words, the same everywhere."""


def several(count: int, noun: str) -> str:
    """Write a count with its noun: ``1 run``, ``3 runs``, ``2 batches``."""
    return f"{count:,} {noun}{'' if count == 1 else 'es' if noun[-1] == 's' else 's'}"


def duration(seconds: float) -> str:
    """Write a time: ``1.2 s``, ``42 s``, ``12 min`` or ``1.6 h``."""
    if seconds < 99.5:
        return f"{seconds:.{1 if seconds < 9.95 else 0}f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 99.5 else f"{minutes / 60:.1f} h"
