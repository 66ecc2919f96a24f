"""Students' programs: what is wrong is named."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from lookahead_ref.conformance import cases, judge, observe
from lookahead_ref.conformance.bugs import BUGS, CONVENTIONS, MISTAKES
from lookahead_ref.conformance.diagnosis import explain
from lookahead_ref.conformance.running import Result

CHOSEN = [
    case
    for profile in ("wrapper", "schedule", "inner:heavy-ball", "inner:adam")
    for case in cases(profile)
    if not {"overflow", "no-gradient"} & set(case.flags)
]


class Student:
    """A right Lookahead of somebody who goes on with dicts of arrays, in place."""

    sign = -1

    def start(self, setup: Any) -> None:
        (level,) = setup.levels
        self.inner = setup.inner
        if self.inner.rule not in ("sgd", "heavy-ball", "adam"):
            raise NotImplementedError(self.inner.rule)
        if self.inner.weight_decay_kind != "none" or level.inner_state != "maintain":
            raise NotImplementedError("not yet")
        self.k, self.alphas = level.k, level.alpha
        self.theta = {name: array.copy() for name, array in setup.params.items()}
        self.phi = {name: array.copy() for name, array in setup.params.items()}
        self.m = {name: np.zeros_like(array) for name, array in setup.params.items()}
        self.v = {name: np.zeros_like(array) for name, array in setup.params.items()}
        self.steps = self.count = self.syncs = 0

    def alpha(self) -> float:
        return float(self.alphas[min(self.syncs, len(self.alphas) - 1)])

    def betas(self) -> tuple[float, float]:
        return self.inner.hyperparameters["beta1"], self.inner.hyperparameters["beta2"]

    def velocity(self, name: str, g: Any) -> Any:
        return self.inner.hyperparameters["momentum"] * self.m[name] + g

    def update(self, name: str, g: Any) -> Any:
        if self.inner.rule == "heavy-ball":
            g = self.m[name] = self.velocity(name, g)
        if self.inner.rule == "adam":
            beta1, beta2 = self.betas()
            m = self.m[name] = beta1 * self.m[name] + (1 - beta1) * g
            v = self.v[name] = beta2 * self.v[name] + (1 - beta2) * g * g
            m, v = m / (1 - beta1**self.steps), v / (1 - beta2**self.steps)
            g = m / (np.sqrt(v) + self.inner.hyperparameters["epsilon"])
        return g

    def step(self, gradients: Any) -> None:
        rate = self.inner.learning_rate[min(self.steps, len(self.inner.learning_rate) - 1)]
        self.steps += 1
        for name, theta in self.theta.items():
            theta += self.sign * rate * self.update(name, gradients[name])
        self.count += 1
        if self.due():
            self.synchronize()
            self.syncs += 1

    def due(self) -> bool:
        if self.count == self.k:
            self.count = 0
            return True
        return False

    def synchronize(self) -> None:
        for name in self.theta:
            self.outer(name)

    def outer(self, name: str) -> None:
        self.phi[name] += self.alpha() * (self.theta[name] - self.phi[name])
        self.theta[name][...] = self.phi[name]

    def fast(self) -> Any:
        return self.theta

    def slow(self) -> Any:
        return [self.phi]

    def slots(self) -> Any:
        names = {"heavy-ball": ("velocity",), "adam": ("first_moment", "second_moment")}
        both = zip(names.get(self.inner.rule, ()), (self.m, self.v), strict=False)
        return dict(both)


def changed(name: str, method: Callable[..., Any]) -> type[Student]:
    return type("Changed", (Student,), {name: method})


class PhiIsTheta(Student):
    def start(self, setup: Any) -> None:
        super().start(setup)
        self.phi = self.theta


class ThetaBecomesPhi(Student):
    def outer(self, name: str) -> None:
        super().outer(name)
        self.theta[name] = self.phi[name]


class Recounts(Student):
    def due(self) -> bool:
        due = super().due()
        self.count += due
        return due


class Averages(Student):
    def due(self) -> bool:
        for name, phi in self.phi.items():
            phi += self.alpha() * (self.theta[name] - phi)
        return super().due()

    def outer(self, name: str) -> None:
        self.theta[name][...] = self.phi[name]


class Backwards(Student):
    def outer(self, name: str) -> None:
        self.phi[name] += self.alpha() * (self.phi[name] - self.theta[name])
        self.theta[name][...] = self.phi[name]


class Adds(Student):
    def outer(self, name: str) -> None:
        self.phi[name] += self.alpha() * self.theta[name]
        self.theta[name][...] = self.phi[name]


WRONG: dict[str, type[Student]] = {
    "phi-is-theta": PhiIsTheta,
    "theta-becomes-phi": ThetaBecomesPhi,
    "k-ignored": changed("due", lambda self: True),
    "k-fixed": changed("due", lambda self: self.steps % 5 == 0),
    "synchronizes-once": changed("due", lambda self: self.count == self.k),
    "synchronizes-from-k-on": changed("due", lambda self: self.count >= self.k),
    "counts-from-one-again": Recounts,
    "outer-update-backwards": Backwards,
    "outer-update-adds": Adds,
    "phi-moves-every-step": Averages,
    "alpha-fixed": changed("alpha", lambda self: 0.5),
    "only-first-tensor": changed(
        "synchronize", lambda self: self.outer(next(iter(self.theta)))
    ),
    "only-last-tensor": changed("synchronize", lambda self: self.outer([*self.theta][-1])),
    "climbs": type("Climbs", (Student,), {"sign": 1}),
    "shows-slow-for-fast": changed("fast", lambda self: self.phi),
    "shows-fast-for-slow": changed("slow", lambda self: [self.theta]),
    "velocity-not-kept": changed("velocity", lambda self, name, g: g),
    "adam-betas-swapped": changed("betas", lambda self: Student.betas(self)[::-1]),
}


def results(student: type[Student]) -> list[Result]:
    found = []
    for case in CHOSEN:
        if student.sign > 0 and case.data["problem"]["kind"] == "double-well":
            continue  # it leaves the numbers that there are
        try:
            with np.errstate(all="ignore"):
                seen = observe(case, "float64", student())
        except NotImplementedError:
            continue
        verdict = judge(case, seen, "float64")
        status: Any = "passed" if verdict.passed else "departed"
        found.append(Result(case, "float64", status, "", verdict, seen))
    return found


def test_the_right_program_passes() -> None:
    assert {result.status for result in results(Student)} == {"passed"}


def test_every_mistake_is_made_here_and_none_has_the_name_of_a_flag() -> None:
    assert list(WRONG) == [each.name for each in MISTAKES]
    assert not {each.name for each in BUGS + CONVENTIONS} & WRONG.keys()


@pytest.mark.parametrize("name", WRONG)
def test_a_mistake_is_named_and_no_other(name: str) -> None:
    found = results(WRONG[name])
    assert "departed" in {result.status for result in found}
    named = [[each.name for each in one] for one in explain(found).explanations]
    assert named == [[name]]
