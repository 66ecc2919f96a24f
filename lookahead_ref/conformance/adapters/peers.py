"""The public implementations that the suite can be run on by their names."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

from lookahead_ref.extras import MissingExtraError


@dataclass(frozen=True)
class Peer:
    """A public implementation."""

    package: str
    """The package, by the name it is installed by."""
    needs: tuple[str, ...]
    """What its adapter imports."""
    place: str
    """The adapter: ``module:callable``, the module in this package."""

    @property
    def installed(self) -> bool:
        """Whether all that is needed is there."""
        return all(find_spec(each) is not None for each in self.needs)

    @property
    def title(self) -> str:
        return f"{self.package} {version(self.package)}"

    def require(self) -> None:
        """Raise a MissingExtraError where something is missing; import nothing."""
        for each in self.needs:
            if find_spec(each) is None:
                raise MissingExtraError(each, "peers", f"run the suite on {self.package}")

    def make(self) -> Callable[[], Any]:
        """Import the adapter, and return what makes one."""
        module, _, name = self.place.partition(":")
        found = import_module(f"lookahead_ref.conformance.adapters.{module}")
        make: Callable[[], Any] = getattr(found, name)
        return make


PEERS = {
    peer.package: peer
    for peer in (
        Peer("optax", ("optax", "jax"), "optax:Optax"),
        Peer("torch_optimizer", ("torch_optimizer", "torch"), "pytorch:torch_optimizer"),
        Peer(
            "pytorch_optimizer", ("pytorch_optimizer", "torch"), "pytorch:pytorch_optimizer"
        ),
        Peer("paddlepaddle", ("paddle",), "paddle:Paddle"),
        Peer("timm", ("timm", "torch"), "pytorch:timm"),
        Peer("pylocron", ("holocron", "torch"), "pytorch:pylocron"),
        Peer(
            "torch2-look-ahead", ("lookahead_pytorch", "torch"), "pytorch:torch2_look_ahead"
        ),
    )
}
"""By package."""
