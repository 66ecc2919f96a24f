"""Mistakes of someone who writes Lookahead for the first time: named, and no flags.

They depart at once and nearly everywhere, so that no case need be made for them, and none
has their flag; a diagnosis names them all the same.
"""

from lookahead_ref.conformance.departures import makes

__all__ = ["MISTAKES"]

_mistake = makes("bug")

MISTAKES = (
    _mistake(
        "phi-is-theta", "LA-1", "capture", "alias",
        "has one array under two names, phi and theta",
        "phi moves with theta: this is the inner optimizer alone",
        "start phi as a copy, array by array: a second name for a dict or an array is none",
    ),
    _mistake(
        "theta-becomes-phi", "LA-7", "capture", "alias-after-sync",
        "has one array under two names, phi and theta, from the first synchronization on",
        "phi moves with theta from there: the inner optimizer alone after one cycle",
        "copy the values of phi into theta, and not the array itself",
    ),
    _mistake(
        "k-ignored", "LA-3", "period", "one",
        "synchronizes after every step, whatever k is",
        "this is the inner optimizer with steps that are shorter by alpha",
        "count the steps, and do the outer update where the count reaches k",
    ),
    _mistake(
        "k-fixed", "LA-3", "period", "five",
        "synchronizes after every 5 steps, whatever k is",
        "k is not the k that was asked for",
        "read k where the optimizer is made",
    ),
    _mistake(
        "synchronizes-once", "LA-3", "first", "once",
        "synchronizes after step k, and never again",
        "from there on this is the inner optimizer alone",
        "set the count back to 0 at each synchronization, or ask whether k divides it",
    ),
    _mistake(
        "synchronizes-from-k-on", "LA-3", "first", "from-k",
        "synchronizes after step k and after every step from there",
        "k is 1 after the first cycle",
        "set the count back to 0 at each synchronization",
    ),
    _mistake(
        "counts-from-one-again", "LA-3", "first", "recount",
        "sets its count back to 1 at a synchronization, and not to 0",
        "every cycle but the first is a step too short",
        "set the count back to 0",
    ),
    _mistake(
        "outer-update-backwards", "LA-5", "outer", "backwards",
        "moves phi away from theta: it has a sign or a difference the wrong way round",
        "each synchronization undoes what the inner optimizer has done",
        "phi + alpha (theta - phi)",
    ),
    _mistake(
        "outer-update-adds", "LA-5", "outer", "adds",
        "adds alpha theta to phi",
        "the weights grow with each synchronization",
        "add alpha times the difference theta - phi",
    ),
    _mistake(
        "phi-moves-every-step", "LA-8", "outer", "every-step",
        "moves phi towards theta after every step, and theta to phi after every k",
        "phi is an average of all the fast weights, not a step to the last of a cycle",
        "leave phi alone until the count reaches k",
    ),
    _mistake(
        "alpha-fixed", "LA-5", "alpha", "half",
        "takes 0.5 for alpha, whatever alpha is",
        "alpha cannot be tuned",
        "multiply the difference by alpha",
    ),
    _mistake(
        "only-first-tensor", "LA-30", "tensors", "first",
        "synchronizes the first parameter only",
        "all the others are trained without Lookahead",
        "go over all parameters; look for a return or a break in the loop",
    ),
    _mistake(
        "only-last-tensor", "LA-30", "tensors", "last",
        "synchronizes the last parameter only",
        "all the others are trained without Lookahead",
        "go over all parameters; look for a line that is behind the loop it belongs into",
    ),
    _mistake(
        "climbs", "IN-1", "rate", "negative",
        "adds the update where it is to be subtracted",
        "the loss grows",
        "theta - learning rate times the update",
    ),
    _mistake(
        "shows-slow-for-fast", "LA-8", "shown", "slow-for-fast",
        "returns phi where the fast weights are asked for",
        "between synchronizations it seems to stand still, and gradients are taken at phi",
        "return theta there, the weights that the inner optimizer moves",
    ),
    _mistake(
        "shows-fast-for-slow", "LA-8", "shown", "fast-for-slow",
        "returns theta where the slow weights are asked for",
        "what is called phi is not what training returns",
        "return phi there, which rests between synchronizations",
    ),
    _mistake(
        "velocity-not-kept", "IN-6", "momentum", "forgotten",
        "does not keep the velocity from one step to the next",
        "this is SGD: momentum does nothing",
        "keep the velocity where the next step finds it",
        "heavy-ball",
    ),
    _mistake(
        "adam-betas-swapped", "IN-9", "adam", "betas-swapped",
        "takes beta1 for beta2, and beta2 for beta1",
        "the direction is an average of a thousand gradients, the scale one of ten",
        "beta1 for the gradient, beta2 for its square",
        "adam",
    ),
)  # fmt: skip
