"""Bugs of the inner optimizers and of weight decay."""

from lookahead_ref.conformance.bugs.simulation import bug

BUGS = (
    bug("momentum-dampened", "IN-6", "momentum", "heavy-ball",
        "averages gradients: v <- mu v + (1 - mu) g",
        "the learning rate is 1 - mu of what was asked for",
        "add the whole gradient: v <- mu v + g",
        'Inner.heavy_ball: * v + g -> * v + (1 - h["momentum"]) * g'),
    bug("nesterov-ignored", "IN-7", "momentum", "nesterov",
        "does heavy ball though Nesterov was asked for",
        "the gradient's weight in the update is 1, not 1 + mu",
        "use g + mu v for the update",
        'Inner.nesterov: return g + h["momentum"] * v, v -> return v, v'),
    bug("adam-uncorrected", "IN-10", "adam", "adam",
        "does not correct the moments' bias",
        "the first updates have the wrong size",
        "divide the moments by 1 - beta^t",
        'Inner.adam: (m / bias1) / (sqrt(v / bias2) + h["epsilon"]) -> '
        'm / (sqrt(v) + h["epsilon"])'),
    bug("adam-first-uncorrected", "IN-10", "adam", "adam",
        "corrects the second moment's bias only",
        "the first updates are too small",
        "divide the first moment by 1 - beta1^t",
        "Inner.adam: (m / bias1) -> m"),
    bug("adam-count-one-ahead", "IN-10", "adam", "adam",
        "corrects the moments' bias with t + 1 for t",
        "the first updates are of another size",
        "let t be 1 at the first update",
        "Inner.adam: rest1, rest2 = -> t += 1\n..."),
    bug("adam-epsilon-in-root", "IN-11", "adam", "adam",
        "adds epsilon under the root",
        "epsilon = 1e-8 acts as 1e-4: small gradients hardly move anything",
        "add epsilon to the root",
        'Inner.adam: (sqrt(v / bias2) + h["epsilon"]) -> sqrt(v / bias2 + h["epsilon"])'),
    bug("decay-ignored", "LA-27", "decay", "decay",
        "ignores weight decay",
        "weights grow",
        "hand weight decay through to the inner optimizer",
        'Inner.__init__: self.decay_kind = inner["weight_decay_kind"] -> '
        'self.decay_kind = "none"'),
    bug("decay-coupled", "IN-4", "decay", "decoupled",
        "adds weight decay to the gradient though it was to be decoupled",
        "Adam divides the decay by the gradient's size: large gradients hardly decay",
        "subtract learning rate times decay times the old weights",
        'Inner.__init__: self.decay_kind = inner["weight_decay_kind"] -> '
        'self.decay_kind = "l2"'),
    bug("decay-decoupled", "IN-3", "decay", "l2 slots",
        "decouples weight decay though it was to be added to the gradient",
        "another regularizer than the one that was tuned",
        "add decay times the weights to the gradient before anything else",
        'Inner.__init__: self.decay_kind = inner["weight_decay_kind"] -> '
        'self.decay_kind = "decoupled"'),
    bug("decay-after-update", "IN-4", "decay", "decoupled",
        "decays the weights after the update, not the old weights",
        "the update itself decays too: not the published rule",
        "take decay from the weights before the update",
        'Inner.element: direction = direction + self.h["weight_decay"] * x -> '
        'x = x - gamma * direction\n'
        'return x - gamma * self.h["weight_decay"] * x, *slots_after'),
)  # fmt: skip
