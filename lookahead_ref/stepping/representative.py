"""The one leaf on which an optimizer's step is recorded, in the place of all leaves."""

from typing import Any

__all__ = ["SOLE", "Representative"]

SOLE = ""
"""The name of the one leaf of a `Representative`."""


class Representative(dict[str, Any]):
    """A tree of one leaf, which stands for all the leaves of any tree.

    An optimizer's step is recorded on such trees, several times in a millisecond. Nothing
    about them needs to be checked, or to be walked through.
    """

    __slots__ = ()
