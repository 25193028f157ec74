"""The optimizers as their papers write them, in NumPy: what the compiled engine is compared with.

Nothing here is fast. The remembered gradients of all samples are multiplied out again at each step,
an average is a mean, and the penalty that a sparse feature missed is applied as often as it was.
"""

import math

import numpy as np


def soft(w, amount):
    return np.sign(w) * np.maximum(np.abs(w) - amount, 0.0)


class Prox:
    """Of ``length * (l1 * |w|_1 + indicator of [low, high])``; and the L1 penalty of all steps, and
    the rate of the last."""

    def __init__(self, l1=0.0, low=-np.inf, high=np.inf):
        self.l1, self.low, self.high, self.so_far, self.rate = l1, low, high, 0.0, 0.0

    def __call__(self, w, length):
        return np.clip(soft(w, length * self.l1), self.low, self.high)


class SGD:
    """Duchi and Singer (2009), forward backward splitting, eq. 2 and 3.

    `powers` has an entry for each state that a coordinate remembers: in a new unit the state is
    ``(new / old)**power`` times as large. A velocity is like a weight over the unit, a gradient or
    a sum of penalties like its inverse, a squared gradient like the square of that. `recommended`
    is the first rate that is published or stated, in units of 1 / L where there is an L, and
    whether rates fall from there. `rate` is long enough to tell one optimizer from another, and
    short enough to converge.
    """

    powers = ()
    decoupled = False
    implicit = False
    recommended = (1 / 2, True)
    rate = 0.05

    def __init__(self, params):
        self.params = params

    def step(self, w, g, s, rate, t, prox, l2):
        return prox(w - rate * g, rate), s

    def step_intercepts(self, b, g, s, rate, t):
        return self.step(b, g, s, rate, t, Prox(), 0.0)

    def length(self, s, rate, t):
        return rate

    def catch_up(self, w, s, rate, t, prox, l2, missed):
        """The penalty alone, `missed` times."""
        length = self.length(s, rate, t)
        decay = (rate if self.decoupled else length) * l2
        for _ in range(missed):
            w = prox(w * np.maximum(0.0, 1.0 - decay), length)
        return w, s


class CumulativeSGD(SGD):
    """Tsuruoka et al. (2009), figure 2, batches instead of samples. s: the penalty received."""

    powers = (1,)

    def penalised(self, w, s, prox):
        u, q = prox.so_far, s[0]
        after = np.where(w > 0, np.maximum(0, w - (u + q)), np.minimum(0, w + (u - q)))
        return np.clip(after, prox.low, prox.high), [q + after - w]

    def step(self, w, g, s, rate, t, prox, l2):
        return self.penalised(w - rate * g, s, prox)

    def catch_up(self, w, s, rate, t, prox, l2, missed):
        for _ in range(missed):
            w = w * np.maximum(0.0, 1.0 - rate * l2)
        return self.penalised(w, s, prox) if missed else (w, s)


class Momentum(SGD):
    """Ochs et al. (2014), eq. 6: prox(x - rate * g + momentum * s), with s = x - x_before."""

    powers = (-1,)
    recommended = ((1 - 0.9) / 2, True)

    def step(self, w, g, s, rate, t, prox, l2):
        after = prox(w - rate * g + self.params[0] * s[0], rate)
        return after, [after - w]


class Nesterov(SGD):
    """Beck and Teboulle (2009), eq. 4.1 and 4.3, with a constant momentum. w is their y, where the
    gradient is taken; s is y - x.
    """

    powers = (-1,)
    recommended = ((1 - 0.9) / 2, True)

    def step(self, w, g, s, rate, t, prox, l2):
        x_before = w - s[0]
        x = prox(w - rate * g, rate)
        y = np.clip(x + self.params[0] * (x - x_before), prox.low, prox.high)
        return y, [y - x]


class AdaGrad(SGD):
    """Duchi et al. (2011), eq. 4 and section 5, with a diagonal H = sqrt(s) + eps. A coordinate
    without any gradient so far stays, although the paper's step for L1 would be rate / eps long.
    """

    powers = (2,)
    recommended = (0.1, False)
    rate = 0.3

    def step(self, w, g, s, rate, t, prox, l2):
        s = [s[0] + g**2]
        length = self.length(s, rate, t)
        return prox(w - length * g, length), s

    def length(self, s, rate, t):
        return np.where(s[0] > 0, rate / (np.sqrt(s[0]) + self.params[-1]), 0.0)


class ImplicitAdaGrad(SGD):
    """Duchi et al. (2011), eq. 4, with the gradient at the new weights: Kulis and Bartlett (2010),
    eq. 3, in the norm of H, which is that of the gradients before: `share` of the explicit step.
    The penalty is taken where that leads. The rate of a coordinate grows with its largest size so
    far, that of an intercept with its distance from the start: Ivgi et al. (2023), eq. 2,
    up to ten times.
    """

    share = 1.0

    powers = (2, -1)
    recommended = (0.1, False)
    rate = 0.3
    implicit = True

    def step(self, w, g, s, rate, t, prox, l2):
        share = np.reshape(self.share, (-1,) + (1,) * (w.ndim - 1))
        length = share * self.length(s, rate, t)
        to = prox((w - length * g) / (1 + length * l2), length / (1 + length * l2))
        return to, [s[0] + (share * g) ** 2, np.maximum(s[1], abs(to))]

    def step_intercepts(self, b, g, s, rate, t):
        to, new = self.step(b, g, s, rate, t, Prox(), 0.0)
        return to, [new[0], s[1] + to - b]

    def length(self, s, rate, t):
        rate = rate * np.clip(self.params[0] * abs(s[1]), 1.0, 10.0)
        return np.where(s[0] > 0, rate / np.sqrt(np.where(s[0] > 0, s[0], 1.0)), 0.0)

    def catch_up(self, w, s, rate, t, prox, l2, missed):
        length = self.length(s, rate, t)
        for _ in range(missed):
            w = prox(w / (1 + length * l2), length / (1 + length * l2))
        return w, s

    @staticmethod
    def root(slope):
        """The root tau in (0, 1] of ``slope(tau) = tau * slope(0)``, by halves; 1 without one."""
        low, high, first = 0.0, 1.0, slope(0.0)
        if first == 0 or slope(1.0) / first >= 1.0:
            return 1.0
        for _ in range(200):
            middle = (low + high) / 2
            low, high = (low, middle) if middle > slope(middle) / first else (middle, high)
        return (low + high) / 2


class RMSProp(AdaGrad):
    """Tieleman and Hinton (2012), slide 29."""

    recommended = (0.01, True)
    rate = 0.02

    def step(self, w, g, s, rate, t, prox, l2):
        rho = self.params[0]
        s = [rho * s[0] + (1 - rho) * g**2]
        length = self.length(s, rate, t)
        return prox(w - length * g, length), s


class Adam(SGD):
    """Kingma and Ba (2015), algorithm 1; L1 as Yun et al. (2021), algorithm 1."""

    powers = (1, 2)
    recommended = (0.01, True)

    def step(self, w, g, s, rate, t, prox, l2):
        beta1, beta2, _ = self.params
        m = beta1 * s[0] + (1 - beta1) * g
        v = beta2 * s[1] + (1 - beta2) * g**2
        s = [m, v, *self.more(s, v)]
        length = self.length(s, rate, t)
        moved = w - length * self.direction(m, g, beta1, t) - self.decay(w, rate, l2)
        return prox(moved, length), s

    def more(self, s, v):
        return []

    def direction(self, m, g, beta1, t):
        return m / (1 - beta1**t)

    def decay(self, w, rate, l2):
        return 0.0

    def length(self, s, rate, t):
        v_hat = s[-1] / (1 - self.params[1] ** t)
        return np.where(v_hat > 0, rate / (np.sqrt(v_hat) + self.params[2]), 0.0)


class AMSGrad(Adam):
    """Reddi et al. (2018), algorithm 2, with Adam's bias corrections."""

    powers = (1, 2, 2)

    def more(self, s, v):
        return [np.maximum(s[2], v)]


class AdamW(Adam):
    """Loshchilov and Hutter (2019), algorithm 2."""

    decoupled = True

    def decay(self, w, rate, l2):
        return rate * l2 * w


class NAdam(Adam):
    """Dozat (2016), algorithm 2, with a constant momentum."""

    def direction(self, m, g, beta1, t):
        return beta1 * m / (1 - beta1 ** (t + 1)) + (1 - beta1) * g / (1 - beta1**t)


KERNELS = (SGD, CumulativeSGD, Momentum, Nesterov, AdaGrad, ImplicitAdaGrad, RMSProp)
KERNELS = {c.__name__: c for c in (*KERNELS, Adam, AMSGrad, AdamW, NAdam)}


class Descent:
    """Steps on batches of rows.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        In full, whatever the engine gets.
    entries : ndarray of shape (n_samples, n_features), or None
        How many entries the sparse matrix has at each place; None: dense, no lazy rule.
    losses : callable
        ``f(rows, raw)``: weighted values, of shape (n,), and gradients, of shape (n, n_outputs).
    rows : ndarray of shape (n_rows,)
        Those that count, in the order of an epoch.
    """

    def __init__(
        self, X, entries, losses, rows, coef, intercept, kernel, params, *, memory=None, l1=0.0,
        l2=0.0, low=None, high=None, clip_norm=None, average=0, average_power=0.0,
        fit_intercept=True, rowwise=False,
    ):  # fmt: skip
        self.X, self.entries, self.losses, self.rows = X, entries, losses, rows
        self.optimizer = KERNELS[kernel](params)
        self.memory, self.l2, self.clip_norm = (
            memory,
            l2,
            np.inf if clip_norm is None else clip_norm,
        )
        self.average_from, self.fit_intercept = average, fit_intercept
        self.average_power, self.rowwise = average_power, rowwise
        self.prox = Prox(l1, -np.inf if low is None else low, np.inf if high is None else high)
        self.w, self.b = coef.astype(float), intercept.astype(float)
        self.s = [np.zeros_like(self.w) for _ in self.optimizer.powers]
        self.s_b = [np.zeros_like(self.b) for _ in self.optimizer.powers]
        self.iterates = []
        self.table = np.zeros((len(X), len(self.b)))
        self.t = 1

    def raw(self, rows):
        return self.X[rows] @ self.w.T + self.b

    def reach(self, rows, length, length_b):
        """How far each row moves its own raw predictions by derivatives of 1."""
        return self.X[rows] ** 2 @ length.T + (length_b if self.fit_intercept else 0.0)

    def evaluate(self, rows):
        return self.losses(rows, self.raw(rows))

    def gradient_of(self, c, rows):
        return c.T @ self.X[rows] / len(rows), c.mean(axis=0)

    def model(self):
        return self.w.copy(), self.b.copy()

    def full_gradient(self):
        """Of the weights and the intercepts, from what is remembered."""
        return self.gradient_of(self.table[self.rows], self.rows)

    def remember(self):
        self.table[self.rows] = self.evaluate(self.rows)[1]
        self.snapshot = self.full_gradient()

    def mean_gradient(self):
        return self.full_gradient() if self.memory == "saga" else self.snapshot

    def epoch(self, rates, batch_size):
        """The mean loss, and the norm that the engine returns."""
        total, squares = 0.0, []
        self.missed = np.zeros(self.X.shape[1], dtype=int)
        for step, start in enumerate(range(0, len(self.rows), batch_size)):
            batch = self.rows[start : start + batch_size]
            loss, squared_norm = self.step(batch, rates[step])
            total += loss
            squares.append(squared_norm)
            if self.entries is not None and start + batch_size >= len(self.rows):
                self.make_up(np.ones(self.X.shape[1], dtype=bool), rates[step])
            if 0 < self.average_from <= self.t:
                self.iterates.append(self.model())
            self.t += 1
        norm = np.sqrt(np.mean(squares))
        if self.memory is not None:
            norm = np.sqrt(self.squared_norm(*self.mean_gradient()))
        return total / len(self.rows), norm

    def averages(self):
        """Shamir and Zhang (2013), eq. 3: with the power 0 the mean."""
        mean, power = self.iterates[0], self.average_power
        for t, iterate in enumerate(self.iterates[1:], 2):
            share = (power + 1) / (t + power)
            mean = tuple(a + share * (b - a) for a, b in zip(mean, iterate, strict=True))
        return mean

    def squared_norm(self, g, g_b):
        return np.sum(g**2) + (np.sum(g_b**2) if self.fit_intercept else 0.0)

    def step(self, batch, rate):
        self.prox.so_far += rate * self.prox.l1
        self.prox.rate = rate
        if self.entries is None:
            touched = np.ones(self.X.shape[1], dtype=bool)
        else:
            touched = self.entries[batch].any(axis=0)
            self.make_up(touched, rate)
            self.missed += ~touched
        value, c = self.evaluate(batch)
        if self.optimizer.implicit:
            self.optimizer.share = self.share(batch, c, rate)
        change = c - self.table[batch] if self.memory else c
        g, g_b = self.gradient_of(change, batch)
        squared_norm = self.squared_norm(g, g_b)
        scale = min(1.0, self.clip_norm / np.sqrt(squared_norm)) if squared_norm > 0 else 1.0
        move = self.reduced_step if self.memory else self.plain_step
        move(batch, touched, scale * g, scale * g_b, rate)
        if self.memory == "saga":
            self.table[batch] = c
        return value.sum(), squared_norm

    def share(self, batch, c, rate):
        """Toulis and Airoldi (2017), algorithm 1: how much of its explicit step each row would make
        alone, for each output, taking the gradient where that leads. A row-wise loss goes along its
        gradient, to the proximal point. The batch's is the mean of these.
        """
        lengths = [self.optimizer.length(s, rate, self.t) for s in (self.s, self.s_b)]
        reach, raw = self.reach(batch, *lengths), self.raw(batch)
        outputs = [slice(None)] if self.rowwise else range(c.shape[1])
        shares = np.ones(c.shape[1])
        for k in outputs:
            taken, weights = [], []
            for i in range(len(batch)):
                direction = np.zeros(c.shape[1])
                direction[k] = reach[i, k] * c[i, k]

                def slope(tau, i=i, direction=direction):
                    there = self.losses(batch[i : i + 1], raw[i : i + 1] - tau * direction)[1][0]
                    return there @ direction

                taken.append(self.optimizer.root(slope))
                weights.append(c[i] @ direction)
            if np.any(weights):
                shares[k] = np.average(taken, weights=weights)
        return shares

    def plain_step(self, batch, touched, g, g_b, rate):
        optimizer, t = self.optimizer, self.t
        if not (optimizer.decoupled or optimizer.implicit):
            g = g + self.l2 * self.w
        w, s = optimizer.step(self.w, g, self.s, rate, t, self.prox, self.l2)
        self.w[:, touched] = w[:, touched]
        for kept, new in zip(self.s, s, strict=True):
            kept[:, touched] = new[:, touched]
        if self.fit_intercept:
            self.b, self.s_b = optimizer.step_intercepts(self.b, g_b, self.s_b, rate, t)

    def reduced_step(self, batch, touched, g, g_b, rate):
        """Defazio et al. (2014), algorithm 1, and Johnson and Zhang (2013), figure 1; for sparse
        rows Pedregosa et al. (2017), section 2, with their D.
        """
        mean, mean_b = self.mean_gradient()
        D = np.ones(self.X.shape[1])
        if self.entries is not None:
            expected = self.entries[self.rows].mean(axis=0)
            D[touched] = (self.entries[batch].mean(axis=0) / np.maximum(expected, 1e-300))[touched]
        w = self.prox(self.w - rate * (g + D * (mean + self.l2 * self.w)), rate * D)
        self.w[:, touched] = w[:, touched]
        if self.fit_intercept:
            self.b = self.b - rate * (g_b + mean_b)

    def make_up(self, touched, rate):
        """The penalty of the steps that left these features alone."""
        catch_up, l2 = self.optimizer.catch_up, self.l2
        for j in np.flatnonzero(touched & (self.missed > 0) & (self.memory is None)):
            w, s = catch_up(self.w, self.s, rate, self.t, self.prox, l2, self.missed[j])
            self.w[:, j] = w[:, j]
            for kept, new in zip(self.s, s, strict=True):
                kept[:, j] = new[:, j]
        self.missed[touched] = 0


def splitmix64(seed):
    """The generator of Steele et al. (2014): one number after the other."""
    mask = 2**64 - 1
    while True:
        seed = (seed + 0x9E3779B97F4A7C15) & mask
        z = ((seed ^ (seed >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        yield z ^ (z >> 31)


def shuffled(rows, seed):
    """The order of an epoch: few rows by Fisher and Yates's shuffle, many by a Feistel network on
    the pairs of a number's quotient and remainder (Black and Rogaway, 2002)."""
    drawn = splitmix64(seed)
    n = len(rows)
    if n < 2**16:
        rows = rows.copy()
        for i in range(n - 1, 0, -1):
            j = ((next(drawn) >> 32) * (i + 1)) >> 32
            rows[i], rows[j] = rows[j], rows[i]
        return rows
    keys = [next(drawn) >> 32 for _ in range(6)]
    a = math.isqrt(n)
    b = -(-n // a)

    def shifted(x, y, key, most):
        z = (y + key) % 2**32 * 0x85EBCA6B % 2**32
        z = (z ^ (z >> 15)) * 0xC2B2AE35 % 2**32
        return (x + ((z ^ (z >> 16)) * most >> 32)) % most

    def once(i):
        y, x = i // a, i % a
        for r in range(0, 6, 2):
            x = shifted(x, y, keys[r], a)
            y = shifted(y, x, keys[r + 1], b)
        return y * a + x

    at = once(np.arange(n, dtype=np.uint64))
    while (outside := at >= n).any():
        at[outside] = once(at[outside])
    return rows[at.astype(np.intp)]
