"""The paper's propositions, executable, on NumPy alone.

`quadratic` is Proposition 1; `noisy_quadratic` is the model (0.6) and (0.7) with Lemma 1
and Proposition 2 for it; `cycles` does the same for momentum inside Lookahead, `outer` for
any outer optimizer and for games; `rates` is the convergence rate without noise; `planning`
answers how long and with which hyperparameters. They name what they take alike:

learning_rate : array_like
    gamma, the inner optimizer's; not negative.
curvature : array_like
    a of each coordinate, an element of the diagonal of A: an eigenvalue of the loss.
noise : array_like
    sigma^2 of each coordinate, an element of the diagonal of Sigma: a variance.
mean, variance : array_like
    E and V of x or phi before; for Lookahead just after a synchronization.
k : array_like of int
    The synchronization period; by default 1.
alpha : array_like
    The slow weights' step size, in (0, 1]; by default 1. With both defaults Lookahead is
    its inner optimizer.
steps, cycles : array_like of int
    The number of gradient evaluations, and of synchronizations; not negative.
kind : {"sgd", "heavy-ball", "nesterov"}
    The inner optimizer.
momentum : array_like
    In [0, 1); for SGD 0, the default.
inner_state : {"maintain", "reset", "interpolate"}
    What a synchronization does to the velocity; by default nothing.

Arrays are broadcast against each other, over coordinates as over grids of hyperparameters,
and the result has the shape of all together, unless a function says otherwise. A
`TypeError` or a `ValueError` names an argument that is out of range or does not fit the
others, as where a limit is asked for and there is none; a `DivergenceError` says that the
result is beyond the range of numbers.
"""
