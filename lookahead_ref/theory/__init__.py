"""The paper's propositions, executable, on NumPy alone.

`quadratic` is Proposition 1; `noisy_quadratic` is the model (0.6) and (0.7) with Lemma 1
and Proposition 2; `cycles` does the same for momentum inside Lookahead, `outer` for any
outer optimizer and for games; `rates` is the convergence rate without noise; `planning`
finds how long training takes and the best hyperparameters. Common arguments:

learning_rate : array_like
    gamma of the inner optimizer; not negative.
curvature : array_like
    a for each coordinate, the diagonal of A: the eigenvalues of the loss.
noise : array_like
    sigma^2 for each coordinate, the diagonal of Sigma: variances.
mean, variance : array_like
    The initial E and V of x or phi; for Lookahead just after a synchronization.
k : array_like of int
    The synchronization period; default: 1.
alpha : array_like
    The slow weights' step size, in (0, 1]; default: 1. With both defaults Lookahead is its
    inner optimizer.
steps, cycles : array_like of int
    The numbers of gradient evaluations and of synchronizations; not negative.
kind : {"sgd", "heavy-ball", "nesterov"}
    The inner optimizer.
momentum : array_like
    In [0, 1); for SGD 0, the default.
inner_state : {"maintain", "reset", "interpolate"}
    What a synchronization does to the velocity; default: "maintain".

Arrays of coordinates and of hyperparameters are broadcast against each other, and the
result has the broadcast shape, unless a function says otherwise. A `TypeError` or
`ValueError` names an argument that is out of range or does not fit the others, also if a
limit does not exist; a `DivergenceError` says that the result exceeds the range of numbers.
"""
