"""johngilbert2000's Lookahead around a Lookahead, for PyTorch."""

from shared.sources import kept, module_of

from lookahead_ref.conformance.adapters.pytorch import PyTorch
from lookahead_ref.conformance.protocol import UnsupportedError

ABOUT = {
    "name": "nested_lookahead",
    "title": "nested_lookahead",
    "home": "https://github.com/johngilbert2000/nested_lookahead",
    "revision": "6ddc8b8d96b2",
    "file": "NestedLookahead.py",
    "says": "replaces the inner learning rate and weight decay",
    "wrapper": "Lookahead",
    "read": [
        "first-sync-at-step-1",
        "phi-after-first-step",
        "outer-sync-between-inner-ones",
        "checkpoint-of-inner-alone",
        "only-momentum-reset",
        "interpolated-slots-aliased",
        "schedule-frozen-after-loading",
    ],
}
PULLBACK = {"maintain": None, "reset": "reset", "interpolate": "pullback"}


def Lookahead(inner, k, alpha, **more):
    group = inner.param_groups[0]
    given = dict(lr=group["lr"], weight_decay=group["weight_decay"], **more)
    return module_of(ABOUT).NestedLookahead(inner, k=k, a=alpha, **given)


def Adapter():
    def wrap(inner, level, below=None, *more):
        if more:
            raise UnsupportedError("three of them")
        if inner.param_groups[0]["lr"] > 1:
            raise UnsupportedError("a learning rate above 1")
        if below is None:
            kind = PULLBACK[level.inner_state]
            return Lookahead(inner, level.k, level.alpha[0], pullback=kind)
        if level.k % below.k or {level.inner_state, below.inner_state} != {"maintain"}:
            raise UnsupportedError("a period that is no multiple, or a pullback, of two")
        outer = dict(s=level.k // below.k, h=level.alpha[0])
        return Lookahead(inner, below.k, below.alpha[0], **outer)

    return PyTorch(wrap, kept("slow_param"), inner_states=tuple(PULLBACK), nesting=True)
