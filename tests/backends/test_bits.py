"""One rule, every executor: the pure interface, NumPy and Numba agree to the last bit."""

import tracemalloc
from typing import Any

import numpy as np
import pytest

import lookahead_ref as la
from executors import (
    DECAYS,
    FAMILY,
    MORE,
    SINGLE,
    Place,
    assert_agrees,
    assert_reads_before_it_writes,
    made,
    with_each,
)
from lookahead_ref import trees
from lookahead_ref.backends.numba import NumbaBackend
from lookahead_ref.backends.numpy import NumpyBackend
from support import DECOUPLED, INNER, assert_same_bits, frozen, gradients, mixed_params


def assert_executors_agree(optimizer: Any, backends: list[Any], steps: int) -> None:
    params = mixed_params()
    places = [Place(backend) for backend in backends]
    assert_agrees(
        optimizer,
        params,
        gradients(params, steps),
        *places,
        checked=lambda step: step < 13 or step % 25 == 0 or step > steps - 5,
    )


# Everything that one compilation of a loop costs is paid once for each program and dtype:
# these are the cases that must be run on Numba whenever tests are; the others follow below,
# as slow.
@with_each(made(SINGLE, ""))
def test_pure_numpy_and_numba_agree_bit_for_bit(optimizer: Any) -> None:
    assert_executors_agree(optimizer, ["numpy", "numba"], steps=100)


@with_each(made(SINGLE, " with L2", " decoupled") | made(MORE, "") | FAMILY)
def test_pure_and_numpy_agree_bit_for_bit(optimizer: Any) -> None:
    assert_executors_agree(optimizer, ["numpy"], steps=40)


LONGEST = {"the longest": MORE["mean of a Lookahead"](INNER["adam"](**DECOUPLED))}


@with_each(dict(list(FAMILY.items())[:2]) | LONGEST)
def test_outer_optimizers_and_the_longest_program_agree_on_numba(optimizer: Any) -> None:
    assert_executors_agree(optimizer, ["numba"], steps=40)


@pytest.mark.slow
@with_each(made(SINGLE, " with L2", " decoupled") | made(MORE, *DECAYS) | FAMILY)
def test_everything_else_agrees_on_numba(optimizer: Any) -> None:
    assert_executors_agree(optimizer, ["numpy", "numba"], steps=300)


class EveryFunction(la.RMSProp):
    @staticmethod
    def rule(xp: Any) -> Any:
        def rule(g: Any, v: Any, beta2: Any, rest2: Any, epsilon: Any) -> Any:
            update = xp.sign(g) * xp.sqrt(beta2) + xp.minimum(g, v) * xp.abs(g)
            return update, xp.maximum(v, xp.minimum(epsilon, g)) * xp.sign(xp.abs(rest2))

        return rule


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_signed_zeros_and_nan_are_the_same_in_every_executor(dtype: Any) -> None:
    special = np.array([0.0, -0.0, np.nan, np.inf, -np.inf, 1.0, -2.0, 1e-45], dtype)
    params = {"x": np.tile(special, special.size)}
    grads = [{"x": np.repeat(special, special.size)}, {"x": -params["x"]}, params]
    assert_agrees(EveryFunction(1.0), params, grads, Place("numpy"), Place("numba"))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "backend", [NumpyBackend(), NumbaBackend(threads=3), NumbaBackend(threads=1)]
)
def test_large_arrays_are_cut_into_pieces_that_fit(backend: Any, dtype: Any) -> None:
    # One element beside and on each boundary of NumPy's blocks and Numba's pieces.
    sizes = [1, 2, 32767, 32768, 32769, 65535, 65536, 65537, 131072, 196613]
    rng = np.random.default_rng(0)
    params = {str(size): rng.standard_normal(size).astype(dtype) for size in sizes}
    optimizer = la.Lookahead(INNER["adam"](), k=2, alpha=0.3, inner_state="interpolate")
    grads = [
        trees.map(lambda leaf: rng.standard_normal(leaf.size).astype(dtype), params)
        for _ in range(5)
    ]
    assert_agrees(optimizer, params, grads, Place(backend))


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_parameters_and_gradients_need_not_be_contiguous_nor_aligned(backend: str) -> None:
    rng = np.random.default_rng(0)
    params = {
        "transposed": rng.standard_normal((4, 5)),
        "strided": rng.standard_normal(6),
        "reversed": rng.standard_normal((3, 2)),
        "broadcast": rng.standard_normal((2, 3)),
        "not aligned": rng.standard_normal(3),
        "of C": rng.standard_normal((4, 6)),
        "of Fortran": np.array(rng.standard_normal((4, 6)), order="F"),
        "cut out": rng.standard_normal((4, 6))[::2, ::3],
    }
    long = frozen({"": rng.standard_normal(18)})[""]
    odd = np.zeros(25, np.uint8)[1:].view(np.float64)
    odd[:] = rng.standard_normal(3)
    views = {
        "transposed": frozen({"": rng.standard_normal((5, 4))})[""].T,
        "strided": long[1::3],
        "reversed": rng.standard_normal((3, 2))[::-1, ::-1],
        "broadcast": np.broadcast_to(rng.standard_normal(3), (2, 3)),
        "not aligned": odd,
    }
    assert not any(view.flags.carray for view in views.values())
    whole = {name: np.ones(x.shape) for name, x in params.items() if name not in views}
    optimizer = la.Lookahead(INNER["sgd"](), k=4, alpha=0.3)
    assert_agrees(optimizer, params, [views | whole] * 5, Place(backend))


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize("way", ["own", "part of a larger one", "read-only", "strided"])
def test_gradients_are_copied_only_if_necessary(backend: str, way: str) -> None:
    shape = (1000, 512)  # 2 MB, far more than a block of NumPy's
    grads: dict[str, Any] = {
        "own": np.ones(shape, np.float32),
        "part of a larger one": np.ones((3, *shape), np.float32)[1],
        "read-only": frozen({"": np.ones(shape, np.float32)})[""],
        "strided": np.ones((shape[0], 2 * shape[1]), np.float32)[:, ::2],
    }
    optimizer = la.Lookahead(la.HeavyBall(0.1), k=2)
    stepper = la.Stepper(optimizer, {"x": np.ones(shape, np.float32)}, backend=backend)
    for _ in range(2):
        stepper.step({"x": grads[way]})
    tracemalloc.start()
    for _ in range(2):
        stepper.step({"x": grads[way]})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    size = 4 * shape[0] * shape[1]
    assert size <= peak < 1.5 * size if way == "strided" else peak < size / 2


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_an_outer_step_takes_memory_for_phi_and_its_slots_alone(backend: str) -> None:
    x = np.ones(1_000_000, np.float32)
    optimizer = la.snoo(la.SGD(0.1), 2, learning_rate=0.7, momentum=0.9)
    tracemalloc.start()
    for size in (9, x.size):  # what is compiled, is at the first
        stepper = la.Stepper(optimizer, {"x": x[:size]}, backend=backend)
        for _ in range(4):
            stepper.step({"x": x[:size]})
        if size == 9:
            tracemalloc.clear_traces()
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 3.1 * x.nbytes  # theta, phi, the velocity
    assert peak < 4.1 * x.nbytes  # and a copy that the stepper makes of what it is given


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_a_gradient_that_is_a_parameter_is_read_before_it_is_written(backend: str) -> None:
    assert_reads_before_it_writes(Place(backend), 8)


def test_equivalent_results_compare_equal() -> None:
    x = np.array([0.0, 1.0, np.nan])
    for other, message in (
        ({"x": np.array([-0.0, 1.0, np.nan])}, "the first at 0"),
        ({"x": np.array([0.0, np.nextafter(1.0, 2.0), np.nan])}, "the first at 1"),
        ({"x": x.astype(np.float32)}, "is not like"),
        ({"x": x[:, None]}, "is not like"),
        ({"y": x}, "are not"),
    ):
        with pytest.raises(AssertionError, match=message):
            assert_same_bits({"x": x}, other)
    assert_same_bits({"x": x}, {"x": np.array([0.0, 1.0, -np.nan])})
