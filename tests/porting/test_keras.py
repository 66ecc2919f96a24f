"""The port to Keras 3, on the real Keras: all of it on each backend that is installed."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conformance.running import PORTING, broken, failed, port, results

from toys import X, Y

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # Keras warns of gradients that are missing
]
BACKENDS = {"jax": "jax", "tensorflow": "tensorflow", "torch": "torch"}
FILE = PORTING / "wrapper_keras.py"
USED_WRONGLY = {
    "compiled-and-donated": ("ops.copy(variable.value)\n        )", "variable.value)"),
    "saved": (
        'def get_config(self) -> dict[str, Any]:\n        """Describe',
        'def told(self):\n        """',
    ),
    "config": ('"k": self.k', '"k": 1'),
    "schedule": ("rate if callable(rate) else", "0.1 if callable(rate) else"),
    "learning-rate": ("return self.outer.learning_rate", "return 0.1"),
    "clipnorm": (
        "self.inner.apply(grads",
        "self.inner.clipnorm = None; self.inner.apply(grads",
    ),
    "weight-decay": ("self.inner.exclude_from", "super().exclude_from"),
    "accumulation": ("self.inner.gradient_accumulation_steps or 1", "1"),
    "average": ("{option: getattr(inner, option) for option in AVERAGE}", "{}"),
}
"""Check to a change of the port that it is to name."""
HERE = os.environ.get("KERAS_BACKEND") or next(
    (backend for backend, module in BACKENDS.items() if find_spec(module)), "none"
)
"""Keras has one backend in a process."""


@pytest.fixture
def keras(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("KERAS_BACKEND", HERE)
    port("wrapper_keras", "keras", BACKENDS.get(HERE, HERE))
    import keras

    keras.config.set_floatx("float32")
    keras.utils.set_random_seed(0)
    known = keras.saving.get_custom_objects()
    for name, kept in [*known.items()]:  # where a changed port registers its own
        monkeypatch.setitem(known, name, kept)
    return keras


@pytest.mark.parametrize("backend", [each for each in BACKENDS if each != HERE])
@pytest.mark.skipif("LOOKAHEAD_ONE_BACKEND" in os.environ, reason="one is asked for")
def test_other_backends_give_the_same(backend: str) -> None:
    port("inner_rules", "keras", BACKENDS[backend])
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-m", "slow", __file__]
    there = {"KERAS_BACKEND": backend, "LOOKAHEAD_ONE_BACKEND": "1"}
    done = subprocess.run(
        command, env={**os.environ, **there}, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stdout[-6000:]


def network(keras: Any, optimizer: Any, **compiled: Any) -> Any:
    keras.utils.set_random_seed(1)
    layers = keras.layers
    net = keras.Sequential([layers.Dense(16, "tanh"), layers.Dense(10)])
    net.build((None, 64))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    net.compile(optimizer=optimizer, loss=loss, **compiled)
    return net


def fitted(net: Any, epochs: int = 1, **more: Any) -> list[float]:
    options = {"batch_size": 16, "shuffle": False, "verbose": 0, **more}
    found: list[float] = net.fit(X, Y, epochs=epochs, **options).history["loss"]
    return found


def weights(net: Any) -> list[Any]:
    return [np.array(each) for each in net.get_weights()]


def test_it_passes_the_suite_and_trains(keras: Any) -> None:
    wrapper = port("wrapper_keras")
    level = "strict" if HERE == "torch" else "gpu"
    found = results(wrapper.Adapter, level=level)
    # Where XLA compiles it, its Adam makes inf - inf.
    overflow = {"inner-adam-overflow", "inner-adamw-overflow"}
    assert failed(found) == (set() if HERE == "torch" else overflow)
    assert sum(each.status == "passed" for each in found) > 200
    keras.config.set_floatx("float32")
    for inner_state in ("maintain", "reset", "interpolate"):
        inner = keras.optimizers.Adam(0.03)
        losses = fitted(network(keras, wrapper.Lookahead(inner, 5, 0.5, inner_state)), 12)
        assert losses[-1] < losses[0] / 2


INNER = {
    "SGD": {"momentum": 0.9, "nesterov": True},
    "Adagrad": {},
    "Adadelta": {},
    "RMSprop": {"momentum": 0.5, "centered": True},
    "Adam": {"amsgrad": True},
    "AdamW": {},
    "Adamax": {},
    "Nadam": {},
    "Adafactor": {},
    "Ftrl": {},
    "Lion": {},
    "Lamb": {},
    "Muon": {},
}


@pytest.mark.parametrize("name", INNER)
def test_around_any_optimizer_the_cycle_is_its_own_and_then_alpha_of_the_way(
    keras: Any, name: str
) -> None:
    start = [np.linspace(-1, 1, 12).reshape(4, 3), np.array([0.5, -0.25])]

    def ended(wrap: Any) -> list[Any]:
        optimizer = wrap(
            getattr(keras.optimizers, name)(0.1, weight_decay=0.1, **INNER[name])
        )
        variables = [keras.Variable(each, dtype="float32") for each in start]
        for step in range(6):
            optimizer.apply([keras.ops.sin(v.value + step) for v in variables], variables)
        return [variable.numpy() for variable in variables]

    lookahead = port("wrapper_keras").Lookahead
    alone, got = ended(lambda inner: inner), ended(lambda inner: lookahead(inner, 6, 0.25))
    for each, phi, theta in zip(got, start, alone, strict=True):
        assert not np.array_equal(phi, theta)
        np.testing.assert_allclose(each, phi + 0.25 * (theta - phi), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("inner_state", ["maintain", "reset", "interpolate"])
@pytest.mark.parametrize("name", ["Nadam", "SGD"])
def test_a_loaded_model_continues_bit_for_bit(
    keras: Any, name: str, inner_state: str, tmp_path: Path
) -> None:
    wrapper = port("wrapper_keras")
    schedules = keras.optimizers.schedules
    inner = getattr(keras.optimizers, name)(
        schedules.ExponentialDecay(0.02, 5, 0.9),
        use_ema=True,
        ema_momentum=0.8,
        clipnorm=1.0,
    )
    alpha = schedules.PolynomialDecay(0.8, 3, 0.4)
    net = network(keras, wrapper.Lookahead(inner, 4, alpha, inner_state))
    fitted(net)  # six batches: in the middle of a cycle
    net.save(tmp_path / "kept.keras")
    fitted(net)
    again = keras.models.load_model(tmp_path / "kept.keras")
    assert isinstance(again.optimizer, wrapper.Lookahead)
    assert again.optimizer.get_config() == net.optimizer.get_config()
    fitted(again)
    held = [*net.variables, *net.optimizer.variables]
    loaded = [*again.variables, *again.optimizer.variables]
    for one, other in zip(held, loaded, strict=True):
        np.testing.assert_array_equal(np.array(one), np.array(other))


def test_it_holds_in_every_way_of_use(keras: Any) -> None:
    port("wrapper_keras")
    from lookahead_ref.conformance.adapters import keras_profile

    found = keras_profile.checked(f"{FILE}:Lookahead")
    assert {each.name: each.says for each in found if each.says} == {}
    assert {each.name for each in found} == USED_WRONGLY.keys()


@pytest.mark.parametrize("name", USED_WRONGLY)
def test_a_broken_way_of_use_is_named(keras: Any, name: str, tmp_path: Path) -> None:
    if name == "compiled-and-donated" and HERE != "jax":
        pytest.skip("JAX donates buffers")
    port("wrapper_keras")
    from lookahead_ref.conformance.adapters import keras_profile

    file = broken(FILE, dict([USED_WRONGLY[name]]), tmp_path)
    make = keras_profile.lookahead_of(f"{file}:Lookahead")
    with pytest.raises(Exception):  # noqa: B017, PT011
        keras_profile.CHECKS.by_name[name].run(make)


def test_validation_sees_the_slow_weights_and_leaves_the_fast_ones(keras: Any) -> None:
    wrapper = port("wrapper_keras")

    def run(**more: Any) -> tuple[Any, Any]:
        net = network(keras, wrapper.Lookahead(keras.optimizers.SGD(0.1), k=4))
        history = net.fit(X, Y, batch_size=16, shuffle=False, verbose=0, **more).history
        return net, history

    plain, _ = run()
    seen = {"validation_data": (X, Y), "callbacks": [wrapper.EvaluateSlowWeights()]}
    net, history = run(**seen)
    for one, other in zip(weights(plain), weights(net), strict=True):
        np.testing.assert_array_equal(one, other)
    fast = net.evaluate(X, Y, verbose=0)
    with net.optimizer.slow_weights():
        slow = net.evaluate(X, Y, verbose=0)
    assert history["val_loss"] == [pytest.approx(slow)]
    assert slow != pytest.approx(fast)


def test_a_loss_scale_goes_around_it_and_skips_whole_steps(keras: Any) -> None:
    wrapper = port("wrapper_keras")
    scaled = keras.optimizers.LossScaleOptimizer
    with pytest.raises(TypeError, match="got LossScaleOptimizer"):
        wrapper.Lookahead(scaled(keras.optimizers.SGD(0.5)))
    lookahead = wrapper.Lookahead(keras.optimizers.SGD(0.5), k=2, alpha=0.5)
    optimizer = scaled(lookahead, initial_scale=2.0)
    variable = keras.Variable([4.0])
    optimizer.build([variable])
    for gradient in (2.0, np.inf, 1.0):  # scaled by 2, 2 and then 1
        found = [keras.ops.array([gradient])]
        if HERE != "jax":
            optimizer.apply(found, [variable])
            continue
        held = [variable, *optimizer.variables]
        values = [each.value for each in held]
        (theta,), own = optimizer.stateless_apply(values[1:], found, values[:1])
        for each, value in zip(held, [theta, *own], strict=True):
            each.assign(value)
    assert int(lookahead.iterations) == 2
    assert float(variable.numpy()[0]) == 3.5


@pytest.mark.skipif(HERE != "jax", reason="JAX donates buffers")
@pytest.mark.parametrize("inner_state", ["maintain", "reset", "interpolate"])
def test_a_step_whose_buffers_are_donated_is_compiled_for_all(
    keras: Any, inner_state: str
) -> None:
    import jax

    wrapper = port("wrapper_keras")
    traced, steps = [], 7

    def made() -> tuple[Any, Any]:
        variables = [keras.Variable([4.0, -1.0]), keras.Variable(2.0)]
        inner = keras.optimizers.Nadam(0.5)
        optimizer = wrapper.Lookahead(inner, k=2, alpha=0.5, inner_state=inner_state)
        optimizer.build(variables)
        return variables, optimizer

    variables, optimizer = made()

    def step(state: Any) -> Any:
        traced.append(1)
        weights, own = state
        return optimizer.stateless_apply(own, [0.1 * w for w in weights], weights)

    compiled = jax.jit(step, donate_argnums=0)
    state = [v.value for v in variables], [v.value for v in optimizer.variables]
    for _ in range(steps):
        state = compiled(state)
    assert len(traced) <= 2  # the first has numbers of Python among its arguments
    plain, eager = made()
    for _ in range(steps):
        eager.apply([0.1 * v.value for v in plain], plain)
    for got, expected in zip(state[0], plain, strict=True):
        np.testing.assert_allclose(got, expected.value, rtol=1e-5)
