"""The pictures of the theory: what the numbers say, and the files that hold them."""

import importlib
import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lookahead_ref as la
from commands import succeeded
from lookahead_ref.cli.theory import NAMES
from lookahead_ref.experiments.theory import (
    alpha,
    horizon,
    outer,
    rate,
    save,
    stability,
    variance,
)
from lookahead_ref.theory import quadratic
from lookahead_ref.theory.planning import loss_after

# Small enough for a picture in a moment.
QUICK = {
    "alpha": "--k 3",
    "variance": "--k 5",
    "horizon": "--k 5 --longest 20",
    "rate": "--points 2",
    "stability": "--k 2",
    "outer": "--k 5 --longest 10",
}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            x, marks=[pytest.mark.slow] if x in ("horizon", "outer", "rate") else []
        )
        for x in NAMES
    ],
)
def test_a_command_writes_the_picture_twice_and_its_numbers(name: str, here: Path) -> None:
    done = succeeded(f"theory {name} {QUICK[name]} --output out")
    folder = here / "out"
    files = [f"{name}.json", f"{name}.png", f"{name}.svg"]
    assert sorted(path.name for path in folder.iterdir()) == files
    last = f"out: {name}.png, {name}.svg, {name}.json"
    assert done.stdout.splitlines()[-1] == last
    assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    root = ET.parse(folder / f"{name}.svg").getroot()
    # Text as text: it can be searched, and read aloud.
    words = " ".join(root.itertext())
    found = {"alpha": "start of the cycle", "variance": "variance of SGD"}
    assert found.get(name, "Lookahead") in words
    numbers = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    assert numbers["versions"]["lookahead-ref"] == la.__version__
    module = importlib.import_module(f"lookahead_ref.experiments.theory.{name}")
    assert " ".join(done.stdout.split()).startswith(module.summary(numbers))


def test_the_written_numbers_make_the_picture_and_json_names_the_files(here: Path) -> None:
    message = json.loads(succeeded("theory alpha --json").stdout)
    assert message["folder"].startswith("runs")
    assert message["summary"].startswith("alpha* = 0.68")
    numbers = json.loads(Path(message["json"]).read_text(encoding="utf-8"))
    save(here, "alpha", alpha.draw, numbers)
    for kind in ("png", "svg", "json"):
        assert (here / f"alpha.{kind}").read_bytes() == Path(message[kind]).read_bytes()


def test_the_line_is_that_of_a_cycle_of_lookahead() -> None:
    numbers = alpha.compute(k=4, learning_rate=1.2, alpha=0.7)
    optimizer = la.Lookahead(la.SGD(1.2), k=4, alpha=0.7)
    params: Any = {"x": np.array(numbers["theta"][0])}
    state = optimizer.init(params)
    for _ in range(4):
        grads = {"x": quadratic.gradient(params["x"], numbers["matrix"], numbers["linear"])}
        params, state = optimizer.step(params, grads, state)
    loss = quadratic.loss(params["x"], numbers["matrix"], numbers["linear"])
    step, marked = numbers["marks"]["phi"]
    assert step == 0.7
    assert marked == pytest.approx(loss, rel=1e-14)
    star, least = numbers["marks"]["star"]
    assert star == numbers["alpha_star"]
    assert least <= min(numbers["line_loss"])
    assert numbers["line_alpha"][0] < star < numbers["line_alpha"][-1]


def test_the_ratio_is_below_one_and_one_at_alpha_one() -> None:
    numbers = variance.compute((2, 5))
    for ratio in numbers["ratio"].values():
        assert np.array(ratio).shape == (len(numbers["alpha"]), len(numbers["gamma_a"]))
        assert np.all(np.array(ratio)[:-1] < 1.0)
        np.testing.assert_allclose(ratio[-1], 1.0, rtol=1e-12)


def test_lookahead_is_never_worse_than_sgd_for_a_horizon() -> None:
    numbers = horizon.compute((5,), longest=600)
    problem = horizon.problem()
    floor = 0.5 * float(np.sum(np.asarray(problem.curvature) * np.asarray(problem.noise)))
    sgd, around = numbers["best"].values()
    # With alpha = 1 Lookahead is SGD; the search's grid costs the rest.
    assert np.all(np.array(around["excess_loss"]) <= 1.001 * np.array(sgd["excess_loss"]))
    assert around["excess_loss"][-1] < 0.95 * sgd["excess_loss"][-1]
    best = (around[name] for name in ("excess_loss", "learning_rate", "alpha"))
    steps_of = numbers["gradient_evaluations"]
    for steps, loss, gamma, step in zip(steps_of, *best, strict=True):
        again = float(loss_after(problem, steps, gamma, 5, step)) - floor
        assert again == pytest.approx(loss, rel=1e-9)


def test_no_rate_is_better_than_the_best_possible() -> None:
    numbers = rate.compute(points=2)
    for cases in numbers["optimizers"].values():
        for case in cases.values():
            assert np.all(np.array(case["rate"]) >= numbers["best_possible_rate"])
            assert np.all(np.array(case["rate"]) < 1.0)
    alone = numbers["optimizers"]["SGD"]["SGD alone"]["rate"]
    kappa = np.array(numbers["condition_number"])
    np.testing.assert_allclose(alone, (kappa - 1.0) / (kappa + 1.0), rtol=1e-3)


def test_interpolating_leaves_nothing_unstable_that_was_stable() -> None:
    numbers = stability.compute()
    alone = np.array(numbers["heavy_ball"]) < 1.0
    lost = {
        state: int(np.sum(alone & (np.array(radius) >= 1.0)))
        for state, radius in numbers["cycle"].items()
    }
    assert lost["interpolate"] == 0
    assert min(lost["maintain"], lost["reset"]) > 100
    assert numbers["example"]["maintain"] == pytest.approx(1.031, abs=5e-4)
    assert f"0.0 % {stability.STATES['interpolate']}" in stability.summary(numbers)


def test_an_outer_optimizer_with_momentum_is_never_worse_than_lookahead() -> None:
    numbers = outer.compute(k=5, longest=30)
    of_lookahead, *others = (
        np.array(best["excess_loss"]) for best in numbers["best"].values()
    )
    for losses in others:
        assert np.all(losses <= 1.001 * of_lookahead)
        assert np.all(losses >= numbers["least_excess_loss"])
        assert losses[-1] < 0.6 * of_lookahead[-1]
    message = outer.summary(numbers)
    assert "descent and ascent 12.03, Lookahead, α = 0.5 0.1518" in message


@pytest.mark.parametrize("compute", [variance.compute, horizon.compute])
def test_a_picture_of_no_k_is_refused(compute: Any) -> None:
    with pytest.raises(ValueError, match="k must be given at least once"):
        compute(())
