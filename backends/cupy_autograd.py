"""HIPS autograd over arrays on a device.

autograd's functions reach CuPy through NumPy's dispatch protocols, and most of its
derivatives use those functions. The others create NumPy arrays on the way back, or promote
float32 to float64; they are rewritten here.

autograd's own tables of derivatives are unchanged. A device array has its own kind of box,
and a node with such a box looks up derivatives here first, so that nothing changes for
NumPy arrays. Three functions of autograd convert their arguments to NumPy arrays (in
`concatenate`, `stack` and `array`); for device arrays alone, they are replaced.
"""

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
from autograd.core import SparseObject, VJPNode, VSpace, primitive_vjps, vspace
from autograd.extend import defvjp, primitive
from autograd.numpy import numpy_vjps
from autograd.numpy import numpy_wrapper as anp
from autograd.numpy.numpy_boxes import ArrayBox
from autograd.tracer import Box, getval, notrace_primitives, trace_primitives_map
from numpy.lib.array_utils import normalize_axis_tuple

Vjp = Callable[[Any], Any]


def register(array_type: type) -> None:
    """Make autograd differentiate functions of a library's arrays."""
    if array_type in Box.type_mappings:
        return
    DeviceBox.register(array_type)
    DeviceSpace.register(array_type)
    for name, ours in _ON_DEVICE.items():
        theirs = getattr(anp, name)
        if not hasattr(theirs, "on_device"):
            setattr(anp, name, _either(theirs, ours))


class DeviceNode(VJPNode):  # type: ignore[misc]
    """A node of the graph that holds a device array."""

    __slots__ = ()

    def __init__(
        self, value: Any, fun: Any, args: Any, kwargs: Any, argnums: Any, parents: Any
    ) -> None:
        maker = _VJPS.get(fun)
        if maker is None:
            super().__init__(value, fun, args, kwargs, argnums, parents)
        else:
            self.parents = parents  # type: ignore[misc]
            self.vjp = maker(argnums, value, args, kwargs)  # type: ignore[misc]


# Functions without a derivative.
notrace_primitives[DeviceNode] = notrace_primitives[VJPNode]


class DeviceBox(ArrayBox):  # type: ignore[misc]
    """A box around a device array."""

    __slots__ = ()

    def __init__(self, value: Any, trace: int, node: Any) -> None:
        # At the start of a graph, autograd makes a node before it sees a value.
        if type(node) is VJPNode:
            node.__class__ = DeviceNode
        super().__init__(value, trace, node)

    # NumPy's functions would be slower, because of their dispatch.
    shape = property(lambda self: self._value.shape)
    ndim = property(lambda self: self._value.ndim)
    size = property(lambda self: self._value.size)
    dtype = property(lambda self: self._value.dtype)


class DeviceSpace(VSpace):  # type: ignore[misc]
    """The vector space of device arrays of one shape and dtype."""

    def __init__(self, value: Any) -> None:
        if value.dtype.kind == "c":
            raise TypeError("complex arrays on a device cannot be differentiated")
        self.shape = value.shape
        self.dtype = value.dtype
        self._xp = _library(value)

    size = property(lambda self: math.prod(self.shape))
    ndim = property(lambda self: len(self.shape))

    def zeros(self) -> Any:
        return self._xp.zeros(self.shape, dtype=self.dtype)

    def ones(self) -> Any:
        return self._xp.ones(self.shape, dtype=self.dtype)

    def standard_basis(self) -> Iterator[Any]:
        for index in np.ndindex(*self.shape):
            vector = self.zeros()
            vector[index] = 1
            yield vector

    def randn(self) -> Any:
        values = np.asarray(np.random.randn(*self.shape), self.dtype)  # noqa: NPY002 - as autograd
        return self._xp.asarray(values)

    def _inner_prod(self, x: Any, y: Any) -> Any:
        return self._xp.sum(x * y)


def _library(array: Any) -> Any:
    """Return the package of an array's type."""
    return sys.modules[type(array).__module__.partition(".")[0]]


def _is_on_device(value: Any) -> bool:
    return Box.type_mappings.get(type(getval(value))) is DeviceBox


# Functions of autograd that create NumPy arrays.


def _either(theirs: Any, ours: Any) -> Any:
    """Choose a function by whether any argument is a device array."""

    def choose(*args: Any) -> Any:
        return (ours if any(map(_is_on_device, args)) else theirs)(*args)

    choose.on_device = ours  # type: ignore[attr-defined]
    return choose


@primitive  # type: ignore[untyped-decorator]
def _concatenate(axis: int, *arrays: Any) -> Any:
    return _library(arrays[0]).concatenate(arrays, axis)


@primitive  # type: ignore[untyped-decorator]
def _stack(args: Any, kwargs: Any, *items: Any) -> Any:
    like = next(item for item in items if _is_on_device(item))
    xp = _library(like)
    parts = [
        item if _is_on_device(item) else xp.full(like.shape, item.item(), like.dtype)
        for item in items
    ]
    return xp.array(xp.stack(parts), *args, **kwargs)


@primitive  # type: ignore[untyped-decorator]
def _copied(args: Any, kwargs: Any, array: Any) -> Any:
    return _library(array).array(array, *args, **kwargs)


_ON_DEVICE = {
    "concatenate_args": _concatenate,
    "array_from_args": _stack,
    "_array_from_scalar_or_array": _copied,
}

# The derivatives, by function.
_VJPS: dict[Any, Any] = {
    ours: primitive_vjps[getattr(anp, name)] for name, ours in _ON_DEVICE.items()
}


def _rule(*functions: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make a function the derivative of others with respect to their first argument."""
    return lambda maker: _rules(functions, maker)


def _rules(functions: Sequence[Any], *makers: Callable[..., Any]) -> Any:
    """Put derivatives with respect to each argument into the table."""

    def key() -> None:
        """Fill a table's entry for a moment."""

    defvjp(key, *makers)
    entry = primitive_vjps.pop(key)
    _VJPS.update(dict.fromkeys(functions, entry))
    return makers[0]


# Reductions.


def _axes(axis: Any, ndim: int) -> tuple[int, ...]:
    return normalize_axis_tuple(range(ndim) if axis is None else axis, ndim)


def _spread(g: Any, shape: tuple[int, ...], axis: Any) -> Any:
    """Repeat along the reduced axes, into new memory."""
    reduced = _axes(axis, len(shape))
    kept = tuple(1 if place in reduced else size for place, size in enumerate(shape))
    # New memory, as a view of repeated elements might be written to later.
    return 1 * anp.broadcast_to(anp.reshape(g, kept), shape)


def _count(shape: tuple[int, ...], axis: Any) -> int:
    return math.prod(shape[place] for place in _axes(axis, len(shape)))


@_rule(anp.sum)
def _sum(ans: Any, x: Any, axis: Any = None, **_: Any) -> Vjp:
    shape = anp.shape(x)
    return lambda g: _spread(g, shape, axis)


@_rule(anp._primitive_mean)  # noqa: SLF001 - as autograd's own table has it
def _mean(ans: Any, x: Any, axis: Any = None, **_: Any) -> Vjp:
    shape = anp.shape(x)
    return lambda g: _spread(g / _count(shape, axis), shape, axis)


@_rule(anp.prod)
def _prod(ans: Any, x: Any, axis: Any = None, **_: Any) -> Vjp:
    shape = anp.shape(x)
    return lambda g: _spread(g * ans, shape, axis) / x


def _of_squares(g: Any, x: Any, axis: Any, ddof: int) -> Any:
    """Pull a gradient of half the variance back."""
    shape = anp.shape(x)
    centred = x - anp.mean(x, axis=axis, keepdims=True)
    return _spread(g / (_count(shape, axis) - ddof), shape, axis) * centred


@_rule(anp._primitive_var)  # noqa: SLF001
def _var(ans: Any, x: Any, axis: Any = None, ddof: int = 0, **_: Any) -> Vjp:
    return lambda g: _of_squares(g * 2, x, axis, ddof)


@_rule(anp._primitive_std)  # noqa: SLF001
def _std(ans: Any, x: Any, axis: Any = None, ddof: int = 0, **_: Any) -> Vjp:
    shape = anp.shape(x)
    if _count(shape, axis) <= 1:
        return lambda g: 0 * _spread(g, shape, axis)
    return lambda g: _of_squares(g / ans, x, axis, ddof)


@_rule(anp.max, anp.min, anp.amax, anp.amin)
def _chosen(ans: Any, x: Any, axis: Any = None, **_: Any) -> Vjp:
    shape, dtype = anp.shape(x), x.dtype

    def vjp(g: Any) -> Any:
        # Equal elements share the gradient; the shares themselves have no derivative.
        place = (getval(x) == _spread(getval(ans), shape, axis)).astype(dtype)
        share = place / anp.sum(place, axis=axis, keepdims=True)
        return _spread(g, shape, axis) * share

    return vjp


# Shapes.


@_rule(anp.broadcast_to)
def _broadcast_to(ans: Any, x: Any, shape: Any) -> Vjp:
    before, after = anp.shape(x), anp.shape(ans)
    # Missing dimensions count as ones.
    padded = (1,) * (len(after) - len(before)) + before
    summed = tuple(
        n for n, sizes in enumerate(zip(padded, after, strict=True)) if sizes[0] == 1
    )
    return lambda g: anp.reshape(anp.sum(g, axis=summed, keepdims=True), before)


@_rule(anp.reshape, anp.ravel)
def _reshape(ans: Any, x: Any, *args: Any, order: str = "C", **_: Any) -> Vjp:
    # Only the order is a text; ravel takes no shape before it.
    shape, order = anp.shape(x), next((a for a in args if isinstance(a, str)), order)
    return lambda g: anp.reshape(g, shape, order=order or "C")


@_rule(anp.transpose)
def _transpose(ans: Any, x: Any, axes: Any = None) -> Vjp:
    ndim = anp.ndim(x)
    inverse = None if axes is None else np.argsort(_axes(axes, ndim)).tolist()
    return lambda g: anp.transpose(g, inverse)


@_rule(anp.diagonal)
def _diagonal(ans: Any, x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Vjp:
    *_, rows, columns = anp.shape(x)
    ndim = anp.ndim(x)
    last = {axis1 % ndim, axis2 % ndim} == {ndim - 2, ndim - 1}
    if offset or rows != columns or not last:
        raise NotImplementedError("only the diagonal of the last two axes, for squares")
    unit = _library(getval(x)).eye(rows, dtype=x.dtype)
    return lambda g: g[..., None] * unit


@_rule(anp.trace)
def _trace(ans: Any, x: Any, offset: int = 0) -> Vjp:
    rows, columns = anp.shape(x)
    unit = _library(getval(x)).eye(rows, columns, k=offset, dtype=x.dtype)
    return lambda g: g * unit


@_rule(anp.sort, anp.partition)
def _sort(ans: Any, x: Any, *_: Any, **__: Any) -> Vjp:
    if anp.ndim(x) > 1:
        raise NotImplementedError(
            "sort and partition have derivatives in one dimension only"
        )
    # Libraries may partition in different orders.
    back = anp.argsort(ans)[anp.argsort(anp.argsort(x))]
    return lambda g: g[back]


# Elements.


@primitive  # type: ignore[untyped-decorator]
def _untake(x: Any, index: Any, space: Any) -> Any:
    def add(target: Any) -> Any:
        _library(target).add.at(target, index, x)
        return target

    return SparseObject(space, add)


_rules((_untake,), lambda ans, x, index, space: lambda g: g[index])


@_rule(ArrayBox.__getitem__)
def _getitem(ans: Any, x: Any, index: Any) -> Vjp:
    space = vspace(x)
    if isinstance(index, list) and not any(isinstance(each, slice) for each in index):
        index = np.asarray(index, np.int64)
    return lambda g: _untake(g, index, space)


def _unbroadcast(function: Vjp, target: Any) -> Vjp:
    meta = anp.metadata(target)
    return lambda g: numpy_vjps.unbroadcast(function(g), meta)


_rules(
    # autograd's `where` is a function around this one.
    (trace_primitives_map[np.where],),
    lambda ans, c, x=None, y=None: lambda g: vspace(c).zeros(),
    lambda ans, c, x=None, y=None: _unbroadcast(lambda g: anp.where(c, g, 0), x),
    lambda ans, c, x=None, y=None: _unbroadcast(lambda g: anp.where(c, 0, g), y),
)


def _of_the_extreme(ans: Any, x: Any, other: Any) -> Vjp:
    def vjp(g: Any) -> Any:
        return anp.where(x == ans, anp.where(x == other, 0.5 * g, g), 0)

    return _unbroadcast(vjp, x)


_rules(
    (anp.maximum, anp.minimum, anp.fmax, anp.fmin),
    _of_the_extreme,
    lambda ans, x, y: _of_the_extreme(ans, y, x),
)


def _of_the_base(ans: Any, x: Any, y: Any) -> Vjp:
    def vjp(g: Any) -> Any:
        less = anp.where(y, y - 1, 1) if _is_on_device(y) else y - 1 if y else 1
        return g * y * x**less

    return _unbroadcast(vjp, x)


def _of_the_exponent(ans: Any, x: Any, y: Any) -> Vjp:
    def vjp(g: Any) -> Any:
        if _is_on_device(x):
            return g * anp.log(anp.where(x == 0, 1, x)) * ans
        return g * (math.log(x) if x else 0.0) * ans

    return _unbroadcast(vjp, y)


_rules((anp.power,), _of_the_base, _of_the_exponent)


@_rule(anp.clip)
def _clip(ans: Any, x: Any, a_min: Any = None, a_max: Any = None, **_: Any) -> Vjp:
    bounds = [bound for bound in (a_min, a_max) if bound is not None]

    def vjp(g: Any) -> Any:
        for bound in bounds:
            g = g * (ans != bound)
        return g

    return vjp


def _linspace(
    ends: Any, ans: Any, start: Any, stop: Any, num: int = 50, endpoint: bool = True,
    **_: Any,
) -> Vjp:  # fmt: skip
    """Return the derivative of linspace by the scalar where `ends` has a 1."""
    if anp.ndim(start) or anp.ndim(stop):
        raise NotImplementedError("linspace is differentiated by scalars only")
    xp = _library(getval(ans))
    return lambda g: anp.sum(g * xp.linspace(*ends, num, endpoint, dtype=ans.dtype))


_rules((anp.linspace,), partial(_linspace, (1.0, 0.0)), partial(_linspace, (0.0, 1.0)))

# Of real numbers only.
_rule(anp.imag, anp.angle)(lambda ans, x, *_: lambda g: 0 * g)
_rule(anp.exp2)(lambda ans, x: lambda g: g * ans * math.log(2))
_rule(anp.log2)(lambda ans, x: lambda g: g / x / math.log(2))
_rule(anp.log10)(lambda ans, x: lambda g: g / x / math.log(10))


# Products.


def _contraction(axes: Any, a: Any, b: Any) -> list[tuple[int, ...]]:
    """Which axes of both operands a tensor product sums over."""
    if isinstance(axes, int):
        axes = range(a.ndim - axes, a.ndim), range(axes)
    return [_axes(each, of.ndim) for each, of in zip(axes, (a, b), strict=True)]


def _rest(ndim: int, summed: Sequence[int]) -> list[int]:
    return [axis for axis in range(ndim) if axis not in summed]


def _of_a_factor(place: int, a: Any, b: Any, axes: Any) -> Vjp:
    """Return the derivative of a tensor product by its first or second factor."""
    mine, other = (a, b) if place == 0 else (b, a)
    if not a.ndim or not b.ndim:
        return _unbroadcast(lambda g: g * other, mine)
    summed = _contraction(axes, a, b)
    of_mine, of_other = summed[place], summed[1 - place]
    free, rest = _rest(mine.ndim, of_mine), _rest(other.ndim, of_other)
    # The axes of the product of `g` and `other`, as numbers of `mine`.
    shared = [of_mine[of_other.index(axis)] for axis in sorted(of_other)]
    back = np.argsort(free + shared if place == 0 else shared + free).tolist()

    def vjp(g: Any) -> Any:
        if not anp.ndim(g):
            return g * anp.transpose(other, back)
        if place == 0:
            of_g = tuple(range(len(free), anp.ndim(g)))
            found = anp.tensordot(g, other, (of_g, tuple(rest)))
        else:
            found = anp.tensordot(other, g, (tuple(rest), tuple(range(len(rest)))))
        return anp.transpose(found, back)

    return vjp


def _of_a_product(axes: Callable[..., Any], *functions: Any) -> None:
    _rules(
        functions,
        lambda ans, a, b, *rest, **named: _of_a_factor(0, a, b, axes(a, b, *rest, **named)),
        lambda ans, a, b, *rest, **named: _of_a_factor(1, a, b, axes(a, b, *rest, **named)),
    )


_of_a_product(lambda a, b, axes=2: axes, anp.tensordot)
_of_a_product(lambda a, b: ((a.ndim - 1,), (max(b.ndim - 2, 0),)), anp.dot)
_of_a_product(lambda a, b: ((a.ndim - 1,), (b.ndim - 1,)), anp.inner)


def _einsum(argnums: Sequence[int], ans: Any, args: Any, kwargs: Any) -> Any:
    makers = [_of_einsum(argnum, args) for argnum in argnums]
    return lambda g: (vjp(g) for vjp in makers)


def _of_einsum(argnum: int, args: Any) -> Vjp:
    string, *operands = args
    if not isinstance(string, str):
        raise NotImplementedError(
            "einsum of device arrays takes its subscripts as a string"
        )
    # Only the shapes matter, so use arrays without memory.
    shapes = [np.broadcast_to(0.0, anp.shape(each)) for each in operands]
    inputs, output, _ = anp.parse_einsum_input(string, *shapes)
    subscripts = inputs.split(",")
    mine, others = subscripts.pop(argnum - 1), operands[:]
    shape = anp.shape(others.pop(argnum - 1))
    meta = anp.metadata(operands[argnum - 1])
    known = set("".join([output, *subscripts]))
    kept = "".join(each for each in mine if each in known)
    # A subscript that occurs nowhere else was summed over.
    summed = tuple(place for place, each in enumerate(mine) if each not in known)
    equation = f"{','.join([output, *subscripts])}->{kept}"

    def vjp(g: Any) -> Any:
        found = anp.einsum(equation, g, *others)
        sizes = iter(anp.shape(found))
        full = tuple(
            shape[place] if place in summed else next(sizes) for place in range(len(mine))
        )
        if summed:
            found = _spread(found, full, summed)
        # The axes of an ellipsis may have been broadcast.
        return numpy_vjps.unbroadcast(found, meta)

    return vjp


_VJPS[anp.einsum] = _einsum
