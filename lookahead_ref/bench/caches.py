"""The caches of a core, as the system tells them."""

from contextlib import suppress
from pathlib import Path

__all__ = ["caches"]

_PLACE = Path("/sys/devices/system/cpu/cpu0/cache")

_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def caches() -> dict[int, int]:
    """List the caches for data of the first core.

    Returns
    -------
    dict
        Level to bytes, from the first on; empty where the system does not tell.
    """
    found = {}
    for place in _PLACE.glob("index*"):
        with suppress(OSError, KeyError, ValueError):  # some systems tell only a part
            kind, level, size = [
                (place / what).read_text().strip() for what in ("type", "level", "size")
            ]
            if kind != "Instruction":
                found[int(level)] = int(size[:-1]) * _UNITS[size[-1:]]
    return dict(sorted(found.items()))
