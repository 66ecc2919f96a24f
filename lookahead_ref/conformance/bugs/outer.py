"""Bugs of the outer step, and of several workers that share one."""

from lookahead_ref.conformance.bugs.simulation import bug

BUGS = (
    bug("pseudo-gradient-sign", "OU-1", "pseudo_gradient", "outer",
        "takes theta - phi for the pseudo-gradient",
        "each outer step undoes what the cycle has done, and more: the loss grows",
        "take phi - theta: an optimizer goes against what it is given",
        "Lookahead.pseudo_gradient: minus(self.phi, theta) -> minus(theta, self.phi)"),
    bug("pseudo-gradient-is-theta", "OU-1", "pseudo_gradient", "outer",
        "gives the outer optimizer the fast weights, not how far they have come",
        "the outer step shrinks the weights, wherever the cycle has gone",
        "take the difference phi - theta",
        "Lookahead.pseudo_gradient: minus(self.phi, theta) -> theta"),
    bug("alpha-applied-twice", "OU-3", "pseudo_gradient", "outer",
        "interpolates by the outer learning rate, and does the outer step from there",
        "the outer learning rate is squared; nothing shows at 1",
        "let the outer step alone move phi, from what the whole cycle has done",
        "Lookahead.outer_step: return -> "
        "theta = interpolate(self.phi, theta, at(outer.learning_rate, outer.clock))\n"
        "return"),
    bug("phi-not-restored", "OU-2", "outer_start", "outer",
        "takes the outer step from the fast weights",
        "phi moves the whole cycle, and by the outer step once more",
        "put phi back into the parameters before the outer step",
        "Lookahead.outer_step: outer.step(self.phi, -> outer.step(theta,"),
    bug("outer-decay-on-theta", "OU-7", "outer_start", "outer-decay",
        "decays by the fast weights in the outer step",
        "how strong the decay is depends on how far the cycle has come",
        "take the outer weight decay from phi",
        "Lookahead.outer_step: return outer.step(self.phi, self.pseudo_gradient(theta)) "
        "-> moved = outer.step(theta, self.pseudo_gradient(theta))\n"
        "return minus(moved, minus(theta, self.phi))"),
    bug("outer-decay-ignored", "OU-7", "outer_decay", "outer-decay",
        "ignores the outer weight decay",
        "weights grow",
        "hand weight decay to the outer optimizer as well",
        'Outer.__init__: self.decay_kind = inner["weight_decay_kind"] -> '
        'self.decay_kind = "none"'),
    bug("outer-state-reset", "OU-5", "outer_state", "outer-slots",
        "makes the outer optimizer's state anew at each synchronization",
        "there is no outer momentum: every outer step is the first",
        "make the outer optimizer once, and keep it",
        "Lookahead.outer_step: return -> outer.restart(theta)\n..."),
    bug("outer-heavy-ball-for-nesterov", "OU-4", "outer_rule", "outer-nesterov",
        "does heavy ball in the outer step though Nesterov was asked for",
        "the pseudo-gradient's weight in the update is 1, not 1 + mu",
        "use g + mu v for the outer update",
        'Outer.nesterov: return g + h["momentum"] * v, v -> return v, v'),
    bug("outer-nesterov-for-heavy-ball", "OU-4", "outer_rule", "outer-heavy-ball",
        "does Nesterov's momentum in the outer step though heavy ball was asked for",
        "the pseudo-gradient's weight in the update is 1 + mu, not 1",
        "use the velocity for the outer update",
        'Outer.heavy_ball: return v, v -> return g + h["momentum"] * v, v'),
    bug("outer-momentum-dampened", "OU-4", "outer_rule", "outer-heavy-ball",
        "averages pseudo-gradients: v <- mu v + (1 - mu) g",
        "the outer learning rate is 1 - mu of what was asked for",
        "add the whole pseudo-gradient: v <- mu v + g",
        'Outer.heavy_ball: * v + g -> * v + (1 - h["momentum"]) * g'),
    bug("outer-schedule-sees-steps", "OU-6", "outer_rate", "outer-rates",
        "asks the outer learning rate's schedule for the number of steps",
        "the outer schedule runs k times too fast",
        "the outer schedule sees the number of synchronizations done",
        "Lookahead.outer_step: return -> outer.clock = self.calls - 1\n..."),
    bug("checkpoint-without-outer-state", "OU-10", "checkpoint", "save outer",
        "saves nothing of the outer optimizer",
        "outer momentum and schedule start from nothing after each restart",
        "save the outer optimizer's slots, count and clock, and restore them",
        lost="outer-slots outer-count outer-clock"),
    bug("checkpoint-without-outer-slots", "OU-10", "checkpoint", "save outer-slots",
        "saves the outer optimizer's clock but not its slots",
        "outer momentum starts from nothing after each restart",
        "save the outer optimizer's slots and count, and restore them",
        lost="outer-slots outer-count"),
    bug("workers-start-apart", "WO-2", "start", "workers",
        "starts each worker from the parameters that it has drawn itself",
        "the workers never meet: each moves by the mean, from a place of its own",
        "hand the first worker's parameters to all before the first step",
        "Workers.begin: [thetas[0] for _ in thetas] -> list(thetas)"),
    bug("workers-see-the-same-data", "WO-1", "data", "workers",
        "gives all workers the gradients of the first",
        "M workers do what one does, at M times the cost",
        "give each worker a share of the data, or a seed of its own to draw from it",
        "Workers.shares: return parted(grads, len(self.workers)) -> "
        "first, *others = parted(grads, len(self.workers))\n"
        "return [first, *(first for _ in others)]"),
    bug("k-over-all-workers", "WO-3", "period", "workers",
        "counts the steps of all workers together, and synchronizes every k of them",
        "cycles are M times too short, and there is M times as much to send",
        "count the steps of one worker",
        "Workers.__init__: self.workers = workers -> ...\n"
        "for each in workers:\n"
        "    each.k = -(-each.k // len(workers))"),
    bug("pseudo-gradients-summed", "WO-4", "mean", "workers",
        "adds the pseudo-gradients up and does not divide by their number",
        "the outer learning rate is M times what was asked for",
        "divide the sum by the number of workers",
        "Workers.synchronize: self.averaged( -> total("),
    bug("weights-averaged", "WO-5", "mean", "workers outer",
        "does an outer step in each worker by itself, and averages the slow weights",
        "nothing, if the outer step is linear, as with SGD; Adam's is another step",
        "average the pseudo-gradients, and do one outer step with the mean",
        "Workers.synchronize: thetas = list(thetas) -> "
        "phi = mean([worker.synchronize(x) for worker, x in zip(self.workers, thetas)])\n"
        "for worker in self.workers:\n"
        "    worker.follow(phi)\n"
        "return [phi for _ in self.workers]"),
    bug("outer-step-skipped", "WO-5", "outer_rule", "workers outer",
        "sets phi to the mean of the fast weights, whatever the outer optimizer is",
        "this is Local SGD: no outer learning rate, no momentum",
        "step from phi with the mean pseudo-gradient",
        "Lookahead.outer_step: return outer.step(self.phi, self.pseudo_gradient(theta)) "
        "-> return theta"),
    bug("worker-keeps-fast-weights", "WO-6", "write", "workers",
        "restarts the first worker at the new phi; the others keep their fast weights",
        "the others drift apart, and their pseudo-gradients grow with each cycle",
        "write the new phi to the parameters of every worker",
        "Workers.synchronize: thetas = list(thetas) -> "
        "given, thetas = thetas, list(thetas)",
        "Workers.synchronize: return [worker.synchronize(theta) for worker, theta in "
        "both] -> first, *_ = [worker.synchronize(theta) for worker, theta in both]\n"
        "return [first, *given[1:]]"),
    bug("inner-state-averaged", "WO-7", "inner_state", "workers slots",
        "averages the inner slots of the workers at a synchronization",
        "M times as much is sent; SlowMo offers it, by name, where it is wanted",
        "leave each worker its own inner state",
        "Workers.synchronize: return [worker.synchronize(theta) for worker, theta in "
        "both] -> new = [worker.synchronize(theta) for worker, theta in both]\n"
        "self.share_slots(mean)\n"
        "return new"),
    bug("inner-state-of-first-worker", "WO-7", "inner_state", "workers slots",
        "sends the first worker's inner slots to all at a synchronization",
        "what the others have learned of their data is lost every k steps",
        "broadcast weights alone, and leave each worker its own inner state",
        "Workers.synchronize: return [worker.synchronize(theta) for worker, theta in "
        "both] -> new = [worker.synchronize(theta) for worker, theta in both]\n"
        "self.share_slots(lambda each: each[0])\n"
        "return new"),
    bug("checkpoint-of-first-worker", "WO-8", "checkpoint", "save workers",
        "saves the first worker alone, and starts all others from what it has",
        "after a restart all have one inner state and, in mid-cycle, one theta",
        "save the inner state and the fast weights of every worker",
        'Program.saved: return then -> *parts, weights = then\n'
        'count, theta = self.case["workers"], weights["theta"]\n'
        'firsts = [parts[place - place % count] for place in range(len(parts))]\n'
        'return [*firsts, {"theta": theta[: len(theta) // count] * count}]'),
)  # fmt: skip
