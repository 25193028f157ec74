"""The objective's loss where it is one of all samples together."""

import numpy as np

from sklearn_losses._solvers.design import Design


class JointProblem:
    """A joint loss as a function of a linear model: what `Problem` is of a mean over rows.

    Parameters
    ----------
    data : Data
        On the host; its training rows count.
    n_threads : int or None
    """

    def __init__(self, data, n_threads):
        n_features = data.X.shape[1]
        self.design = None
        if n_features:
            self.design = Design(data, None, np.ones(n_features), True, n_threads)
        rest = data.without_columns().training()
        self.joint = rest.losses[0].on(rest.y, rest.weights(0))
        self.joint.n_threads = n_threads
        self.offset = None if rest.offset is None else rest.offset.reshape(len(rest.y))

    def value_gradient(self, coef, intercept):
        """Loss over its mass, and its gradients by weights and intercepts.

        Parameters
        ----------
        coef : ndarray of shape (1, n_features)
        intercept : ndarray of shape (1,)

        Returns
        -------
        loss : float
        gradient : ndarray of shape (1, n_features)
        of_intercept : ndarray of shape (1,)
        """
        if self.design is None:
            raw = np.full(self.joint.n, float(intercept[0]))
        else:
            raw = self.design.products(np.append(np.asarray(coef, np.float64), intercept))
        raw = raw if self.offset is None else raw + self.offset
        value, slopes = self.joint.value_gradient(raw)
        slopes = slopes / self.joint.mass
        if self.design is None:
            return value / self.joint.mass, np.zeros((1, 0)), np.array([slopes.sum()])
        made = self.design.transposed(slopes)[None]
        return value / self.joint.mass, made[:, :-1].copy(), made[:, -1].copy()
