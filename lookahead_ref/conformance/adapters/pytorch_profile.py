"""The profile ``pytorch``: what PyTorch's users do with an optimizer besides its steps.

Each check uses a Lookahead in another way and compares it, bit for bit, with itself in
plain use; the golden suite checks the steps. A check is a function of `Make`; it raises
`Wrong`, or anything, if it fails.
"""

import copy
import io
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from lookahead_ref.conformance.adapters.profiles import (
    ALPHA,
    SAVED,
    STEPS,
    Check,
    Checks,
    Found,
    K,
    Make,
    Wrong,
    lookahead_of,
    names_of,
)
from lookahead_ref.conformance.protocol import UnsupportedError

RATE, MOMENTUM = 0.1, 0.9
LOADING = "load-twice", "bfloat16", "half"
CHECKS = Checks()


# Plain use of a Lookahead.


@dataclass
class Trained:
    """Parameters, an inner optimizer, and the Lookahead around it."""

    params: list[Any]
    inner: Any
    optimizer: Any

    def gradients(self, step: int) -> None:
        """Set gradients of a quadratic with a moving centre."""
        for number, p in enumerate(self.params):
            p.grad = 0.5 * p.detach() - torch.sin(torch.ones_like(p) * (step + number))

    def steps(self, first: int = 0, last: int = STEPS) -> list[Any]:
        for step in range(first, last):
            self.gradients(step)
            self.optimizer.step()
        return self.weights()

    def weights(self) -> list[Any]:
        return [p.detach().clone() for p in self.params]


def begun(
    make: Make,
    dtype: Any = torch.float32,
    rates: tuple[float, ...] = (),
    momentum: float = MOMENTUM,
) -> Trained:
    """Make a new run; with rates, each parameter has its own group."""
    values = torch.linspace(-2, 2, 6).reshape(2, 3), torch.ones(3)
    params = [torch.nn.Parameter(each.to(dtype)) for each in values]
    groups: list[Any] = params
    if rates:
        groups = [{"params": [p], "lr": r} for p, r in zip(params, rates, strict=True)]
    inner = torch.optim.SGD(groups, lr=RATE, momentum=momentum)
    return Trained(params, inner, make(inner))


def same(got: list[Any], expected: list[Any], says: str, within: float = 0.0) -> None:
    for one, other in zip(got, expected, strict=True):
        apart = (one.double() - other.double()).abs().max().item()
        if not apart <= within:
            raise Wrong(f"{says}: the weights are {apart:.2g} apart")


def true(holds: bool, says: str) -> None:
    if not holds:
        raise Wrong(says)


def restored(run: Trained, saved: Any, weights: list[Any]) -> Trained:
    """Load weights and a state."""
    with torch.no_grad():
        for p, value in zip(run.params, weights, strict=True):
            p.copy_(value)
    run.optimizer.load_state_dict(saved)
    return run


def left(
    make: Make, dtype: Any = torch.float32, momentum: float = MOMENTUM
) -> tuple[Any, list[Any], list[Any]]:
    """Return the state and the weights at the save point, and the weights at the end."""
    run = begun(make, dtype, momentum=momentum)
    weights = run.steps(0, SAVED)
    saved = copy.deepcopy(run.optimizer.state_dict())
    return saved, weights, run.steps(SAVED)


# The checks.


@CHECKS.enter("hand the closure to the inner step, and return what that returns")
def closure(make: Make) -> None:
    run, expected = begun(make), begun(make).steps()
    calls = []
    for step in range(STEPS):

        def again(step: int = step) -> Any:
            calls.append(step)
            run.gradients(step)
            return torch.tensor(float(step))

        loss = run.optimizer.step(again)
        true(loss is not None, "step(closure) does not return the loss")
    true(calls == list(range(STEPS)), "step(closure) does not call the closure once a step")
    same(run.weights(), expected, "step(closure) gives other weights than step()")


@CHECKS.enter("clear the gradients that the inner optimizer reads, and leave step as it is")
def zero_grad(make: Make) -> None:
    run, expected = begun(make), begun(make).steps()
    for step in range(STEPS):
        run.optimizer.zero_grad()
        cleared = all(p.grad is None or not p.grad.any() for p in run.params)
        true(cleared, "zero_grad() clears no gradient")
        run.steps(step, step + 1)
    same(run.weights(), expected, "zero_grad() before each step changes the weights")


@CHECKS.enter("pass set_to_none on to the inner optimizer")
def set_to_none(make: Make) -> None:
    run = begun(make)
    run.gradients(0)
    run.optimizer.zero_grad(set_to_none=False)
    zeroed = all(p.grad is not None and not p.grad.any() for p in run.params)
    true(zeroed, "zero_grad(set_to_none=False) does not leave zeros")
    run.optimizer.zero_grad()
    true(all(p.grad is None for p in run.params), "zero_grad() does not set None")


@CHECKS.enter("step every group, each with its own learning rate")
def groups(make: Make) -> None:
    run, plain = begun(make, rates=(RATE, RATE)), begun(make)
    same(run.steps(), plain.steps(), "two groups give other weights than one")
    (first, second), fast, slow = (
        begun(make, rates=rates).steps()
        for rates in ((0.1, 0.01), (0.1, 0.1), (0.01, 0.01))
    )
    same([first, second], [fast[0], slow[1]], "a group cannot have its own learning rate")


@CHECKS.enter("keep k and alpha in one place: if groups have them, use those")
def groups_of_their_own(make: Make) -> None:
    def ended(*own: tuple[int, float]) -> list[Any]:
        run = begun(make, rates=(RATE, RATE))
        for group, numbers in zip(run.optimizer.param_groups, own, strict=True):
            if "" in (names := names_of(group)):
                raise UnsupportedError("a group cannot have its own k and alpha")
            group.update(zip(names, numbers, strict=True))
        return run.steps()

    usual, other = (K, ALPHA), (K - 1, ALPHA / 2)
    (first, last), (expected, unlike) = ended(usual, other), ended(usual, usual)
    says = "a group does not use its own k and alpha"
    same([first, last], [expected, ended(other, other)[1]], says)
    true(not torch.equal(last, unlike), says)


def scheduled(make: Make, run: Trained, other: Trained, says: str, first: int = 0) -> None:
    """Compare a StepLR at the wrapper with its rates written wherever they may be read."""
    schedule = torch.optim.lr_scheduler.StepLR(run.optimizer, step_size=2, gamma=0.5)
    for step in range(first, STEPS):
        # A wrapper with groups of its own writes its rate over the inner optimizer's.
        for group in (*other.inner.param_groups, *other.optimizer.param_groups):
            group["lr"] = RATE * 0.5 ** ((step - first) // 2)
        got, expected = (each.steps(step, step + 1) for each in (run, other))
        schedule.step()
    same(got, expected, says)
    true(not torch.equal(got[0], begun(make).steps()[0]), says)


@CHECKS.enter("be a torch.optim.Optimizer, and step at the rates of its own param_groups")
def scheduler(make: Make) -> None:
    says = "a StepLR at the wrapper does not set the rate of the inner step"
    scheduled(make, begun(make), begun(make), says)


@CHECKS.enter("after load_state_dict, take the inner optimizer's new param_groups")
def scheduler_after_loading(make: Make) -> None:
    saved, weights, _ = left(make)
    run, other = (restored(begun(make), copy.deepcopy(saved), weights) for _ in range(2))
    says = "after loading, a StepLR at the wrapper does not set the inner step's rate"
    scheduled(make, run, other, says, SAVED)


@CHECKS.enter(
    "save phi, the place in the cycle and the inner optimizer's state_dict; load all"
)
def state_dict(make: Make) -> None:
    saved, weights, expected = left(make)
    run = restored(begun(make), saved, weights)
    same(run.steps(SAVED), expected, "a loaded run does not continue like the saved one")


@CHECKS.enter("replace the whole state when loading, including phi and the count")
def load_twice(make: Make) -> None:
    saved, weights, _ = left(make)
    run = restored(begun(make), copy.deepcopy(saved), weights)
    expected = run.steps(SAVED)
    says = "a state loaded a second time does not continue as it did the first time"
    same(restored(run, saved, weights).steps(SAVED), expected, says)


@CHECKS.enter("copy what is loaded: a synchronization changes tensors in place")
def load_unchanged(make: Make) -> None:
    # Without momentum, as PyTorch's own optimizers share slots with what they load.
    saved, weights, _ = left(make, momentum=0.0)
    expected, *both = (
        restored(begun(make, momentum=0.0), each, weights).steps(SAVED)
        for each in (copy.deepcopy(saved), saved, saved)
    )
    for got in both:
        same(got, expected, "the steps after load_state_dict change the dict it was given")


@CHECKS.enter("keep only dicts, lists, numbers, strings and tensors in state_dict")
def weights_only(make: Make) -> None:
    buffer = io.BytesIO()
    torch.save(left(make)[0], buffer)
    buffer.seek(0)
    torch.load(buffer, weights_only=True)


def copied(make: Make, clone: Callable[[Any], Any]) -> None:
    run = begun(make)
    run.steps(0, SAVED)
    inner, params, optimizer = clone((run.inner, run.params, run.optimizer))
    got = Trained(params, inner, optimizer).steps(SAVED)
    same(run.steps(SAVED), begun(make).steps(), "the copy changes the original")
    same(got, run.weights(), "the copy gives other weights than the original")


COPIES = {"pickled": lambda it: pickle.loads(pickle.dumps(it)), "deepcopied": copy.deepcopy}
for _name, _clone in COPIES.items():
    CHECKS.by_name[_name] = Check(
        partial(copied, clone=_clone),
        "let __getstate__ and __setstate__ keep what is yours and torch.optim.Optimizer's",
    )


@CHECKS.enter(
    "pass the group to the inner optimizer, and copy phi of new parameters at once"
)
def add_param_group(make: Make) -> None:
    run, expected = begun(make), begun(make).steps()
    run.steps(0, SAVED)
    added, plain = (torch.nn.Parameter(torch.ones(2)) for _ in range(2))
    run.optimizer.add_param_group({"params": [added], "lr": RATE})
    inner = torch.optim.SGD([plain], lr=RATE, momentum=MOMENTUM)
    for step in range(SAVED, 2 * K):  # the last one synchronizes
        run.gradients(step)
        added.grad = plain.grad = torch.ones(2)
        run.optimizer.step()
        inner.step()
    moved = 1 + ALPHA * (plain.detach() - 1)
    says = "a synchronization gives wrong weights to an added parameter"
    same([added], [moved], says, 1e-6)
    added.grad = None
    same(run.steps(2 * K), expected, "adding a parameter changes the weights of others")


@CHECKS.enter(
    "call torch.optim.Optimizer.__setstate__, which makes the hooks, and call each once"
)
def hooks(make: Make) -> None:
    run = begun(make)
    seen: list[Any] = []
    run.optimizer.register_step_pre_hook(lambda each, *_: seen.append(("pre", each)))
    run.optimizer.register_step_post_hook(lambda each, *_: seen.append(("post", each)))
    run.steps(0, 1)
    expected = [("pre", run.optimizer), ("post", run.optimizer)]
    true(seen == expected, "the wrapper does not call each hook of a step exactly once")


@CHECKS.enter("have the inner param_groups, and count only in step, which the scaler calls")
def grad_scaler(make: Make) -> None:
    run, expected = begun(make), begun(make).steps()
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0, growth_interval=1000)
    for step in range(-1, STEPS):
        run.gradients(step)
        scale = scaler.scale(torch.ones(()))
        for p in run.params:
            p.grad *= scale if step >= 0 else float("inf")
        scaler.step(run.optimizer)
        scaler.update()
    same(run.weights(), expected, "a step that GradScaler skips changes something")


def narrow(make: Make, dtype: Any) -> None:
    saved, weights, expected = left(make, dtype)
    kept = all(each.dtype == dtype for each in expected)
    true(kept, f"{dtype} weights change their type")
    same(expected, begun(make).steps(), f"{dtype} weights are wrong", within=0.1)
    run = restored(begun(make, dtype), saved, weights)
    same(run.steps(SAVED), expected, f"loaded {dtype} weights are wrong")


for _name, _dtype in {"bfloat16": torch.bfloat16, "half": torch.float16}.items():
    CHECKS.by_name[_name] = Check(
        partial(narrow, dtype=_dtype),
        "keep phi in the dtype of its parameter, and alpha a Python number",
    )


@CHECKS.enter("nothing that changes between steps may be a constant of the traced step")
def compiled(make: Make) -> None:
    run, expected = begun(make), begun(make).steps()
    torch.compiler.reset()
    step = torch.compile(run.optimizer.step, backend="eager")
    for number in range(STEPS):
        run.gradients(number)
        step()
    same(run.weights(), expected, "under torch.compile, a step gives other weights", 1e-6)


@CHECKS.enter("synchronize identically on all processes")
def distributed(make: Make) -> None:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", __name__, make.target, folder]
        ranks = [
            subprocess.Popen([*command, str(rank)], stderr=subprocess.PIPE, text=True)
            for rank in range(2)
        ]
        try:
            for rank in ranks:
                _, said = rank.communicate(timeout=600)
                last = "".join(said.strip().splitlines()[-1:])
                true(rank.returncode == 0, f"a rank fails: {last}")
        finally:
            for each in ranks:
                each.kill()
        first, second, alone = torch.load(Path(folder, "seen"))
    same(first, second, "the two processes have different weights")
    same(first, alone, "two processes give other weights than one with all the data", 1e-6)


def _rank(target: str, folder: str, rank: int) -> None:
    """Run one of two processes; the first writes the weights of both and of one alone."""
    import torch.distributed as dist
    from torch.nn.parallel import DistributedDataParallel

    make = lookahead_of(target)
    inputs = torch.linspace(-1, 1, 4 * STEPS).reshape(STEPS, 4, 1)

    def trained(model: Any, rows: slice) -> list[Any]:
        optimizer = make(torch.optim.SGD(model.parameters(), lr=RATE, momentum=0.9))
        for x in inputs:
            optimizer.zero_grad()
            (model(x[rows]) - x[rows].sin()).square().mean().backward()
            optimizer.step()
        return [p.detach() for p in model.parameters()]

    def model() -> Any:
        torch.manual_seed(0)
        return torch.nn.Linear(1, 3)

    store = dist.FileStore(f"{folder}/store", 2)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=2)
    weights = trained(DistributedDataParallel(model()), slice(2 * rank, 2 * rank + 2))
    found: list[Any] = [None, None]
    dist.all_gather_object(found, weights)
    if rank == 0:
        torch.save([*found, trained(model(), slice(None))], f"{folder}/seen")
    dist.destroy_process_group()


def checked(target: str) -> list[Found]:
    """Run all checks on a target."""
    make = lookahead_of(target)
    kind = type(begun(make).optimizer)
    step, by_name = kind.step, CHECKS.by_name

    def restore() -> None:
        kind.step = step  # PyTorch wraps it when copying, which later checks would see

    found = CHECKS.taken(make, restore)
    lost = next(each.says for each in found if each.name == "state-dict")

    def with_cause(each: Found) -> Found:
        if "_hooks'" in each.says:
            return each._replace(fix=by_name["hooks"].fix)
        if "no attribute 'defaults'" in each.says and each.name not in COPIES:
            return each._replace(fix="have the defaults of the inner optimizer")
        depends = each.says == lost and each.name != "state-dict"  # they stop there
        if lost and each.verdict == "fails" and (each.name in LOADING or depends):
            return each._replace(fix="fix state-dict first: this also saves and loads")
        return each

    return [with_cause(each) for each in found]


if __name__ == "__main__":
    _rank(sys.argv[1], sys.argv[2], int(sys.argv[3]))
