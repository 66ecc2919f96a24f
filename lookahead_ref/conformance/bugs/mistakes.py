"""Mistakes of public implementations, ports and beginners; no case has their flag."""

from functools import partial

from lookahead_ref.conformance.bugs.simulation import Mistake, Some, bug

mistake = partial(bug, kind=Mistake)

_OF_LOOKAHEAD = (
    "phi lacking anchor cycle_step calls syncs own_steps "
    "outer-slots outer-count outer-clock"
)

PUBLIC = (
    mistake("checkpoint-leaves-new-phi", "LA-24", "checkpoint", "save",
        "does not restore phi: the initial weights of the new program stay in its place",
        "the next synchronization pulls the weights back to where training began",
        "save phi and restore it",
        lost="phi lacking", recaptures=False),
    mistake("checkpoint-of-inner-alone", "LA-22", "checkpoint", "save",
        "saves only the inner optimizer's state: the step counter starts again, and phi is "
        "the initial weights of the new program",
        "the slow weights are lost: the next synchronization undoes half the training",
        "have state_dict hold phi and the counter beside the inner optimizer's state",
        lost=_OF_LOOKAHEAD, recaptures=False),
    mistake("checkpoint-of-inner-alone-phi-anew", "LA-22", "checkpoint", "save",
        "saves only the inner optimizer's state: the step counter starts again, and phi is "
        "the loaded weights",
        "the slow weights are lost: each restart continues from the fast ones",
        "have state_dict hold phi and the counter beside the inner optimizer's state",
        lost=_OF_LOOKAHEAD, special="checkpoint-of-inner-alone"),
    mistake("checkpoint-of-arrays-alone", "LA-22", "checkpoint", "save",
        "saves all arrays but no counts",
        "cycles, schedules and bias correction start again after each restart",
        "save the step counter, the clocks and the counts as well",
        lost="cycle_step calls syncs clock count own_steps outer-count outer-clock"),
    mistake("checkpoint-of-parameters-alone", "LA-22", "checkpoint", "save",
        "saves only the parameters: all of its own state starts again",
        "each restart loses the slow weights, the momentum and the counts",
        "have state_dict hold phi, the counter and the inner optimizer's state",
        lost=f"{_OF_LOOKAHEAD} slots count", recaptures=False),
    mistake("checkpoint-not-loaded", "LA-24", "checkpoint", "save",
        "does not load what was saved: it starts from the beginning",
        "the training before a restart is lost",
        "copy the saved state into the optimizer and the parameters",
        "Program.restore: *states, weights = state -> return levels[0].phi"),
    mistake("schedule-frozen-after-loading", "LA-24", "loaded_rate", "save rates",
        "keeps the learning rate that was saved, whatever a scheduler sets after loading",
        "the scheduler writes to groups that the inner optimizer no longer uses",
        "let the wrapper share param_groups with the inner optimizer after loading, too",
        "Program.restore: each_own = _lookaheads -> for each in parts_of(levels):\n"
        "    if isinstance(each, SimulatedInner):\n"
        "        each.learning_rate = [at(each.learning_rate, each.clock - 1)]\n"
        "..."),
    mistake("state-interpolated-unasked", "LA-11", "state", "maintain slots",
        "interpolates the inner state though maintain was asked for",
        "momentum is pulled back every k steps",
        "leave the inner optimizer's state alone unless asked",
        'Lookahead.__init__: self.inner_state = level["inner_state"] -> '
        '... .replace("maintain", "interpolate")'),
    mistake("reset-for-interpolation", "LA-13", "interpolation", "interpolate slots",
        "resets the inner state though interpolate was asked for",
        "momentum is lost every k steps",
        "move the slots by alpha, starting from those of the last synchronization",
        'Lookahead.__init__: self.inner_state = level["inner_state"] -> '
        '... .replace("interpolate", "reset")'),
    mistake("slots-scaled-by-alpha", "LA-13", "interpolation", "interpolate slots",
        "multiplies the slots by alpha at a synchronization",
        "slots are pulled towards zero, not towards those of the last synchronization",
        "keep a copy of the slots of each synchronization, and interpolate from it",
        "Around.synchronize: self.old_counts = -> "
        "self.anchor = {n: zeros(x) for n, x in self.slots.items()}\n"
        "..."),
    mistake("slots-scaled-by-one-minus-alpha", "LA-13", "interpolation",
        "interpolate slots",
        "multiplies the slots by 1 - alpha at a synchronization",
        "slots are pulled towards zero, not towards those of the last synchronization",
        "keep a copy of the slots of each synchronization, and interpolate from it",
        "Lookahead.synchronize: interpolate(self.anchor[name], tensors, alpha) -> "
        "interpolate(tensors, zeros(tensors), alpha)", special="slots-scaled-by-alpha"),
    mistake("interpolated-slots-aliased-later", "LA-13", "interpolation",
        "interpolate slots",
        "interpolates slots only at the first synchronization: it then keeps a reference "
        "to them, not a copy",
        "from the second synchronization on, interpolate silently becomes maintain",
        "copy the slots after each synchronization",
        "Around.synchronize: self.old_counts = -> "
        "self.anchor = self.slots if self.syncs else self.anchor\n"
        "..."),
    mistake("interpolated-slots-aliased-in-place", "LA-13", "interpolation",
        "interpolate slots",
        "interpolates slots in place from a reference to themselves after the first "
        "synchronization: s becomes alpha s, then alpha s + (1 - alpha) alpha s",
        "from the second synchronization on, slots are scaled by 1 - (1 - alpha)^2",
        "copy the slots after each synchronization",
        "Lookahead.synchronize: interpolate(self.anchor[name], tensors, alpha) -> "
        "interpolate(zeros(tensors), tensors, alpha * (2 - alpha)) "
        "if self.syncs > 1 and self.anchor[name] is not tensors else ...",
        special="interpolated-slots-aliased-later"),
    mistake("only-first-moment-interpolated", "LA-13", "interpolated", "interpolate adam",
        "interpolates Adam's first moment but not the second",
        "the two moments belong to different cycles",
        "interpolate every slot that the inner optimizer keeps",
        'Around.synchronize: self.old_counts = -> '
        'self.anchor = {**self.slots, "first_moment": self.anchor["first_moment"]}\n'
        '...'),
    mistake("only-first-moment-reset", "LA-12", "reset", "reset adam",
        "resets Adam's first moment but not the second",
        "the bias correction inflates a moment that is already settled",
        "reset every slot that the inner optimizer keeps",
        'Around.synchronize: return new -> '
        'kept = {**self.slots, "second_moment": self.old_slots["second_moment"]}\n'
        'self.undo_reset(kept, self.innermost.count)\n'
        '...'),
    mistake("only-first-tensor-treated", "LA-12", "reset", "slots",
        "resets or interpolates only the first parameter's slots",
        "momentum of the old cycle pushes the other parameters",
        "look for a break in the loop over the parameters",
        'Around.synchronize: return new -> if self.inner_state != "maintain":\n'
        '    old, self.innermost.count[1:] = self.old_slots, self.old_counts[1:]\n'
        '    self.slots = {n: [*x[:1], *old[n][1:]] for n, x in self.slots.items()}\n'
        '    self.anchor = self.slots\n'
        '    self.inner.follow(new)\n...'),
    mistake("only-first-bytes-reset", "LA-12", "reset", "reset slots",
        "clears one byte for each number of the slots: an eighth of them",
        "momentum of the old cycle pushes the other parameters",
        "memset takes a size in bytes: multiply by sizeof",
        "Around.synchronize: return new -> "
        "kept = {n: bytes_cleared(x) for n, x in self.old_slots.items()}\n"
        "self.undo_reset(kept, self.innermost.count)\n"
        "...", special="slots-not-reset"),
    mistake("count-interpolated", "LA-15", "interpolated_count", "interpolate adam",
        "interpolates Adam's step count as if it were a slot",
        "bias correction assumes fewer steps than were done",
        "leave the count alone; PyTorch keeps it as a tensor beside the slots",
        'Around.synchronize: return new -> if self.inner_state == "interpolate":\n'
        '    starts = vars(self).get("starts", [0] * len(theta))\n'
        '    alpha, both = at(self.alpha, self.syncs - 1), zip(starts, self.old_counts)\n'
        '    self.starts = [n + alpha * (m - n) for n, m in both]\n'
        '    self.innermost.count = list(self.starts)\n'
        '...'),
    mistake("first-sync-one-late", "LA-3", "first", "",
        "synchronizes after step k + 1, and every k steps from there",
        "the first cycle is one step too long, and every later cycle is out of phase",
        "count the step before testing whether k divides the count",
        "Lookahead.__init__: self.cycle_step = 0 -> self.cycle_step = -1",
        "Lookahead.restart: self.cycle_step = 0 -> self.cycle_step = -1"),
    mistake("count-frozen-by-tracing", "LA-29", "first", "",
        "counts only the first step: it synchronizes always if k is 1, and else never",
        "a Python integer becomes a constant when jit or compile traces the step",
        "keep the count in the state, as an array that the compiled step returns",
        "Lookahead.advance: self.cycle_step == self.k -> self.k == 1"),
    mistake("phi-at-own-first-step", "LA-1", "capture", "",
        "captures each parameter's phi after its first step with a gradient",
        "phi_0 is not theta_0: every slow weight is displaced by the first update",
        "copy the parameters when the optimizer is made, before any step",
        "Around.advance: self.calls += 1 -> "
        "...\nself.capture([g is not None for g in grads], theta)",
        special="phi-after-first-step"),
    mistake("phi-after-decay", "LA-1", "capture", "decoupled",
        "captures phi in the first step, after weight decay and before the update",
        "phi_0 is not theta_0: every slow weight is displaced by one decay",
        "copy the parameters when the optimizer is made, before any step",
        'Around.advance: self.calls += 1 -> ...\ninner = self.innermost\n'
        'decay = at(inner.learning_rate, inner.clock - 1) * inner.h["weight_decay"]\n'
        'decayed = [[x - decay * x for x in xs] for xs in self.before]\n'
        'self.capture(self.stepped(), decayed)'),
    mistake("outer-sync-first", "LA-18", "nested_order", "nested",
        "does the outer synchronization before the inner one when both are due",
        "the outer one uses fast weights, and the inner one then has no effect",
        "let the innermost synchronize first: call the step of the Lookahead inside",
        'Lookahead.advance: self.inner.step(theta, grads) -> '
        'getattr(self.inner, "advance", self.inner.step)(theta, grads)',
        "Lookahead.step: return theta -> level = self.inner\n"
        "while isinstance(level, SimulatedLookahead):\n"
        "    theta = level.synchronize(theta) if level.synchronized else theta\n"
        "    level = level.inner\n"
        "..."),
    mistake("evaluation-counts", "LA-29", "evaluation", "evaluate",
        "counts an evaluation as a step",
        "the number of evaluations changes when it synchronizes",
        "count only in step",
        "Program.evaluate: return outermost.phi, theta -> "
        "# As a program does that tests whether the count is k or more.\n"
        "outermost.cycle_step = min(outermost.cycle_step + 1, outermost.k - 1)\n"
        "..."),
    mistake("schedule-one-behind", "LA-14", "rate", "rates",
        "reads the learning rate's schedule one step late: it uses the first entry twice",
        "warm-up and decay come one step late",
        "use the first entry at the first update, the second at the second",
        'Inner.__init__: for bits in case["learning_rate"]] -> '
        'for bits in (case["learning_rate"][0], *case["learning_rate"])]'),
    mistake("adagrad-starts-above-zero", "IN-2", "slots", "adagrad",
        "starts AdaGrad's sum of squares at 0.1",
        "the first updates are too small; this is the default of Keras",
        "start the sum at zero: set initial_accumulator_value to 0",
        "Inner.restart: number(0.0) -> number(0.1)"),
    mistake("decay-from-phi", "LA-27", "decay_of", "decay",
        "gives phi to the inner optimizer as the weights to decay",
        "decay depends on the weights of the last synchronization",
        "give the inner optimizer the fast weights",
        "Lookahead.advance: self.inner.step(theta, grads) -> "
        "minus(self.inner.step(self.phi, grads), minus(self.phi, theta))"),
    mistake("synchronizes-no-sgd", "LA-30", "first", "sgd",
        "synchronizes only parameters that have slots: with SGD none",
        "this is the inner optimizer alone, with phi carried along for nothing",
        "loop over the parameters, not over the inner optimizer's state",
        "Lookahead.advance: self.cycle_step == self.k -> False",
        special="never-synchronizes"),
    mistake("nested-phi-aliased", "LA-19", "nested", "nested",
        "makes outer and inner phi the same array at an outer synchronization",
        "from then on each inner synchronization moves the outer phi too",
        "copy the values of the outer phi into the inner one",
        'Around.advance: self.calls += 1 -> ...\n'
        'if vars(self).get("tied") and isinstance(self.inner, SimulatedLookahead):\n'
        '    self.phi = self.inner.phi',
        "Around.synchronize: return new -> self.tied = True\n..."),
    mistake("shown-column-by-column", "LA-30", "layout", "matrix",
        "writes matrices column by column, though it reads them row by row",
        "elements change places; R, Julia, Fortran, MATLAB and Octave store columns",
        "let the last index run fastest: transpose before flattening",
        "Program.step: return shown, theta -> "
        "return shown_in_columns(self.case, shown, -1), theta"),
    mistake("read-column-by-column", "LA-30", "layout", "matrix",
        "reads matrices column by column, though it writes them row by row",
        "elements change places; R, Julia, Fortran, MATLAB and Octave store columns",
        "let the last index run fastest: read into the reversed shape, and transpose",
        "Program.step: return shown, theta -> "
        "return shown_in_columns(self.case, shown, 0), theta"),
    mistake("synchronizes-column-by-column", "LA-30", "layout", "matrix",
        "writes phi to the parameters column by column at a synchronization",
        "elements change places; R, Julia, Fortran, MATLAB and Octave store columns",
        "flatten phi and the parameters in the same order",
        "Program.step: return shown, theta -> if any(shown.synchronized):\n"
        "    theta = in_columns(self.case, theta)\n"
        "return shown._replace(fast=self.fast(levels[0], theta)), theta"),
    mistake("stride-of-rows", "LA-30", "layout", "not-square",
        "uses the number of rows, not of columns, as the distance between two rows",
        "the last elements of a matrix that is not square do not synchronize",
        "index with row * columns + column, or loop over all elements",
        "Around.synchronize: return new -> case = self.innermost.case\n"
        "self.phi = beginnings(case, self.phi, self.old_phi)\n"
        "new = beginnings(case, new, theta)\n..."),
    mistake("reads-bits-swapped", "LA-31", "reading", "",
        "reads bit strings with the last byte first",
        "0.1 becomes -2e-180: weights and steps are almost zero",
        "read the sign bit first: big endian",
        "Program.__init__: self.case = case -> ... = bits_swapped(case)"),
    mistake("writes-bits-swapped", "LA-31", "writing", "",
        "writes bit strings with the last byte first",
        "every answer is nonsense, though the arithmetic is right",
        "write the sign bit first: big endian"),
)  # fmt: skip
"""Found after release 2 of the vectors; each shows in few cases."""

FIRST_TRIES = (
    mistake("phi-is-theta", "LA-1", "capture", "",
        "keeps phi and theta in the same array",
        "phi moves with theta: this is the inner optimizer alone",
        "copy each array: a second name for a dict or an array is not a copy",
        "Around.advance: return theta -> self.phi = theta\n..."),
    mistake("phi-is-theta-until-loading", "LA-1", "capture", "",
        "keeps phi and theta in the same array until a saved state is loaded",
        "phi moves with theta: this is the inner optimizer alone",
        "copy each array: a second name for a dict or an array is not a copy",
        "Around.advance: return theta -> "
        "self.phi = theta if self.made_anew else self.phi\n...", special="phi-is-theta"),
    mistake("theta-becomes-phi", "LA-7", "capture", "",
        "keeps phi and theta in the same array after the first synchronization",
        "phi then moves with theta: after one cycle this is the inner optimizer alone",
        "copy the values of phi into theta, not the array itself",
        "Around.advance: return theta -> "
        "self.phi = theta if self.syncs else self.phi\n..."),
    mistake("theta-becomes-phi-until-loading", "LA-7", "capture", "",
        "keeps phi and theta in the same array after the first synchronization, and again "
        "after the first one that follows loading",
        "phi then moves with theta: after one cycle this is the inner optimizer alone",
        "copy the values of phi into theta, not the array itself",
        "Around.advance: return theta -> "
        "self.phi = theta if self.syncs and self.made_anew else self.phi\n"
        "...",
        "Around.synchronize: return new -> self.made_anew = True\n...",
        special="theta-becomes-phi"),
    mistake("k-fixed", "LA-3", "period", "",
        "synchronizes after every 5 steps, whatever k is",
        "k is not the k that was asked for",
        "use the k that the optimizer was made with",
        'Lookahead.__init__: self.k = level["k"] -> self.k = 5'),
    mistake("synchronizes-once", "LA-3", "first", "",
        "synchronizes at step k and never again",
        "after the first cycle this is the inner optimizer alone",
        "set the count back to 0 at each synchronization, or test whether k divides it",
        "Lookahead.advance: self.cycle_step == self.k -> self.calls + 1 == self.k"),
    mistake("synchronizes-from-k-on", "LA-3", "first", "",
        "synchronizes at step k and at every later step",
        "k is 1 after the first cycle",
        "set the count back to 0 at each synchronization",
        "Lookahead.advance: self.cycle_step == self.k -> self.cycle_step >= self.k",
        'Lookahead.synchronize: self.cycle_step = 0 -> '
        'self.cycle_step *= self.inner_state != "reset"'),
    mistake("outer-update-adds", "LA-5", "outer", "alpha",
        "adds alpha theta to phi",
        "the weights grow with each synchronization",
        "add alpha (theta - phi)",
        "Lookahead.synchronize: interpolate(self.phi, theta, alpha) -> "
        "interpolate(self.phi, total([self.phi, theta]), alpha)"),
    mistake("phi-moves-every-step", "LA-8", "outer", "alpha",
        "moves phi towards theta at every step, and sets theta to phi at every k-th",
        "phi is an average of all fast weights, not a step towards the last of a cycle",
        "leave phi alone until the count reaches k",
        "Around.advance: self.calls += 1 -> ...\n"
        "self.phi = interpolate(self.phi, theta, at(self.alpha, self.syncs))",
        "Lookahead.synchronize: interpolate(self.phi, theta, alpha) -> self.phi"),
    mistake("phi-towards-mean", "LA-5", "handed", "",
        "moves phi towards the mean of a cycle's fast weights",
        "phi lags half a cycle behind",
        "move phi towards the last fast weights of the cycle",
        'Around.advance: self.calls += 1 -> '
        '...\nself.cycle = [*vars(self).get("cycle", ()), theta]',
        'Around.advance: return theta -> '
        'theta = mean(vars(self).pop("cycle")) if self.synchronized else theta\n...'),
    mistake("phi-moves-fast", "LA-7", "write", "",
        "adds the change of phi to the fast weights from before the k-th step",
        "the fast weights never meet phi",
        "set the fast weights to the new phi",
        "Around.synchronize: return new -> "
        "self.phi = new = minus(self.before, minus(self.old_phi, new))\n..."),
    mistake("fast-moves-to-phi", "LA-7", "write", "alpha",
        "moves the fast weights by alpha towards the new phi instead of setting them",
        "the fast weights never meet phi",
        "set the fast weights to phi after the outer update",
        "Lookahead.synchronize: return self.phi -> "
        "return interpolate(theta, self.phi, alpha)"),
    mistake("fast-interpolated", "LA-7", "write", "alpha",
        "sets the fast weights to phi + alpha (theta - phi), with the new phi: twice",
        "the fast weights never meet phi",
        "set the fast weights to phi after the outer update",
        "Lookahead.synchronize: return self.phi -> "
        "return interpolate(self.phi, theta, alpha)", special="fast-moves-to-phi"),
    mistake("delta-from-fast", "LA-7", "write", "",
        "returns target minus theta after the inner step, though the caller adds it to the "
        "params from before",
        "the k-th update is undone, and the fast weights never meet phi",
        "return target - params, with the params that the caller gave",
        "Around.synchronize: return new -> "
        "new = minus(self.before, minus(theta, new))\n..."),
    mistake("delta-and-phi-from-fast", "LA-7", "write", "",
        "returns target minus theta after the inner step, though the caller adds it to the "
        "params from before; it also sets phi to the result",
        "the k-th update is undone, and the fast weights never meet phi",
        "return target - params, with the params that the caller gave",
        "Around.synchronize: return new -> "
        "self.phi = new = minus(self.before, minus(theta, new))\n"
        "self.inner.follow(self.phi)\n...", special="delta-from-fast"),
    mistake("alpha-fixed", "LA-5", "alpha", "alpha",
        "uses alpha = 0.5, whatever alpha is",
        "alpha cannot be tuned",
        "use the alpha that the optimizer was made with",
        "Lookahead.__init__: [min(value(bits), 1.0) for bits in table] -> [0.5]"),
    mistake("only-first-tensor", "LA-30", "tensors", "",
        "synchronizes only the first parameter",
        "all others are trained without Lookahead",
        "look for a return or a break in the loop over the parameters",
        "Around.advance: self.calls += 1 -> "
        "...\nself.moving = [i == 0 for i in range(len(theta))]", mixes=Some),
    mistake("only-last-tensor", "LA-30", "tensors", "",
        "synchronizes only the last parameter",
        "all others are trained without Lookahead",
        "look for a line after the loop over the parameters that belongs inside it",
        "Around.advance: self.calls += 1 -> "
        "...\nself.moving = [i + 1 == len(theta) for i in range(len(theta))]", mixes=Some),
    mistake("counts-tensors", "LA-29", "first", "",
        "counts a step for each parameter, not for all together",
        "n parameters synchronize at different steps, and n times as often",
        "count after the loop over the parameters",
        "Around.advance: self.calls += 1 -> before = self.calls * len(theta)\n"
        "self.moving = [(before + n) % self.k == 0 for n in range(1, len(theta) + 1)]\n"
        "self.synchronized = any(self.moving)\n"
        "...", mixes=Some),
    mistake("shows-slow-for-fast", "LA-8", "shown", "",
        "returns phi when asked for the fast weights",
        "weights seem to rest between synchronizations, and gradients are those at phi",
        "return theta, the weights that the inner optimizer moves",
        "Program.fast: return theta -> return outermost.phi"),
    mistake("shows-fast-for-slow", "LA-8", "shown", "",
        "returns theta when asked for the slow weights",
        "what it calls phi is not what training returns",
        "return phi, which does not move between synchronizations",
        "Program.slow: return level.phi -> return theta"),
    mistake("nesterov-unasked", "IN-6", "momentum", "heavy-ball",
        "does Nesterov's momentum though heavy ball was asked for",
        "the gradient's weight in the update is 1 + mu, not 1",
        "use the velocity for the update",
        'Inner.heavy_ball: return v, v -> return g + h["momentum"] * v, v'),
)  # fmt: skip
"""Mistakes of someone who writes Lookahead for the first time."""
