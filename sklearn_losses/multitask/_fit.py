"""The fit of all targets: which are found together, and weights that follow from their losses."""

from dataclasses import dataclass

import numpy as np

from sklearn_losses.multitask._descent import Descent, Penalty

# What `penalty` stands for: whether a feature's coefficients are one group, and whether the penalty
# has an L1 and an L2 part; of one that has both `l1_ratio` is the first one's share.
PENALTIES = {
    "l21": (True, True, True),
    "l1": (False, True, True),
    "l2": (False, False, True),
    None: (False, False, False),
}
# Weights by uncertainty have settled where none changes by more than this share of itself.
SETTLED, MOST_ROUNDS = 1e-7, 200
# Below this share of the constant's loss a target has no error left whose variance could be told.
LEAST_LOSS = 1e-5


@dataclass
class Fitted:
    """Where the fits ended; arrays by task.

    Attributes
    ----------
    v : ndarray of shape (n_tasks, width)
    losses : ndarray of shape (n_tasks,)
        Mean losses above their floors.
    weights : ndarray of shape (n_tasks,)
    objective, gap : float
    n_iter, n_rounds : int
    met, settled : bool
        Whether the gap is small enough, and whether the weights do not change any more.
    """

    v: np.ndarray
    losses: np.ndarray
    weights: np.ndarray
    objective: float = 0.0
    gap: float = 0.0
    n_iter: int = 0
    n_rounds: int = 0
    met: bool = True
    settled: bool = True


class Fitting:
    """What is minimised, and how closely.

    Parameters
    ----------
    penalty : str or None
        A name of `PENALTIES`.
    alpha, l1_ratio : float
    standardize : bool
        Whether a task's loss is half of what it is beside the constant's, and the penalty has no
        units.
    tol : float
    max_iter : int
    """

    def __init__(self, penalty, alpha, l1_ratio, standardize, tol, max_iter):
        self.groups, has_l1, has_l2 = PENALTIES[penalty]
        share = l1_ratio if has_l1 else 0.0
        self.l1 = alpha * share
        self.l2 = alpha * (1.0 - share) if has_l2 else 0.0
        self.standardize, self.half = standardize, 0.5 if standardize else 1.0
        self.tol, self.max_iter = tol, max_iter

    def fit(self, tasks, weights):
        """`Fitted`.

        Parameters
        ----------
        tasks : list of Task
        weights : ndarray of shape (n_tasks,), or None
            None: by uncertainty.
        """
        n = len(tasks)
        made = Fitted(np.zeros((n, tasks[0].design.width)), np.zeros(n), np.ones(n))
        numbers = np.arange(n)
        for at in [numbers] if self.groups else numbers[:, None]:
            some = [tasks[k] for k in at]
            if weights is None:
                self._settle(made, at, some)
                continue
            solution = self._solve(some, weights[at], made.v[at])
            self._take(made, at, solution, weights[at])
        return made

    def _nulls(self, tasks):
        """What losses are beside."""
        return np.array([task.null if self.standardize else 1.0 for task in tasks])

    def _solve(self, tasks, weights, v):
        for task, factor in zip(tasks, self.half * weights / self._nulls(tasks), strict=True):
            task.factor = float(factor)
        d = tasks[0].design.n_features
        unit = np.ones(d) if self.standardize else tasks[0].design.unit
        return Descent(tasks, Penalty(self.l1, self.l2, unit), self.tol, self.max_iter).run(v)

    def _settle(self, made, at, tasks):
        """Minimise ``half * sum(weight * loss - log(weight))`` and the penalty, over weights too.

        Given the losses the best weights are their reciprocals. The logarithm is concave, its
        tangent above it: each round of both lowers the objective.
        """
        nulls = self._nulls(tasks)
        v, weights = made.v[at], nulls / np.array([task.null for task in tasks])
        settled, steps = False, 0
        for _ in range(MOST_ROUNDS):
            made.n_rounds += 1
            solution = self._solve(tasks, weights, v)
            steps += solution.n_iter
            v, losses = solution.v, solution.losses / nulls
            least = np.array([LEAST_LOSS * task.null for task in tasks])
            if (solution.losses <= least).any():
                k = int(at[np.argmax(solution.losses <= least)])
                raise ValueError(
                    f"task_weight='uncertainty': task {k} is fitted without error, so that its "
                    "variance tends to 0 and its weight to infinity. Take a larger alpha, or fixed "
                    "weights"
                )
            settled = bool((np.abs(np.log(weights * losses)) <= SETTLED).all())
            if settled:
                break
            weights = 1.0 / losses
        solution.objective -= self.half * float(np.log(weights).sum())
        solution.n_iter = steps
        made.settled &= settled
        self._take(made, at, solution, weights)

    @staticmethod
    def _take(made, at, solution, weights):
        made.v[at], made.losses[at], made.weights[at] = solution.v, solution.losses, weights
        made.objective += solution.objective
        made.gap += solution.gap
        made.n_iter = max(made.n_iter, solution.n_iter)
        made.met &= solution.met
