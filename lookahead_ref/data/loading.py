"""Data sets by their names on the command line."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from lookahead_ref.data.datasets import Corpus, Dataset
from lookahead_ref.data.folders import load_images
from lookahead_ref.data.pictures import load_cifar10, load_cifar100, load_digits, load_mnist
from lookahead_ref.data.text import load_ptb, load_pydoc, load_text
from lookahead_ref.hyperparameters import close_to
from lookahead_ref.system import from_home


class Source(NamedTuple):
    """A kind of data set that `load` knows."""

    read: Callable[..., Dataset | Corpus]
    """Loads it from its path and options."""
    argument: str = ""
    """Its argument, such as ``"DIR"``; empty if it takes none."""
    options: tuple[str, ...] = ()
    """The options that it takes."""


_HELD_OUT = ("validation",)
SOURCES: Mapping[str, Source] = MappingProxyType(
    {
        "digits": Source(lambda _, **options: load_digits(**options), "", _HELD_OUT),
        "mnist": Source(load_mnist, "DIR", _HELD_OUT),
        "fashion-mnist": Source(
            partial(load_mnist, name="fashion-mnist"), "DIR", _HELD_OUT
        ),
        "cifar10": Source(load_cifar10, "DIR", _HELD_OUT),
        "cifar100": Source(load_cifar100, "DIR", _HELD_OUT),
        "images": Source(load_images, "DIR", ("resize", "crop")),
        "ptb": Source(load_ptb, "DIR"),
        "text": Source(load_text, "FILE"),
        "chars": Source(partial(load_text, unit="characters"), "FILE"),
        "pydoc": Source(lambda _: load_pydoc()),
        "pydoc-chars": Source(lambda _: load_pydoc(unit="characters")),
    }
)
"""Data sets of `load` by name."""


def load(text: str, **options: Any) -> Dataset | Corpus:
    """Load a data set by its name and, if it has files, their path.

    The text is ``NAME`` or ``NAME:PATH``, with a name in `SOURCES`. A ``~`` at the start of
    the path is the home folder, which a shell does not expand there. Options are those of
    the `Source`.

    Examples
    --------
    >>> load("digits").name
    'digits'
    >>> load("digits:here")
    Traceback (most recent call last):
        ...
    ValueError: data must be digits, got 'digits:here'
    """
    name, colon, argument = text.partition(":")
    if name not in SOURCES:
        known = ", ".join(_form(name) for name in SOURCES)
        close = close_to(name, SOURCES)
        raise ValueError(f"data must be one of {known}; got {text!r}{close}")
    source = SOURCES[name]
    if bool(source.argument) != bool(argument) or (colon and not argument):
        raise ValueError(f"data must be {_form(name)}, got {text!r}")
    for option, value in options.items():
        if option not in source.options:
            raise ValueError(f"{option} is no option of data {text!r}, got {value!r}")
    return source.read(Path(from_home(argument)), **options)


def _form(name: str) -> str:
    argument = SOURCES[name].argument
    return f"{name}:{argument}" if argument else name
