"""The ports of the porting guide are right, and do what the guide says."""

import ast
import importlib
import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest
from conformance.running import (
    PORTING,
    assert_trains,
    broken,
    failed,
    named,
    port,
    results,
    statuses,
    taken,
)

from lookahead_ref import SGD, Lookahead
from lookahead_ref.conformance import cases
from lookahead_ref.conformance.diagnosis import diagnose
from lookahead_ref.conformance.running import open_target

GUIDE = PORTING.with_suffix(".md").read_text(encoding="utf-8")
PLAIN = {
    "wrapper_plain": "no-gradient-skips",
    "deltas_plain": "no-gradient-is-zero",
    "lazy_state": "no-gradient-own-clock",
    "partial_fit_numpy": "no-gradient-skips",
}


@pytest.mark.parametrize("name", PLAIN)
def test_a_port_on_plain_arrays_passes_every_case_and_trains(name: str) -> None:
    found = results(port(name).Adapter)
    assert failed(found) == set()
    assert_trains(port(name).Adapter())
    lacking = [each for each in found if "no-gradient" in each.case.flags]
    assert PLAIN[name] in {n for r in lacking if r.verdict for n in r.verdict.follows}


def test_a_port_is_run_as_the_guide_says() -> None:
    target = open_target(f"{PORTING / 'lazy_state.py'}:Adapter")
    assert statuses(taken(target, cases("nesting"))) == {"passed"}


@pytest.mark.parametrize(
    ("right", "wrong", "bug"),
    [
        ("init_single(params[name]", "init_single(g", "phi-starts-at-first-gradient"),
        ("state.update(phi=param", "state.update(phi=0 * param", "phi-starts-at-zero"),
    ],
)
def test_the_traps_of_the_guide_are_caught(
    right: str, wrong: str, bug: str, tmp_path: Path
) -> None:
    port("lazy_state")  # a program finds what this process finds
    file = broken(PORTING / "lazy_state.py", {right: wrong}, tmp_path)
    target = open_target(f"{file}:Adapter")
    (found,) = diagnose(taken(target, cases("wrapper"), dtypes=["float64"]))
    assert named(found.explanations) == {frozenset({bug})}


@pytest.mark.slow
def test_mlx_makes_state_from_gradients_unless_it_exists() -> None:
    mx = pytest.importorskip("mlx.core")
    optimizers = importlib.import_module("mlx.optimizers")
    made = []

    class Rule(optimizers.Optimizer):  # type: ignore[misc]
        def init_single(self, parameter: Any, state: Any) -> None:
            made.append(float(parameter))

        def apply_single(self, gradient: Any, parameter: Any, state: Any) -> Any:
            return parameter

    Rule().apply_gradients({"x": mx.array(5.0)}, {"x": mx.array(1.0)})
    assert made == [5.0]


def test_pytorch_training_loop_continues_from_its_saved_state() -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    loop = port("training_pytorch")
    batches = [(torch.randn(16, 4), torch.randn(16, 1)) for _ in range(14)]
    net = loop.model()
    saved = loop.train(net, batches)
    after = net.state_dict()
    # Evaluation has left no trace, and what is shipped is neither weights nor statistics
    # of the fast side.
    for name, value in saved["model"].items():
        assert torch.equal(value, after[name])
    place = saved["optimizer"]["lookahead"]
    assert (place["syncs"], place["cycle_step"]) == (1, 2)
    assert not torch.equal(saved["phi"]["0.weight"], after["0.weight"])
    assert not torch.equal(saved["phi"]["1.running_mean"], after["1.running_mean"])


ROW = r"^\| `([\w/]+\.py)` \| `(\w+)`(?: = (\S+))? \| `(\w+)`(?: = (\S+))? \|"
ROWS = re.findall(ROW, GUIDE, re.M)


@pytest.mark.parametrize("row", ROWS)
def test_names_and_defaults_are_those_of_the_installed_packages(
    row: tuple[str, ...],
) -> None:
    path, *expected = row
    package = path.partition("/")[0]
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        pytest.skip(f"needs {package}")
    if package == "lookahead_ref":  # its alpha depends on whether outer is given
        made = vars(Lookahead(SGD(0.1)))
        assert expected == ["k", str(made["k"]), "alpha", str(made["alpha"])]
        return
    source = (Path(spec.origin).parents[1] / path).read_text(encoding="utf-8")
    defaults: dict[str, Any] = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.arguments):
            lacking = [None] * (len(node.args) - len(node.defaults))
            for each, value in zip(node.args, [*lacking, *node.defaults], strict=True):
                defaults.setdefault(each.arg, value)
        if isinstance(node, ast.AnnAssign) and node.value:  # of a dataclass
            defaults[ast.unparse(node.target)] = node.value
    for name, default in (expected[:2], expected[2:]):
        value = defaults[name]
        assert (value is None and not default) or ast.unparse(value) == default


def test_the_names_of_the_public_implementations_are_checked() -> None:
    assert len(ROWS) >= 6
