"""Ports to frameworks, with the real thing: each passes the suite and trains."""

import pickle
import shutil
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conformance.running import PORTING, TRAINING, broken, failed, port, results

from lookahead_ref.conformance.protocol import setup
from toys import BATCHES, X, Y, falls, loss_of

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
DELTAS = PORTING / "deltas_jax.py"


@cache
def trained_in_pytorch(way: str = "eager") -> list[float]:
    """The losses of the steps and, at the end, that of phi."""
    wrapper = port("wrapper_pytorch", "torch")
    import torch
    from torch import nn

    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 16), nn.Tanh(), nn.Linear(16, 10))
    inner = torch.optim.Adam(model.parameters(), 0.02)
    optimizer = wrapper.Lookahead(inner, k=5, inner_state="reset")
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.99)
    compiled = partial(torch.compile, disable=way != "compiled")
    net, step = compiled(model), compiled(optimizer.step)

    def loss_on(x: Any, y: Any) -> Any:
        with torch.autocast("cpu", torch.bfloat16, enabled=way == "autocast"):
            return nn.functional.cross_entropy(net(torch.tensor(x)), torch.tensor(y))

    losses = []
    for batch in BATCHES:
        optimizer.zero_grad()
        losses.append(loss_on(*batch))
        losses[-1].backward()
        step()
        schedule.step()
    assert inner.param_groups[0]["lr"] == pytest.approx(0.02 * 0.99 ** len(losses))
    with optimizer.slow_weights():
        return [each.item() for each in (*losses, loss_on(X, Y))]


def test_pytorch_passes_and_trains_with_a_schedule() -> None:
    assert failed(results(port("wrapper_pytorch", "torch").Adapter)) == set()
    assert falls(trained_in_pytorch())


# The losses were found 1.4 per cent and 1e-5 apart.
@pytest.mark.parametrize(("way", "within"), [("autocast", 0.05), ("compiled", 1e-4)])
def test_pytorch_trains_in_mixed_precision_and_compiled_as_it_does_plainly(
    way: str, within: float
) -> None:
    if way == "compiled" and shutil.which("g++") is None:
        pytest.skip("needs a C++ compiler")
    found, eager = trained_in_pytorch(way), trained_in_pytorch()
    assert falls(found)
    np.testing.assert_allclose(found, eager, rtol=within)
    assert way == "compiled" or found != eager


def test_jax_passes_and_trains_with_its_arguments_donated() -> None:
    deltas = port("deltas_jax", "jax", "optax")
    import jax
    import jax.numpy as jnp
    import optax

    from lookahead_ref.conformance.adapters import jax_profile

    assert failed(results(deltas.Adapter, level="gpu")) == set()
    checked = jax_profile.checked(f"{DELTAS}:lookahead")
    assert {each.verdict for each in checked} == {"passes"}

    in_jax = partial(loss_of, np=jnp)
    optimizer = deltas.lookahead(optax.adam(0.02), k=5, inner_state="interpolate")

    def step(params: Any, state: Any, x: Any, y: Any) -> Any:
        loss, gradients = jax.value_and_grad(in_jax)(params, x, y)
        updates, state = optimizer.update(gradients, state, params)
        return loss, optax.apply_updates(params, updates), state

    compiled = jax.jit(step, donate_argnums=(1, 0))
    params = jax.tree.map(jnp.asarray, dict(setup(TRAINING, "float32").params))
    state, losses = optimizer.init(params), []
    for batch in BATCHES:
        loss, params, state = compiled(params, state, *batch)
        losses.append(loss)
    assert falls([*losses, in_jax(state.phi, X, Y)])


IN_PYTHON = ("due = state.cycle_step + 1 == k", "due = seen.append(1) or len(seen) == k")


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("donated", "LookaheadState(copy(params)", "LookaheadState(params"),
        ("scanned", "state.syncs + due,", "state.syncs + 1.0 * due,"),
        ("compiled", *IN_PYTHON),
        ("saved", *IN_PYTHON),
    ],
)
def test_the_profile_of_jax_names_what_is_broken(
    name: str, right: str, wrong: str, tmp_path: Path
) -> None:
    port("deltas_jax", "jax", "optax")
    from lookahead_ref.conformance.adapters import jax_profile

    start = "    at_sync = alpha"
    file = broken(DELTAS, {right: wrong, start: f"    seen = []\n{start}"}, tmp_path)
    found = {each.name: each.verdict for each in jax_profile.checked(f"{file}:lookahead")}
    assert found[name] == "fails"


def test_nnx_passes_and_trains_compiled() -> None:
    of_nnx = port("optimizer_nnx", "jax", "optax", "flax")
    import jax.numpy as jnp
    import optax
    from flax import nnx

    assert failed(results(of_nnx.Adapter, level="gpu")) == set()

    class Net(nnx.Module):  # type: ignore[misc]
        def __init__(self, rngs: Any) -> None:
            self.hidden = nnx.Linear(64, 16, rngs=rngs, param_dtype=jnp.float32)
            self.norm = nnx.BatchNorm(16, rngs=rngs, param_dtype=jnp.float32)
            self.out = nnx.Linear(16, 10, rngs=rngs, param_dtype=jnp.float32)

        def __call__(self, x: Any) -> Any:
            return self.out(nnx.tanh(self.norm(self.hidden(x))))

    def loss_of(model: Any, x: Any, y: Any) -> Any:
        found = optax.softmax_cross_entropy_with_integer_labels(model(x), y)
        return jnp.mean(found)

    model = Net(nnx.Rngs(0))
    transformation = of_nnx.lookahead(optax.adam(0.02), k=5, inner_state="reset")
    optimizer = nnx.Optimizer(model, transformation, wrt=nnx.Param)
    step = of_nnx.train_step(loss_of)
    assert falls([step(model, optimizer, *batch) for batch in BATCHES])
    fast = np.asarray(model.out.kernel[...])
    with of_nnx.slow_weights(model, optimizer):
        slow = np.asarray(model.out.kernel[...])
        assert float(loss_of(model, X, Y)) < 1
    assert not np.array_equal(fast, slow)
    np.testing.assert_array_equal(fast, np.asarray(model.out.kernel[...]))
    step(model, optimizer, *BATCHES[0])  # no buffer is in two places


def test_mlx_passes_and_trains_compiled() -> None:
    of_mlx = port("optimizer_mlx", "mlx")
    import mlx.core as mx
    from mlx import nn
    from mlx import optimizers as optim

    found = results(of_mlx.Adapter, level="gpu")
    assert failed(found) == set()
    assert any(each.status == "passed" for each in found if each.case.profile == "nesting")
    mx.random.seed(0)
    model = nn.Sequential(nn.Linear(64, 16), nn.Tanh(), nn.Linear(16, 10))
    schedule = optim.exponential_decay(0.02, 0.99)
    optimizer = of_mlx.Lookahead(optim.Adam(schedule), k=5, inner_state="reset")
    optimizer.init(model.trainable_parameters())

    def loss_of(model: Any, x: Any, y: Any) -> Any:
        return nn.losses.cross_entropy(model(x), y, reduction="mean")

    def step(x: Any, y: Any) -> Any:
        loss, gradients = nn.value_and_grad(model, loss_of)(model, x, y)
        optimizer.update(model, gradients)
        return loss

    state = [model.state, optimizer.state]
    compiled = mx.compile(step, inputs=state, outputs=state)
    losses = []
    for batch in BATCHES:
        losses.append(compiled(*map(mx.array, batch)))
        mx.eval(state, losses)
    assert falls(losses)
    assert (int(optimizer.state["syncs"]), int(optimizer.state["cycle_step"])) == (9, 3)
    assert int(optimizer.inner.step) == 3
    assert float(optimizer.learning_rate) == pytest.approx(0.02 * 0.99**47, rel=1e-4)
    with optimizer.slow_weights(model):
        assert float(loss_of(model, mx.array(X), mx.array(Y))) < float(losses[0])


def test_tinygrad_passes_and_trains_captured() -> None:
    of_tinygrad = port("optimizer_tinygrad", "tinygrad")
    from tinygrad import Context, Tensor, TinyJit
    from tinygrad.nn import Linear
    from tinygrad.nn.optim import Adam

    found = results(of_tinygrad.Adapter, level="gpu")
    assert failed(found) == set()
    assert any(each.status == "passed" for each in found if each.case.profile == "nesting")
    Tensor.manual_seed(0)
    hidden, out = Linear(64, 16), Linear(16, 10)
    params = [hidden.weight, hidden.bias, out.weight, out.bias]
    optimizer = of_tinygrad.Lookahead(Adam(params, lr=0.02), k=5, inner_state="interpolate")

    @TinyJit
    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        logits = out(hidden(x).tanh())
        loss = logits.sparse_categorical_crossentropy(y).backward()
        optimizer.step()
        return loss.realize()

    with Context(TRAINING=1):
        losses = [step(Tensor(x), Tensor(y)).item() for x, y in BATCHES]
    assert falls(losses)
    assert (optimizer.syncs.item(), optimizer.cycle_step.item()) == (9, 3)


def test_an_estimator_learns_and_is_scikit_learns() -> None:
    estimator = port("partial_fit_numpy")
    inputs = np.random.default_rng(0).normal(size=(96, 4))
    target = inputs @ np.array([1.0, -2.0, 0.5, 1.5]) + 3.0
    model = estimator.LookaheadRegressor(epochs=1).fit(inputs, target)
    rough = np.mean((model.predict(inputs) - target) ** 2)
    model.set_params(epochs=40).fit(inputs, target)
    assert np.mean((model.predict(inputs) - target) ** 2) < rough / 100
    kept = pickle.loads(pickle.dumps(model))  # in the middle of a cycle or not
    for each in (kept, model):
        each.partial_fit(inputs[:7], target[:7])
    np.testing.assert_array_equal(kept.coef_, model.coef_)
    base = pytest.importorskip("sklearn.base")
    again = base.clone(model).fit(inputs, target)
    assert not hasattr(base.clone(model), "coef_")
    assert again.get_params() == model.get_params()
