"""What the figures were measured on."""

import os
import platform
from pathlib import Path
from typing import Any

from lookahead_ref.bench.caches import caches
from lookahead_ref.bench.peers import NAMES
from lookahead_ref.bench.place import Place
from lookahead_ref.experiments.environment import available_cores, versions


def describe(place: Place) -> dict[str, Any]:
    """Describe the machine, and what is installed.

    Parameters
    ----------
    place : Place
        Where it is measured.

    Returns
    -------
    dict
        ``processor``, ``cores``, ``cache``, ``memory_gb``, ``system``, ``versions`` and,
        where there are some, ``devices``.
    """
    told: dict[str, Any] = {
        "processor": _processor(),
        "cores": available_cores(),
        "cache": _cache(),
        "memory_gb": _memory(),
        "system": f"{platform.system()} {platform.release()}",
        "versions": versions("numpy", "numba", "jax", *NAMES),
    }
    if place.on_device:
        told["versions"][place.backend.name] = place.backend.version
        told["devices"] = list(place.backend.devices)
    return told


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    told = dict(line.split(":", 1) for line in lines if ":" in line)
    told = {name.strip(): value.strip() for name, value in told.items()}
    name = told.get("model name", platform.machine())
    if "cpu family" in told:
        name += f", family {told['cpu family']}, model {told.get('model', '?')}"
    return name


def _cache() -> str:
    return ", ".join(f"L{level} {size >> 10}K" for level, size in caches().items())


def _memory() -> float | None:
    if not hasattr(os, "sysconf") or "SC_PHYS_PAGES" not in os.sysconf_names:
        return None
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1)
