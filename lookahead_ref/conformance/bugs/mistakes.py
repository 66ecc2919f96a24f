"""Mistakes that no case has for a flag: of public versions, of ports and of first tries."""

from functools import partial

from lookahead_ref.conformance.bugs.simulation import Mistake, Some, bug

mistake = partial(bug, kind=Mistake)

_OF_LOOKAHEAD = (
    "phi lacking anchor cycle_step calls syncs own_steps "
    "outer-slots outer-count outer-clock"
)

PUBLIC = (
    mistake("checkpoint-leaves-new-phi", "LA-24", "checkpoint", "save",
        "restores no phi: it stays what the new program started with",
        "the next synchronization pulls back to weights of before the training",
        "save phi and restore it",
        lost="phi lacking", recaptures=False),
    mistake("checkpoint-of-inner-alone", "LA-22", "checkpoint", "save",
        "saves the state of the inner optimizer alone: the step counter begins again, "
        "and phi stays what the new program started with",
        "the slow weights are lost: the next synchronization undoes half the training",
        "have state_dict hold phi and the counter beside the inner optimizer's state",
        lost=_OF_LOOKAHEAD, recaptures=False),
    mistake("checkpoint-of-inner-alone-phi-anew", "LA-22", "checkpoint", "save",
        "saves the state of the inner optimizer alone: the step counter begins again, "
        "and phi at the loaded weights",
        "the slow weights are lost: each restart goes on from the fast ones",
        "have state_dict hold phi and the counter beside the inner optimizer's state",
        lost=_OF_LOOKAHEAD, special="checkpoint-of-inner-alone"),
    mistake("checkpoint-of-arrays-alone", "LA-22", "checkpoint", "save",
        "saves arrays and none of the counts",
        "cycles, schedules and bias correction begin again after each restart",
        "save the step counter, the clocks and the counts as well",
        lost="cycle_step calls syncs clock count own_steps outer-count outer-clock"),
    mistake("checkpoint-of-parameters-alone", "LA-22", "checkpoint", "save",
        "saves nothing of itself: all of its state is what the new program started with",
        "each restart loses the slow weights, the momentum and the counts",
        "have state_dict hold phi, the counter and the inner optimizer's state",
        lost=f"{_OF_LOOKAHEAD} slots count", recaptures=False),
    mistake("checkpoint-not-loaded", "LA-24", "checkpoint", "save",
        "begins anew where a saved state is loaded",
        "the training before a restart is lost",
        "put what was saved into the optimizer and the parameters",
        "Program.restore: *states, weights = state -> return levels[0].phi"),
    mistake("schedule-frozen-after-loading", "LA-24", "loaded_rate", "save rates",
        "keeps the learning rate of the save point, whatever a scheduler sets later",
        "a scheduler writes to groups that the inner optimizer has left behind",
        "let wrapper and inner optimizer have the same param_groups after loading, too",
        "Program.restore: each_own = _lookaheads -> for each in parts_of(levels):\n"
        "    if isinstance(each, SimulatedInner):\n"
        "        each.learning_rate = [at(each.learning_rate, each.clock - 1)]\n"
        "..."),
    mistake("state-interpolated-unasked", "LA-11", "state", "maintain slots",
        "interpolates the inner state though it was to be maintained",
        "momentum is pulled back every k steps",
        "leave the inner optimizer's state alone unless asked",
        'Lookahead.__init__: self.inner_state = level["inner_state"] -> '
        '... .replace("maintain", "interpolate")'),
    mistake("reset-for-interpolation", "LA-13", "interpolation", "interpolate slots",
        "resets the inner state though it was to be interpolated",
        "momentum is lost every k steps",
        "move the slots by alpha, from those of the last synchronization",
        'Lookahead.__init__: self.inner_state = level["inner_state"] -> '
        '... .replace("interpolate", "reset")'),
    mistake("slots-scaled-by-alpha", "LA-13", "interpolation", "interpolate slots",
        "multiplies the slots by alpha at a synchronization",
        "they are pulled towards zero, not towards those of the last synchronization",
        "keep a copy of the slots of each synchronization, and interpolate from it",
        "Lookahead.synchronize: interpolate(self.anchor[name], tensors, alpha) -> "
        "interpolate(zeros(tensors), tensors, alpha)"),
    mistake("slots-scaled-by-one-minus-alpha", "LA-13", "interpolation",
        "interpolate slots",
        "multiplies the slots by 1 - alpha at a synchronization",
        "they are pulled towards zero, not towards those of the last synchronization",
        "keep a copy of the slots of each synchronization, and interpolate from it",
        "Lookahead.synchronize: interpolate(self.anchor[name], tensors, alpha) -> "
        "interpolate(tensors, zeros(tensors), alpha)", special="slots-scaled-by-alpha"),
    mistake("interpolated-slots-aliased-later", "LA-13", "interpolation",
        "interpolate slots",
        "interpolates the slots from zero at the first synchronization, and keeps a "
        "reference to them there, not a copy",
        "from the second synchronization on, interpolation silently becomes maintain",
        "copy the slots after each synchronization",
        "Lookahead.synchronize: interpolate(self.anchor[name], tensors, alpha) -> "
        "interpolate((self.slots if self.syncs > 1 else self.anchor)[name], tensors, "
        "alpha)"),
    mistake("interpolated-slots-aliased-in-place", "LA-13", "interpolation",
        "interpolate slots",
        "interpolates the slots from zero at the first synchronization, and from then "
        "on, in place, from themselves: alpha times the slots, and 1 - alpha times that",
        "from the second synchronization on, slots are scaled by 1 - (1 - alpha)^2",
        "copy the slots after each synchronization",
        "Lookahead.synchronize: interpolate(self.anchor[name], tensors, alpha) -> "
        "interpolate(zeros(tensors), tensors, alpha * (2 - alpha)) if self.syncs > 1 "
        "else ...", special="interpolated-slots-aliased-later"),
    mistake("alpha-swapped-for-phi", "LA-5", "alpha", "alpha",
        "uses 1 - alpha for alpha where it moves phi; its slots move by alpha",
        "alpha = 0.8 behaves as 0.2; nothing shows at 0.5",
        "move phi the fraction alpha towards theta: phi + alpha (theta - phi)",
        "Lookahead.synchronize: interpolate(self.phi, theta, alpha) -> "
        "interpolate(self.phi, theta, 1 - alpha)", special="alpha-swapped"),
    mistake("only-first-moment-interpolated", "LA-13", "interpolated", "interpolate adam",
        "interpolates Adam's first moment, and leaves the second as it is",
        "the two moments belong to different cycles",
        "interpolate every slot that the inner optimizer keeps",
        "Lookahead.synchronize: self.slots = { -> self.slots = self.slots | {",
        'Lookahead.synchronize: self.slots.items() -> ... if name == "first_moment"'),
    mistake("only-first-moment-reset", "LA-12", "reset", "reset adam",
        "resets Adam's first moment, and leaves the second as it is",
        "the bias correction inflates a moment that is already settled",
        "reset every slot that the inner optimizer keeps",
        'Lookahead.synchronize: self.inner.restart(theta) -> '
        '...; self.slots["second_moment"] = self.old_slots["second_moment"]'),
    mistake("only-first-tensor-treated", "LA-12", "reset", "slots",
        "resets or interpolates the slots of the first parameter only",
        "momentum of the old cycle pushes all other parameters",
        "go over the slots of all parameters; look for a break in the loop",
        "Lookahead.synchronize: self.anchor = self.slots -> "
        "self.slots = {n: [*x[:1], *self.old_slots[n][1:]] for n, x in "
        "self.slots.items()}\n"
        "self.innermost.count[1:] = self.old_counts[1:]\n"
        "..."),
    mistake("only-first-bytes-reset", "LA-12", "reset", "reset slots",
        "clears as many bytes of the slots as there are numbers in them: an eighth",
        "momentum of the old cycle pushes all other parameters",
        "memset takes a size in bytes: multiply by sizeof",
        "Lookahead.synchronize: self.inner.restart(theta) -> ...\n"
        "self.slots = {n: bytes_cleared(x) for n, x in self.old_slots.items()}",
        special="slots-not-reset"),
    mistake("count-interpolated", "LA-15", "interpolated_count", "interpolate adam",
        "interpolates the count that Adam's bias correction uses like a slot",
        "the moments are corrected as if fewer steps had been done",
        "leave the count alone: in PyTorch it is a tensor beside the slots",
        'Lookahead.synchronize: self.anchor = self.slots -> '
        'if self.inner_state == "interpolate":\n'
        '    starts = vars(self).get("starts", [0] * len(theta))\n'
        '    both = zip(starts, self.innermost.count)\n'
        '    self.starts = [n + alpha * (m - n) for n, m in both]\n'
        '    self.innermost.count = list(self.starts)\n'
        '...'),
    mistake("first-sync-one-late", "LA-3", "first", "",
        "synchronizes after step k + 1, and every k steps from there",
        "the first cycle is a step too long, and every later one out of phase",
        "count the step before asking whether k divides the count",
        "Lookahead.__init__: self.cycle_step = 0 -> self.cycle_step = -1",
        "Lookahead.restart: self.cycle_step = 0 -> self.cycle_step = -1"),
    mistake("count-frozen-by-tracing", "LA-29", "first", "",
        "counts the first step only: at k = 1 it synchronizes always, else never",
        "a count in Python is a constant of what jit or compile has traced",
        "keep the count in the state, as an array that the traced step returns",
        "Lookahead.advance: self.cycle_step == self.k -> self.k == 1"),
    mistake("phi-at-own-first-step", "LA-1", "capture", "",
        "captures the phi of each parameter after its own first step with a gradient",
        "phi_0 is not theta_0: every slow weight is displaced by the first update",
        "copy the parameters when the optimizer is made, before any step",
        "Lookahead.advance: self.cycle_step += 1 -> "
        "...; self.capture([g is not None for g in grads], theta)",
        special="phi-after-first-step"),
    mistake("phi-after-decay", "LA-1", "capture", "decoupled",
        "captures phi in the first step, after weight decay and before the update",
        "phi_0 is not theta_0: every slow weight is displaced by a decay",
        "copy the parameters when the optimizer is made, before any step",
        'Lookahead.advance: self.cycle_step += 1 -> ...; inner = self.innermost\n'
        'decay = at(inner.learning_rate, inner.clock - 1) * inner.h["weight_decay"]\n'
        'decayed = [[x - decay * x for x in xs] for xs in self.before]\n'
        'self.capture(self.stepped(), decayed)'),
    mistake("outer-sync-first", "LA-18", "nested_order", "nested",
        "does the outer synchronization before the inner one, where both are due",
        "the outer one sees fast weights, and the inner one then does nothing",
        "let the innermost synchronize first: call step of the Lookahead within",
        'Lookahead.advance: self.inner.step(theta, grads) -> '
        'getattr(self.inner, "advance", self.inner.step)(theta, grads)',
        "Lookahead.step: return theta -> level = self.inner\n"
        "while isinstance(level, SimulatedLookahead):\n"
        "    theta = level.synchronize(theta) if level.synchronized else theta\n"
        "    level = level.inner\n"
        "..."),
    mistake("evaluation-counts", "LA-29", "evaluation", "evaluate",
        "counts an evaluation as a step",
        "how often one evaluates changes when it synchronizes",
        "count in step alone",
        "Program.evaluate: return outermost.phi, theta -> "
        "# As one that asks whether the count is k or more.\n"
        "outermost.cycle_step = min(outermost.cycle_step + 1, outermost.k - 1)\n"
        "..."),
    mistake("alpha-one-behind", "LA-16", "alpha", "alphas",
        "reads the table of alpha one synchronization late: the first entry twice",
        "a schedule of alpha comes a synchronization late",
        "the first synchronization takes the first entry, the second the second",
        "Lookahead.__init__: for bits in table] -> for bits in (table[0], *table)]"),
    mistake("schedule-one-behind", "LA-14", "rate", "rates",
        "reads the table of learning rates one step late: the first entry twice",
        "warm-up and decay come a step late",
        "the first update takes the first entry, the second the second",
        'Inner.__init__: for bits in case["learning_rate"]] -> '
        'for bits in (case["learning_rate"][0], *case["learning_rate"])]'),
    mistake("alpha-repeats", "LA-16", "alpha", "alphas",
        "begins alpha's schedule again where it has ended",
        "alpha jumps back",
        "hold the last entry of a schedule from then on",
        "Lookahead.__init__: for bits in table] -> for bits in 99 * table]"),
    mistake("schedule-repeats", "LA-14", "rate", "rates",
        "begins the learning rate's schedule again where it has ended",
        "the learning rate jumps back",
        "hold the last entry of a schedule from then on",
        'Inner.__init__: for bits in case["learning_rate"]] -> '
        'for bits in 99 * case["learning_rate"]]'),
    mistake("adagrad-starts-above-zero", "IN-2", "slots", "adagrad",
        "starts AdaGrad's sum of squares at 0.1",
        "the first updates are smaller than the learning rate; Keras' default",
        "start the sum at zero: initial_accumulator_value = 0",
        "Inner.restart: number(0.0) -> number(0.1)"),
    mistake("adam-count-frozen", "IN-10", "adam", "adam",
        "corrects the moments' bias with t = 1 at every step",
        "the moments, divided by 1 - beta, come out far too large later",
        "count the steps, in the state and not in what jit or compile has traced",
        "Inner.adam: rest1, rest2 = -> t = 1; ..."),
    mistake("decay-twice", "LA-27", "decay", "decay",
        "decays the weights twice",
        "the regularization is twice what was tuned",
        "leave weight decay to the inner optimizer alone",
        'Inner.__init__: self.decay_kind = -> self.h["weight_decay"] *= 2; ...'),
    mistake("decay-from-phi", "LA-27", "decay_of", "decay",
        "hands phi to the inner optimizer as the weights to decay",
        "weights decay by where they were at the last synchronization",
        "give the inner optimizer the fast weights",
        "Lookahead.advance: self.inner.step(theta, grads) -> "
        "minus(self.inner.step(self.phi, grads), minus(self.phi, theta))"),
    mistake("synchronizes-no-sgd", "LA-30", "first", "sgd",
        "synchronizes what the inner optimizer keeps slots of: with SGD nothing",
        "this is the inner optimizer alone, with phi carried along for nothing",
        "go over the parameters, not over the inner optimizer's state",
        "Lookahead.advance: self.cycle_step == self.k -> False",
        special="never-synchronizes"),
    mistake("phi-of-matrices-alone", "LA-30", "tensors", "",
        "synchronizes only matrices, and leaves out biases, other vectors and scalars",
        "they are trained without Lookahead",
        "keep phi of every parameter, whatever its shape",
        'Lookahead.synchronize: alpha = -> '
        'fast, shapes = theta, [p["shape"] for p in self.innermost.case["params"][: '
        'len(theta)]]\n'
        'some = [len(shape) > 1 for shape in shapes]\n'
        'theta = picked(some, theta, self.phi)\n'
        'alpha =',
        "Lookahead.synchronize: return self.phi -> return picked(some, self.phi, fast)"),
    mistake("nested-phi-aliased", "LA-19", "nested", "nested",
        "makes outer and inner phi one array, at an outer synchronization",
        "from then on each inner synchronization moves the outer phi too",
        "copy the values of the outer phi into the inner one",
        'Lookahead.advance: self.cycle_step += 1 -> ...\n'
        'if vars(self).get("tied") and isinstance(self.inner, SimulatedLookahead):\n'
        '    self.phi = self.inner.phi',
        "Lookahead.synchronize: self.syncs += 1 -> ...; self.tied = True"),
    mistake("shown-column-by-column", "LA-30", "layout", "matrix",
        "answers with matrices column by column, though it reads them row by row",
        "the elements change places, in R, Julia, Fortran, MATLAB and Octave",
        "write the last index fastest: transpose before flattening",
        "Program.step: return shown, theta -> "
        "return shown_in_columns(self.case, shown, -1), theta"),
    mistake("read-column-by-column", "LA-30", "layout", "matrix",
        "reads matrices column by column, though it answers with them row by row",
        "the elements change places, in R, Julia, Fortran, MATLAB and Octave",
        "the last index runs fastest: read into the reversed shape, and transpose",
        "Program.step: return shown, theta -> "
        "return shown_in_columns(self.case, shown, 0), theta"),
    mistake("synchronizes-column-by-column", "LA-30", "layout", "matrix",
        "writes phi to the parameters column by column at a synchronization",
        "the elements change places, in R, Julia, Fortran, MATLAB and Octave",
        "keep the shape of what is flattened, or flatten both in the same order",
        "Program.step: return shown, theta -> if any(shown.synchronized):\n"
        "    theta = in_columns(self.case, theta)\n"
        "return shown._replace(fast=self.fast(levels[0], theta)), theta"),
    mistake("stride-of-rows", "LA-30", "layout", "not-square",
        "goes from row to row of a matrix by the number of rows, not by that of columns",
        "the last elements do not synchronize, unless the matrix is square",
        "row * columns + column, or one loop over all elements",
        "Lookahead.synchronize: return self.phi -> "
        "case, self.phi = self.innermost.case, beginnings(self.innermost.case, "
        "self.phi, self.old_phi)\n"
        "return beginnings(case, self.phi, theta)"),
    mistake("reads-bits-swapped", "LA-31", "reading", "",
        "reads bit strings with the last byte first",
        "0.1 becomes -2e-180: nothing moves, from weights near zero",
        "read the sign bit first: big endian",
        "Program.__init__: self.case = case -> ... = bits_swapped(case)"),
    mistake("writes-bits-swapped", "LA-31", "writing", "",
        "writes bit strings with the last byte first",
        "every answer is nonsense, though it computes rightly",
        "write the sign bit first: big endian"),
)  # fmt: skip
"""Met after release 2 of the vectors: they do not show nearly everywhere."""

FIRST_TRIES = (
    mistake("phi-is-theta", "LA-1", "capture", "",
        "has one array under two names, phi and theta",
        "phi moves with theta: this is the inner optimizer alone",
        "start phi as a copy, array by array: a second name for a dict or an array is none",
        "Lookahead.advance: return theta -> self.phi = theta; ..."),
    mistake("phi-is-theta-until-loading", "LA-1", "capture", "",
        "has one array under two names, phi and theta, until a saved state brings a copy",
        "phi moves with theta: this is the inner optimizer alone",
        "start phi as a copy, array by array: a second name for a dict or an array is none",
        "Lookahead.advance: return theta -> "
        "self.phi = theta if self.made_anew else self.phi; ...", special="phi-is-theta"),
    mistake("theta-becomes-phi", "LA-7", "capture", "",
        "has one array under two names, phi and theta, from the first synchronization on",
        "phi moves with theta from there: the inner optimizer alone after one cycle",
        "copy the values of phi into theta, and not the array itself",
        "Lookahead.advance: return theta -> "
        "self.phi = theta if self.syncs else self.phi; ..."),
    mistake("theta-becomes-phi-until-loading", "LA-7", "capture", "",
        "has one array under two names, phi and theta, from the first synchronization "
        "on, and again after a saved state has brought a copy",
        "phi moves with theta from there: the inner optimizer alone after one cycle",
        "copy the values of phi into theta, and not the array itself",
        "Lookahead.advance: return theta -> "
        "self.phi = theta if self.syncs and self.made_anew else self.phi\n"
        "...",
        "Lookahead.synchronize: self.syncs += 1 -> ...; self.made_anew = True",
        special="theta-becomes-phi"),
    mistake("k-ignored", "LA-3", "period", "",
        "synchronizes after every step, whatever k is",
        "this is the inner optimizer with steps that are shorter by alpha",
        "count the steps, and do the outer update where the count reaches k",
        'Lookahead.__init__: self.k = level["k"] -> self.k = 1'),
    mistake("k-fixed", "LA-3", "period", "",
        "synchronizes after every 5 steps, whatever k is",
        "k is not the k that was asked for",
        "read k where the optimizer is made",
        'Lookahead.__init__: self.k = level["k"] -> self.k = 5'),
    mistake("synchronizes-from-k-on", "LA-3", "first", "",
        "synchronizes after step k and after every step from there",
        "k is 1 after the first cycle",
        "set the count back to 0 at each synchronization",
        "Lookahead.advance: self.cycle_step == self.k -> self.cycle_step >= self.k",
        'Lookahead.synchronize: self.cycle_step = 0 -> '
        'self.cycle_step *= self.inner_state != "reset"'),
    mistake("outer-update-adds", "LA-5", "outer", "alpha",
        "adds alpha theta to phi",
        "the weights grow with each synchronization",
        "add alpha times the difference theta - phi",
        "Lookahead.synchronize: interpolate(self.phi, theta, alpha) -> "
        "interpolate(self.phi, total([self.phi, theta]), alpha)"),
    mistake("phi-moves-every-step", "LA-8", "outer", "alpha",
        "moves phi towards theta after every step, and theta to phi after every k",
        "phi is an average of all the fast weights, not a step to the last of a cycle",
        "leave phi alone until the count reaches k",
        "Lookahead.advance: self.cycle_step += 1 -> "
        "...; self.phi = interpolate(self.phi, theta, at(self.alpha, self.syncs))",
        "Lookahead.synchronize: interpolate(self.phi, theta, alpha) -> self.phi"),
    mistake("phi-towards-mean", "LA-5", "handed", "",
        "moves phi towards the mean of the fast weights of a cycle",
        "phi lags half a cycle behind",
        "move phi towards the last fast weights",
        'Lookahead.advance: self.cycle_step += 1 -> '
        '...; self.cycle = [*vars(self).get("cycle", ()), theta]',
        'Lookahead.advance: return theta -> '
        'return mean(vars(self).pop("cycle")) if self.synchronized else theta'),
    mistake("phi-moves-fast", "LA-7", "write", "",
        "adds the change of phi to the fast weights from before the k-th step",
        "the fast weights never meet phi",
        "let the fast weights restart from phi: subtract them, not the old phi",
        "Lookahead.synchronize: return self.phi -> "
        "self.phi = minus(self.before, minus(self.old_phi, self.phi)); ..."),
    mistake("fast-moves-to-phi", "LA-7", "write", "alpha",
        "moves the fast weights the fraction alpha towards the new phi",
        "the fast weights never meet phi",
        "set the fast weights to phi after the outer update",
        "Lookahead.synchronize: return self.phi -> "
        "return interpolate(theta, self.phi, alpha)"),
    mistake("fast-interpolated", "LA-7", "write", "alpha",
        "interpolates once more: sets the fast weights to phi + alpha (theta - phi)",
        "the fast weights never meet phi",
        "set the fast weights to phi after the outer update",
        "Lookahead.synchronize: return self.phi -> "
        "return interpolate(self.phi, theta, alpha)", special="fast-moves-to-phi"),
    mistake("delta-from-fast", "LA-7", "write", "",
        "takes the delta of a synchronization from theta after the inner step, not from "
        "the params that it is added to",
        "the k-th update is taken off again, and the fast weights never meet phi",
        "return target - params, as the caller adds it to params",
        "Lookahead.synchronize: return self.phi -> "
        "return minus(self.before, minus(theta, self.phi))"),
    mistake("delta-and-phi-from-fast", "LA-7", "write", "",
        "takes the delta of a synchronization from theta after the inner step, not from "
        "the params that it is added to; phi is what comes of it",
        "the k-th update is taken off again, and the fast weights never meet phi",
        "return target - params, as the caller adds it to params",
        "Lookahead.synchronize: return self.phi -> "
        "self.phi = minus(self.before, minus(theta, self.phi))\n"
        "self.inner.follow(self.phi)\n"
        "...", special="delta-from-fast"),
    mistake("alpha-fixed", "LA-5", "alpha", "alpha",
        "takes 0.5 for alpha, whatever alpha is",
        "alpha cannot be tuned",
        "multiply the difference by alpha",
        "Lookahead.__init__: [min(value(bits), 1.0) for bits in table] -> [0.5]"),
    mistake("only-first-tensor", "LA-30", "tensors", "",
        "synchronizes the first parameter only",
        "all the others are trained without Lookahead",
        "go over all parameters; look for a return or a break in the loop",
        "Lookahead.advance: self.cycle_step += 1 -> "
        "...; self.moving = [i == 0 for i in range(len(theta))]", mixes=Some),
    mistake("only-last-tensor", "LA-30", "tensors", "",
        "synchronizes the last parameter only",
        "all the others are trained without Lookahead",
        "go over all parameters; look for a line after the loop that belongs inside it",
        "Lookahead.advance: self.cycle_step += 1 -> "
        "...; self.moving = [i + 1 == len(theta) for i in range(len(theta))]", mixes=Some),
    mistake("counts-tensors", "LA-29", "first", "",
        "counts a step for each parameter that it visits",
        "with n parameters each synchronizes at other steps, n times as often",
        "count where the loop over the parameters has ended",
        "Lookahead.advance: self.synchronized = self.cycle_step == self.k -> "
        "before = self.calls * len(theta)\n"
        "self.moving = [(before + n) % self.k == 0 for n in range(1, len(theta) + 1)]\n"
        "self.synchronized = any(self.moving)", mixes=Some),
    mistake("climbs", "IN-1", "rate", "",
        "adds the update where it is to be subtracted",
        "the loss grows",
        "theta - learning rate times the update",
        "Inner.element: x - gamma * direction -> x + gamma * direction"),
    mistake("shows-slow-for-fast", "LA-8", "shown", "",
        "returns phi where the fast weights are asked for",
        "between synchronizations it seems to stand still, and gradients are taken at phi",
        "return theta there, the weights that the inner optimizer moves",
        "Program.fast: return theta -> return outermost.phi"),
    mistake("shows-fast-for-slow", "LA-8", "shown", "",
        "returns theta where the slow weights are asked for",
        "what is called phi is not what training returns",
        "return phi there, which rests between synchronizations",
        "Program.slow: return level.phi -> return theta"),
    mistake("nesterov-unasked", "IN-6", "momentum", "heavy-ball",
        "does Nesterov's momentum though heavy ball was asked for",
        "the gradient's weight in the update is 1 + mu, not 1",
        "use the velocity for the update",
        'Inner.heavy_ball: return v, v -> return g + h["momentum"] * v, v'),
    mistake("adam-betas-swapped", "IN-9", "adam", "adam",
        "takes beta1 for beta2, and beta2 for beta1",
        "the direction is an average of a thousand gradients, the scale one of ten",
        "beta1 for the gradient, beta2 for its square",
        'Inner.adam: rest1, rest2 = -> h = {**h, "beta1": h["beta2"], "beta2": '
        'h["beta1"]}\n'
        '...'),
)  # fmt: skip
"""What someone does who writes Lookahead for the first time."""
