"""The stepper: its memory, and its state after a failed step."""

import copy
import pickle
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lookahead_ref as la
from lookahead_ref import trees
from lookahead_ref.backends.numpy import NumpyBackend
from support import (
    INNER,
    INNER_STATES,
    assert_same_bits,
    gradients,
    in_threads,
    left_as_it_was,
    mixed_params,
    on_every_backend,
    one,
    run,
)

OPTIMIZER = la.Lookahead(la.Adam(0.1), k=3, alpha=0.3, inner_state="interpolate")


@on_every_backend
def test_it_does_not_alias_the_callers_parameters(backend: str) -> None:
    params = {"x": np.arange(4.0), "s": np.array(1.0), "none": np.zeros((0, 2))}
    stepper = la.Stepper(OPTIMIZER, params, backend=backend)
    before = stepper.state_dict()
    params["x"][:] = 99.0
    params["s"][...] = 99.0
    assert_same_bits(stepper.state_dict(), before)
    stepper.step({"x": np.ones(4), "s": np.array(1.0), "none": np.zeros((0, 2))})
    assert params["x"].tolist() == [99.0] * 4


@on_every_backend
def test_its_views_are_read_only_and_change_with_the_next_step(backend: str) -> None:
    stepper = la.Stepper(OPTIMIZER, {"a": {"x": np.ones(2)}}, backend=backend)
    fast, slow = stepper.params, stepper.evaluation_params()
    for _ in range(3):
        stepper.step({"a": {"x": np.ones(2)}})
    for shown in (fast, slow, {"a": {"x": stepper.state_arrays["phi/a/x"]}}):
        with pytest.raises(ValueError, match="read-only"):
            shown["a"]["x"][0] = 5.0
        assert shown["a"]["x"][0] < 1.0


@pytest.mark.parametrize(
    "duplicate", [copy.copy, copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))]
)
def test_copying_and_pickling_are_refused(duplicate: Any) -> None:
    stepper = la.Stepper(OPTIMIZER, one(1.0))
    with pytest.raises(TypeError, match=r"cannot be copied or pickled: .* state_dict\(\)"):
        duplicate(stepper)


def test_an_optimizer_that_computes_evaluation_params_is_refused() -> None:
    class Doubled(la.Lookahead):
        def evaluation_params(self, params: Any, state: Any) -> Any:
            return trees.apply(trees.interpolate, {"alpha": 2.0}, state.phi, params)[0]

    stepper = la.Stepper(Doubled(la.SGD(1.0)), one(8.0))
    message = r"Doubled\.evaluation_params must return params or a part of the state"
    with pytest.raises(TypeError, match=message):
        stepper.evaluation_params()


def test_each_program_is_compiled_once() -> None:
    made, backend = (
        la.Lookahead(la.Adam(lambda step: 0.1 / (step + 1)), k=3),
        NumpyBackend(),
    )
    with mock.patch.object(backend, "compile", wraps=backend.compile) as compiled:
        stepper = la.Stepper(made, mixed_params(), backend=backend)
        for grads in gradients(mixed_params(), 9):
            stepper.step(grads)
    # A step within a cycle and one that ends it, each in two dtypes.
    asked = [call.args for call in compiled.call_args_list]
    assert len(asked) == len(set(asked)) == 4


GOOD = {"a": {"x": np.ones(2)}, "b": np.ones(3, np.float32)}
BAD: dict[str, Any] = {
    "missing": {"a": {"x": np.ones(2)}},
    "extra": GOOD | {"c": np.ones(1)},
    "shape": {"a": {"x": np.ones(2)}, "b": np.ones(2, np.float32)},
    "dtype": {"a": {"x": np.ones(2)}, "b": np.ones(3)},
    "kind": {"a": {"x": np.ones(2)}, "b": [1.0, 1.0, 1.0]},
    "integer": {"a": {"x": np.ones(2)}, "b": np.ones(3, int)},
    "none": None,
}


@on_every_backend
@pytest.mark.parametrize("bad", list(BAD))
def test_bad_gradients_leave_the_stepper_unchanged(bad: str, backend: str) -> None:
    made = la.Lookahead(la.Adam(0.1), 3, la.AdaptiveAlpha(), "interpolate")
    stepper, undisturbed = (la.Stepper(made, GOOD, backend=backend) for _ in range(2))
    for _ in range(4):
        stepper.step(GOOD)
        undisturbed.step(GOOD)
        with left_as_it_was(stepper, (TypeError, ValueError), "grads"):
            stepper.step(BAD[bad])
    assert_same_bits(stepper.state_dict(), undisturbed.state_dict())


class FaultError(Exception):
    """What a schedule raises, or a backend."""


@pytest.mark.parametrize("fault", [None, float("nan"), -0.5, 1e-60])
@pytest.mark.parametrize("which", ["learning_rate", "alpha"])
def test_a_failing_schedule_leaves_the_stepper_unchanged(which: str, fault: Any) -> None:
    healthy = [False]

    def schedule(clock: int) -> float:
        if healthy[0] or clock < 2:
            return 0.5
        if fault is None:
            raise FaultError(which)
        return float(fault)

    rate, alpha = (schedule, 0.5) if which == "learning_rate" else (0.5, schedule)
    made = la.Lookahead(la.HeavyBall(rate), k=1, alpha=alpha)
    stepper = la.Stepper(made, GOOD)
    stepper.step(GOOD)
    stepper.step(GOOD)
    for _ in range(2):
        with left_as_it_was(stepper, FaultError if fault is None else ValueError, which):
            stepper.step(GOOD)
    healthy[0] = True
    stepper.step(GOOD)
    assert_same_bits(stepper.params, run(made, GOOD, [GOOD] * 3)[0])


class Watched(NumpyBackend):
    """Calls a function before it compiles a program, and before it writes an array."""

    def __init__(self) -> None:
        self.before = mock.Mock()

    def compile(self, program: Any, dtype: str) -> Any:  # type: ignore[override]
        self.before()
        kernel = NumpyBackend.compile(program, dtype)

        def run(buffers: Any, scalars: Any) -> None:
            self.before()
            kernel(buffers, scalars)

        return run

    def assign(self, target: Any, values: Any) -> None:  # type: ignore[override]
        self.before()
        target[...] = values


def test_a_program_that_cannot_be_compiled_leaves_the_stepper_unchanged() -> None:
    backend = Watched()
    stepper = la.Stepper(la.Lookahead(la.SGD(0.5), k=2), GOOD, backend=backend)
    stepper.step(GOOD)
    backend.before.side_effect = FaultError
    with left_as_it_was(stepper, FaultError):
        stepper.step(GOOD)  # the first that synchronizes
    backend.before.side_effect = None
    stepper.step(GOOD)
    assert stepper.state_dict()["syncs"] == 1


@pytest.mark.parametrize("write", ["step", "load_state_dict"])
def test_an_interrupted_write_cannot_be_continued(write: str) -> None:
    backend = Watched()
    stepper = la.Stepper(la.SGD(0.5), GOOD, backend=backend)
    stepper.step(GOOD)
    saved = stepper.state_dict()
    # The first parameter is written, the second is not.
    backend.before.side_effect = [None, FaultError]
    with pytest.raises(FaultError):
        getattr(stepper, write)(GOOD if write == "step" else saved)
    backend.before.side_effect = None
    for use in (lambda: stepper.step(GOOD), stepper.state_dict):
        with pytest.raises(RuntimeError, match="was interrupted while writing: load a"):
            use()
    stepper.load_state_dict(saved)
    assert_same_bits(stepper.state_dict(), saved)
    stepper.step(GOOD)
    assert stepper.state_dict()["step"] == 2


def test_a_thread_in_another_s_step_is_refused_and_changes_nothing() -> None:
    refused = []

    def meanwhile() -> None:
        for use in (
            lambda: stepper.step(GOOD),
            stepper.state_dict,
            lambda: stepper.load_state_dict(saved),
        ):
            with pytest.raises(RuntimeError, match="threads must take turns") as caught:
                use()
            refused.append(caught)

    backend = Watched()
    stepper = la.Stepper(la.SGD(0.5), GOOD, backend=backend)
    saved, undisturbed = stepper.state_dict(), la.Stepper(la.SGD(0.5), GOOD)
    backend.before.side_effect = lambda: in_threads(lambda use: use(), [meanwhile])
    stepper.step(GOOD)
    undisturbed.step(GOOD)
    assert len(refused) == 3 * 2 * 2  # for each dtype it compiles a program and writes
    assert_same_bits(stepper.state_dict(), undisturbed.state_dict())


@on_every_backend
def test_an_overflow_does_not_interrupt_a_step(backend: str) -> None:
    params = {"a": np.ones(2, np.float32), "b": np.ones(2, np.float32)}
    huge = {"a": params["a"], "b": np.full(2, 1e30, np.float32)}  # its square is infinite
    made = la.Adam(0.1)
    stepper = la.Stepper(made, params, backend=backend)
    with np.errstate(all="raise"):
        stepper.step(huge)
    with np.errstate(all="ignore"):
        after, _ = made.step(params, huge, made.init(params))
    assert_same_bits(stepper.params, after)
    stepper.step(huge)  # nor does a warning that is an error, as in these tests


@pytest.mark.parametrize("make", [la.Stepper, lambda made, params: made.init(params)])
@pytest.mark.parametrize("made", [la.Adam(), OPTIMIZER], ids=["plain", "wrapped"])
def test_params_that_cannot_be_optimized_are_named(made: Any, make: Any) -> None:
    with pytest.raises(TypeError, match=r"params\['a/x'\] must be float32 .* got int64"):
        make(made, {"a": {"x": np.ones(2, int)}})


@on_every_backend
@pytest.mark.parametrize("library", ["array_api_strict", "torch"])
def test_arrays_of_another_library_are_refused_by_name(library: str, backend: str) -> None:
    theirs = {"a": {"x": pytest.importorskip(library).asarray([1.0])}}
    message = (
        rf"params\['a/x'\] must be a NumPy array for this backend, got one of {library}"
    )
    with pytest.raises(TypeError, match=message):
        la.Stepper(la.SGD(0.1), theirs, backend=backend)
    stepper = la.Stepper(la.SGD(0.1), {"a": {"x": np.ones(1)}}, backend=backend)
    message = rf"grads\['a/x'\] must be .* got one of {library}"
    with left_as_it_was(stepper, TypeError, message):
        stepper.step(theirs)


inner, kinds = st.sampled_from(list(INNER)), st.sampled_from(INNER_STATES)


@given(inner, kinds, st.integers(1, 4), st.integers(0, 9))
@settings(max_examples=25)
def test_parameter_names_mean_nothing(inner: str, kind: Any, k: int, steps: int) -> None:
    # Names of slots, of fields and of nothing are names of parameters as any other.
    made = la.Lookahead(INNER[inner](), k=k, inner_state=kind)
    names = {
        "velocity": {"velocity": "a"},
        "": "b",
        "phi": {"inner": {"": "c"}},
        "step": "d",
    }
    drawn = np.random.default_rng(0).standard_normal((4, 3))
    values = dict(zip("abcd", drawn, strict=True))
    renamed = trees.map(values.__getitem__, names)
    odd, plain = la.Stepper(made, renamed), la.Stepper(made, values)
    for _ in range(steps):
        odd.step(renamed)
        plain.step(values)
    assert_same_bits(odd.params, trees.map(plain.params.__getitem__, names))
