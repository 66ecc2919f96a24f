"""Optional dependencies, imported when needed, or reported by name if missing."""

import importlib
import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any


class MissingExtraError(ImportError):
    """An optional `module` is not installed; `extra` of this distribution installs it."""

    def __init__(self, module: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{module} is needed to {purpose}, and is not installed: "
            f"pip install 'lookahead-ref[{extra}]'",
            name=module,
        )
        self.module = module
        self.extra = extra
        self.purpose = purpose

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.module, self.extra, self.purpose)


def require(module: str, extra: str, purpose: str) -> ModuleType:
    """Import an optional dependency, or say which extra installs it."""
    top = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        # An import error inside an installed package is a fault, not an absence.
        if error.name == top:
            raise MissingExtraError(top, extra, purpose) from error
        raise


def folder_of(module: str, extra: str, purpose: str) -> Path:
    """Find the folder of an optional dependency whose import is slow."""
    try:
        spec = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        spec = None
    if spec is None or spec.origin is None:
        raise MissingExtraError(module, extra, purpose)
    return Path(spec.origin).parent
