"""johngilbert2000's Lookahead around a Lookahead, for PyTorch."""

from shared.sources import has_velocity, kept, module_of

from lookahead_ref.conformance.adapters.pytorch import PyTorch
from lookahead_ref.conformance.protocol import UnsupportedError

ABOUT = {
    "name": "nested_lookahead",
    "title": "nested_lookahead",
    "home": "https://github.com/johngilbert2000/nested_lookahead",
    "revision": "6ddc8b8d96b2",
    "file": "NestedLookahead.py",
}
PULLBACK = {"maintain": None, "reset": "reset", "interpolate": "pullback"}


def Adapter():
    NestedLookahead = module_of(ABOUT).NestedLookahead

    def wrap(inner, level, below=None, *more):
        group = inner.param_groups[0]
        given = dict(lr=group["lr"], weight_decay=group["weight_decay"])
        if more:
            raise UnsupportedError("three of them")
        if group["lr"] > 1:
            raise UnsupportedError("a learning rate above 1")
        if PULLBACK[level.inner_state] and not has_velocity(inner):
            raise UnsupportedError("reset or pullback without a momentum")
        if below is None:
            given |= dict(k=level.k, a=level.alpha[0], pullback=PULLBACK[level.inner_state])
        elif level.k % below.k or {level.inner_state, below.inner_state} != {"maintain"}:
            raise UnsupportedError("a period that is no multiple, or a pullback, of two")
        else:
            outer = dict(s=level.k // below.k, h=level.alpha[0])
            given |= dict(k=below.k, a=below.alpha[0], **outer)
        return NestedLookahead(inner, **given)

    return PyTorch(wrap, kept("slow_param"), inner_states=tuple(PULLBACK), nesting=True)
