"""Optional dependencies: imported where they are needed, or asked for by name."""

import importlib
from types import ModuleType

__all__ = ["MissingExtraError", "require"]


class MissingExtraError(ImportError):
    """An optional dependency is not installed.

    Parameters
    ----------
    module : str
        The top-level module that could not be imported.
    extra : str
        The extra of this distribution that installs it.
    purpose : str
        What it is needed for, completing "... is needed to".

    Attributes
    ----------
    module, extra : str
        As given.
    """

    def __init__(self, module: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{module} is needed to {purpose}, and is not installed: "
            f"pip install 'lookahead-ref[{extra}]'",
            name=module,
        )
        self.module = module
        self.extra = extra


def require(module: str, extra: str, purpose: str) -> ModuleType:
    """Import an optional dependency, or say which extra installs it.

    Parameters
    ----------
    module : str
        Dotted name of the module to import.
    extra : str
        The extra that installs it.
    purpose : str
        What it is needed for, completing "... is needed to".

    Returns
    -------
    types.ModuleType
        The imported module.

    Raises
    ------
    MissingExtraError
        If the module's distribution is not installed. An import error from inside an
        installed distribution is passed on as it is: it is a fault, not an absence.

    Examples
    --------
    >>> try:
    ...     require("no_such_module", "experiments", purpose="draw curves")
    ... except MissingExtraError as error:
    ...     print(error.extra)
    experiments
    """
    top = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name == top:
            raise MissingExtraError(top, extra, purpose) from error
        raise
