"""Bugs of when Lookahead synchronizes, where phi starts, and what the outer update does."""

from lookahead_ref.conformance.bugs.bug import Bug
from lookahead_ref.conformance.bugs.simulation import Lookahead, picked
from lookahead_ref.conformance.oracle import Gradients, Tensors


class PeriodPlusOne(Bug, Lookahead):
    clause, place = "LA-3", "period"
    says = "synchronizes every k + 1 steps"
    breaks = "k is not the k that was tuned, and k = 1 does not exist"
    fix = "count the step first, then compare the count with k"

    def begin(self, theta: Tensors) -> None:
        super().begin(theta)
        self.k += 1


class PeriodMinusOne(Bug, Lookahead):
    clause, place = "LA-3", "period"
    says = "synchronizes every k - 1 steps"
    breaks = "k is not the k that was tuned"
    fix = "compare the number of steps done, not of steps begun, with k"

    def begin(self, theta: Tensors) -> None:
        super().begin(theta)
        self.k = max(1, self.k - 1)


class FirstSyncAtStep1(Bug, Lookahead):
    clause, place = "LA-3", "first"
    says = "synchronizes after step 1, and every k steps from there"
    breaks = "the first cycle is cut to one step and every later one is out of phase"
    fix = "count the step before testing whether k divides the count"

    def first_count(self) -> int:
        return int(self.k) - 1


class NeverSynchronizes(Bug, Lookahead):
    clause, place = "LA-3", "first"
    says = "never synchronizes"
    breaks = "this is the inner optimizer alone, with phi carried along for nothing"
    fix = "count the steps where all of them pass, and compare the count with k"

    def due(self, counted: bool) -> bool:
        return False


class PhiAfterFirstStep(Bug, Lookahead):
    clause, place = "LA-1", "capture"
    says = "captures phi after the first inner step"
    breaks = "phi_0 is not theta_0: every slow weight is displaced by the first update"
    fix = "copy the parameters when the optimizer is made, before any step"

    def after_inner_step(self, first: list[bool], theta: Tensors) -> None:
        self.phi = picked(first, theta, self.phi)
        super().after_inner_step(first, theta)


class PhiAtFirstSync(Bug, Lookahead):
    clause, place = "LA-1", "capture"
    says = "captures phi at the first synchronization"
    breaks = "the first synchronization does nothing: k steps run without Lookahead"
    fix = "copy the parameters when the optimizer is made, before any step"

    def synchronize(self, theta: Tensors) -> Tensors:
        first = [m and not n for m, n in zip(self.moving, self.own_syncs, strict=True)]
        self.phi = picked(first, theta, self.phi)
        return super().synchronize(theta)


class PhiStartsAtZero(Bug, Lookahead):
    clause, place = "LA-1", "capture"
    says = "starts phi at zero"
    breaks = "the first synchronization pulls the weights towards the origin"
    fix = "start phi as a copy of the parameters, not as zeros"

    def begin(self, theta: Tensors) -> None:
        super().begin(theta)
        self.phi = [[self.arithmetic.number(0.0)] * len(x) for x in theta]


class PhiStartsAtFirstGradient(Bug, Lookahead):
    clause, place = "LA-1", "capture"
    says = "starts phi at the first gradient"
    breaks = "the first synchronization mixes a gradient into the weights"
    fix = "copy the parameter's data, not its gradient's"

    def after_inner_step(self, first: list[bool], theta: Tensors) -> None:
        given = zip(first, self.grads, self.phi, strict=True)
        self.phi = [list(g) if f and g is not None else p for f, g, p in given]
        super().after_inner_step(first, theta)


class AlphaSwapped(Bug, Lookahead):
    clause, place = "LA-5", "alpha"
    says = "uses 1 - alpha for alpha"
    breaks = "alpha = 0.8 behaves as 0.2; nothing shows at 0.5"
    fix = "move phi the fraction alpha towards theta: phi + alpha (theta - phi)"

    def begin(self, theta: Tensors) -> None:
        super().begin(theta)
        self.alpha = [1 - each for each in self.alpha]


class AlphaIgnored(Bug, Lookahead):
    clause, place = "LA-5", "alpha"
    says = "sets phi to theta at a synchronization"
    breaks = "this is the inner optimizer alone"
    fix = "move phi the fraction alpha towards theta: phi + alpha (theta - phi)"

    def begin(self, theta: Tensors) -> None:
        super().begin(theta)
        self.alpha = [self.arithmetic.number(1.0)]


class SyncBeforeInnerStep(Bug, Lookahead):
    clause, place = "LA-4", "order"
    says = "synchronizes before the k-th inner step, not after it"
    breaks = (
        "at first a cycle has k - 1 steps; the k-th gradient is of weights that were left"
    )
    fix = "do the inner step first, then the synchronization"

    def step(self, theta: Tensors, grads: Gradients) -> Tensors:
        if self.cycle_step + 1 != self.k:
            return super().step(theta, grads)
        self.before, self.grads = theta, grads
        self.cycle_step += 1
        self.calls += 1
        self.after_inner_step([self.calls == 1] * len(theta), theta)
        self.synchronized = True
        return self.inner.step(self.synchronize(theta), grads)


class SyncWithOldFast(Bug, Lookahead):
    clause, place = "LA-4", "order"
    says = "interpolates with the fast weights from before the k-th inner step"
    breaks = "every k-th update is lost"
    fix = "hand the weights that the inner step returned to the outer update"

    def handed(self, theta: Tensors) -> Tensors:
        return self.before


class FastNotRestarted(Bug, Lookahead):
    clause, place = "LA-7", "write"
    says = "leaves the fast weights where they are at a synchronization"
    breaks = "phi is an average beside the training, which it never touches"
    fix = "write phi to the parameters after the outer update"

    def synchronize(self, theta: Tensors) -> Tensors:
        super().synchronize(theta)
        return theta


class PhiNotStored(Bug, Lookahead):
    clause, place = "LA-7", "write"
    says = "writes the interpolation to the fast weights but keeps the old phi"
    breaks = "every cycle is pulled back towards the initial weights"
    fix = "store the new phi as well as writing it to the parameters"

    def synchronize(self, theta: Tensors) -> Tensors:
        phi, new = self.phi, super().synchronize(theta)
        self.phi = phi
        return new


class PhiTakesFast(Bug, Lookahead):
    clause, place = "LA-7", "write"
    says = "stores the fast weights as phi, and writes the interpolation to the parameters"
    breaks = "phi is where the last cycle ended, not an average of all of them"
    fix = "store the interpolation as phi, and write that to the parameters"

    def synchronize(self, theta: Tensors) -> Tensors:
        new = super().synchronize(theta)
        self.phi = theta
        return new
