"""scikit-learn's stochastic gradient descent, without the GIL: one sample a step, one output, a pointwise loss.

The steps are C++ (one_sample.h); here are the arrays that they work on, the order of the rows, and what a fit is resumed from.
"""

from collections import namedtuple

import numpy as np

cimport numpy as cnp
from cpython.exc cimport PyErr_CheckSignals
from libc.limits cimport INT_MAX
from libc.math cimport sqrt
from libc.stdint cimport int32_t, uint8_t, uint32_t
from libc.string cimport memcpy

from sklearn_losses._kernels.losses._pointwise cimport Point, point_of, simd_level_in_use
from sklearn_losses._kernels.fit.table cimport Table, describe
from sklearn_losses._states import array_like, number, one_sample, whole

cnp.import_array()

cdef extern from "fit/one_sample.h" namespace "sl" nogil:
    enum Schedule:
        CONSTANT
        OPTIMAL
        INVSCALING
        ADAPTIVE
        PA1
        PA2
    enum:
        ROWS_AHEAD
    ctypedef struct Rule:
        int schedule
        double alpha, share_l1, share_l2, eta0, power_t, optimal_init
    ctypedef struct State:
        double t, eta, scale, intercept
        double average_a, average_b, intercept_average
        double u
        double square, absolute, square_now, absolute_now
        Py_ssize_t touched
        Py_ssize_t position
        double loss_sum, gradient_sum, square_sum, absolute_sum
        bint finite
    ctypedef struct OneSampleRun:
        Table table
        const void* last_rows
        Py_ssize_t first_last
        bint repeats
        const double* y
        const double* weight
        double weight_of_sign[2]
        const int32_t* path
        Py_ssize_t stop
        Point point
        const double* params
        Rule rule
        double average_from
        bint fit_intercept
        double intercept_decay, least_scale
        Py_ssize_t most_touched
        void* w
        void* average
        void* q
        State state
    double learning_rate(const Rule& rule, double t, double last)
    void take_steps(OneSampleRun* run, int level)
    void sum_norms(OneSampleRun* run)
    bint is_finite(const OneSampleRun& run)

cdef extern from "fit/order.h" namespace "sl" nogil:
    void shuffle_as_scikit_learn(int32_t* order, uint32_t n, uint32_t seed)

SCHEDULES = {
    "constant": CONSTANT,
    "optimal": OPTIMAL,
    "invscaling": INVSCALING,
    "adaptive": ADAPTIVE,
    "pa1": PA1,
    "pa2": PA2,
}


def learning_rates(
    str schedule, Py_ssize_t n_steps, *, double t, double alpha, double eta0, double power_t, double optimal_init,
):
    """The rates of steps t, t + 1, ... by scikit-learn's schedules.

    Parameters
    ----------
    schedule : str
        A name in `SCHEDULES`.
    n_steps : int
    t : float
        The number of the first step, from 1.
    alpha, eta0, power_t, optimal_init : float
        As `Engine` takes them.

    Returns
    -------
    rates : ndarray of shape (n_steps,)
    """
    cdef Rule rule
    cdef Py_ssize_t i
    cdef cnp.ndarray array = np.empty(n_steps)
    cdef double* rates = <double*> cnp.PyArray_DATA(array)
    rule.schedule = SCHEDULES[schedule]
    rule.alpha, rule.eta0, rule.power_t, rule.optimal_init = alpha, eta0, power_t, optimal_init
    rule.share_l1 = rule.share_l2 = 0.0
    for i in range(n_steps):
        rates[i] = learning_rate(rule, t + i, eta0)
    return array


Epoch = namedtuple("Epoch", "loss objective gradient_norm finite")

# scikit-learn's: the intercept moves less on sparse data.
cdef double SPARSE_INTERCEPT_DECAY = 0.01

# The norms of the weights are kept up to date by their changes, and summed anew once so many times as many coordinates
# were changed as there are.
cdef Py_ssize_t TOUCHED = 64

# Between two looks for Ctrl-C: about a tenth of a second (an element costs about a nanosecond, a row 30; with a Python
# loss a row costs microseconds).
cdef Py_ssize_t WORK_BETWEEN_LOOKS = 60_000_000
cdef Py_ssize_t WORK_OF_ROW = 30
cdef Py_ssize_t WORK_OF_CALL = 20_000

# Of the registers and of the lines of the cache: rows are read, and vectors are padded, to whole ones.
cdef Py_ssize_t LINE = 64


cdef void call_loss(const double* params, double y, double raw, double* value, double* gradient) noexcept nogil:
    """A Python loss as the function that a step calls; its parameters are the engine."""
    with gil:
        (<Engine> <void*> params).call_loss(y, raw, value, gradient)


cdef class Engine:
    """One fit of a linear model by scikit-learn's stochastic gradient descent; the caller counts the epochs.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features), C order, or CSR matrix or array; float32 or float64
        Not copied.
    y : ndarray of shape (n_samples,), float64
        Targets, as the loss takes them.
    sample_weight : ndarray of shape (n_samples,), float64, or None
    held_out : ndarray of shape (n_samples,), bool, or None
        Rows that are not learned from.
    coef : ndarray of shape (1, n_features), X's dtype
        Where to start; copied.
    intercept : ndarray of shape (1,), float64
    coef_average, intercept_average : ndarrays of the same shapes and dtypes, or None
        The averages so far; None: nothing is averaged.
    loss : Loss
        Pointwise.
    settings : Settings
        Attributes penalty, alpha, l1_ratio, learning_rate, eta0, power_t, average, fit_intercept.
    weight_positive, weight_negative : float
        Factors of the weights of samples with y > 0, and of the others.
    t : float
        The number of the first step, counted from 1.
    optimal_init : float
        The offset of t in the learning rate "optimal".
    """

    cdef OneSampleRun run
    cdef int32_t* order
    cdef int32_t* path          # the order without the rows held out
    cdef const uint8_t* held_out
    cdef Py_ssize_t between_looks
    cdef list keep
    cdef object loss, error
    cdef dict vectors           # coef, and, where the fit has them, average and q
    cdef State saved
    cdef dict vectors_saved
    cdef cnp.ndarray target, raw

    def __init__(
        self, X, y, sample_weight, held_out, coef, intercept, coef_average, intercept_average, loss, settings,
        *, double weight_positive=1.0, double weight_negative=1.0, double t=1.0, double optimal_init=1.0,
    ):
        cdef OneSampleRun* run = &self.run
        if loss.is_multiclass:
            raise ValueError(f"loss must be pointwise; got {loss!r}")
        self.keep = []
        describe(&run.table, X, self.keep)
        n_samples, n_features = X.shape
        if n_samples > INT_MAX:
            raise ValueError(f"X must have at most {INT_MAX} rows; got {n_samples}")
        cdef bint sparse = run.table.sparse()
        if not sparse:
            self._copy_last_rows(X)
        run.y = self._doubles("y", y, n_samples)
        run.weight = NULL
        if sample_weight is not None:
            run.weight = self._doubles("sample_weight", sample_weight, n_samples)
        run.weight_of_sign[0] = weight_negative
        run.weight_of_sign[1] = weight_positive

        run.rule.schedule = SCHEDULES[settings.learning_rate]
        run.rule.alpha = settings.alpha
        run.rule.share_l1 = {"l1": 1.0, "elasticnet": settings.l1_ratio}.get(settings.penalty, 0.0)
        run.rule.share_l2 = 1.0 - run.rule.share_l1 if settings.penalty in ("l2", "elasticnet") else 0.0
        run.rule.eta0 = settings.eta0
        run.rule.power_t = settings.power_t
        run.rule.optimal_init = optimal_init
        run.fit_intercept = settings.fit_intercept
        run.intercept_decay = SPARSE_INTERCEPT_DECAY if sparse else 1.0
        run.least_scale = 1e-6 if run.table.single else 1e-9
        run.repeats = sparse and settings.penalty is not None and not X.has_canonical_format
        run.most_touched = TOUCHED * max(n_features, 1)

        run.state.t = number(1)(t, "t")
        run.state.eta = settings.eta0
        run.state.scale = 1.0
        run.state.average_b = 1.0
        run.state.finite = True
        run.state.intercept = self._doubles("intercept", intercept, 1)[0]
        self.vectors = {"coef": self._vector("coef", coef)}
        run.w = cnp.PyArray_DATA(<cnp.ndarray> self.vectors["coef"])
        run.average_from = np.inf
        if coef_average is not None and settings.average > 0:
            run.average_from = settings.average
            run.state.intercept_average = self._doubles("intercept_average", intercept_average, 1)[0]
            self.vectors["average"] = self._vector("coef_average", coef_average)
            run.average = cnp.PyArray_DATA(<cnp.ndarray> self.vectors["average"])
        if run.rule.share_l1 > 0.0:
            self.vectors["q"] = self._vector("q", np.zeros((1, n_features)))
            run.q = cnp.PyArray_DATA(<cnp.ndarray> self.vectors["q"])
        sum_norms(run)

        order = np.zeros(n_samples + ROWS_AHEAD, np.int32)
        self.keep.append(order)
        self.order = self.path = <int32_t*> cnp.PyArray_DATA(<cnp.ndarray> order)
        self.held_out = NULL
        if held_out is not None:
            held_out = np.ascontiguousarray(held_out, np.uint8)
            if held_out.shape != (n_samples,):
                raise ValueError(f"held_out must have shape ({n_samples},); got {held_out.shape}")
            path = np.zeros_like(order)
            self.keep += [held_out, path]
            self.held_out = <const uint8_t*> cnp.PyArray_DATA(<cnp.ndarray> held_out)
            self.path = <int32_t*> cnp.PyArray_DATA(<cnp.ndarray> path)
        run.path = self.path
        self.shuffle(0, 0)

        self.loss = loss
        kind, params = loss._resolve()
        cdef bint python = kind < 0
        if python:
            self.target = np.empty(1)
            self.raw = np.empty(1)
            run.point = call_loss
            run.params = <const double*> <void*> self
        else:
            run.point = point_of(kind)
            run.params = self._doubles("the loss's parameters", params, len(params))
        # An average row's; a look too early or late does no harm.
        cdef Py_ssize_t work = WORK_OF_ROW + (len(X.data) // max(n_samples, 1) if sparse else n_features)
        self.between_looks = 1 + WORK_BETWEEN_LOOKS // (WORK_OF_CALL if python else work)

        self.vectors_saved = {name: vector.copy() for name, vector in self.vectors.items()}
        self.saved = run.state

    cdef const double* _doubles(self, str name, object array, Py_ssize_t n) except NULL:
        array = np.require(array, np.float64, "CA")
        if array.shape != (n,):
            raise ValueError(f"{name} must have shape ({n},); got {array.shape}")
        self.keep.append(array)
        return <const double*> cnp.PyArray_DATA(<cnp.ndarray> array)

    def _vector(self, name, values):
        """A copy, padded with zeros to whole registers, and aligned to them."""
        if values.shape != (1, self.run.table.n_features):
            raise ValueError(f"{name} must have shape (1, {self.run.table.n_features}); got {values.shape}")
        dtype = np.dtype(np.float32 if self.run.table.single else np.float64)
        cdef Py_ssize_t lanes = LINE // dtype.itemsize
        cdef Py_ssize_t size = (max(self.run.table.n_features, 1) + lanes - 1) // lanes * lanes
        padded = np.zeros(size + lanes, dtype)
        cdef Py_ssize_t past = <size_t> cnp.PyArray_DATA(<cnp.ndarray> padded) % LINE
        cdef Py_ssize_t start = (LINE - past) // dtype.itemsize
        vector = padded[start:start + size]
        vector[:self.run.table.n_features] = values[0]
        return vector

    cdef int _copy_last_rows(self, object X) except -1:
        """Where a register past the row's end would be past the end of X."""
        cdef Py_ssize_t d = max(self.run.table.n_features, 1), lanes = LINE // X.itemsize
        cdef Py_ssize_t first = max((X.size - (d + lanes - 1) // lanes * lanes + d) // d, 0)
        rows = X[first:]
        last = np.zeros(rows.size + lanes, X.dtype)
        last[:rows.size] = rows.ravel()
        self.keep.append(last)
        self.run.first_last = first
        self.run.last_rows = cnp.PyArray_DATA(<cnp.ndarray> last)
        return 0

    cdef int call_loss(self, double y, double raw, double* value, double* gradient) except -1:
        """A Python loss on one sample; not a number, and the error kept, once it has raised one."""
        value[0] = gradient[0] = np.nan
        if self.error is None:
            self.target[0] = y
            self.raw[0] = raw
            try:
                values, gradients = self.loss.loss_gradient(self.target, self.raw)
                value[0] = values[0]
                gradient[0] = gradients[0]
            except BaseException as error:
                self.error = error
        return 0

    def shuffle(self, uint32_t seed, Py_ssize_t times):
        """Put the rows in the order that they are in after so many epochs with that seed."""
        cdef Py_ssize_t n = self.run.table.n_rows
        cdef cnp.ndarray once = np.arange(n, dtype=np.int32)
        # Each epoch applies the same permutation: its power, by squaring.
        order = once.copy()
        if times > 0:
            shuffle_as_scikit_learn(<int32_t*> cnp.PyArray_DATA(once), <uint32_t> n, seed)
        while times > 0:
            if times & 1:
                order = once[order]
            times >>= 1
            if times > 0:
                once = once[once]
        memcpy(self.order, cnp.PyArray_DATA(<cnp.ndarray> order), n * sizeof(int32_t))

    def epoch(self, seed=None, stop=None):
        """One pass over the training rows.

        Parameters
        ----------
        seed : int or None
            Shuffle with this seed before the pass; None: leave the order as it is.
        stop : threading.Event or None
            Looked at several times a second, with the signals; when set, KeyboardInterrupt is raised.

        Returns
        -------
        loss, objective : float
            Means over the rows, each before the step that it caused.
        gradient_norm : float
            Root mean square, over the rows, of the norm of the weighted loss's gradient with respect to the weights
            and the intercept.
        finite : bool
            False when the pass ended early at a raw prediction that is not finite, or a weight is not.
        """
        cdef State* s = &self.run.state
        cdef Py_ssize_t n = self.run.table.n_rows, i
        cdef uint32_t seed_
        cdef int level = simd_level_in_use()
        if seed is not None:
            seed_ = seed
            with nogil:
                shuffle_as_scikit_learn(self.order, <uint32_t> n, seed_)
        if self.held_out != NULL:
            n = 0
            for i in range(self.run.table.n_rows):
                self.path[n] = self.order[i]
                n += not self.held_out[self.order[i]]
            self.path[n] = self.order[0]  # any row: the last one may have been held out
        s.position = 0
        s.loss_sum = s.gradient_sum = s.square_sum = s.absolute_sum = 0.0
        while s.position < n and s.finite:
            if stop is not None and stop.is_set():
                raise KeyboardInterrupt
            PyErr_CheckSignals()
            self.run.stop = min(n, s.position + self.between_looks)
            with nogil:
                take_steps(&self.run, level)
            if self.error is not None:
                error, self.error = self.error, None
                raise error
        s.finite = is_finite(self.run)
        cdef double seen = max(s.position, 1), objective = s.loss_sum
        cdef const Rule* rule = &self.run.rule
        # As in scikit-learn, the passive-aggressive rules' objective is the loss alone.
        if rule.schedule != PA1 and rule.schedule != PA2:
            if rule.share_l2 > 0.0:
                objective += rule.alpha * rule.share_l2 * 0.5 * s.square_sum
            if rule.share_l1 > 0.0:
                objective += rule.alpha * rule.share_l1 * s.absolute_sum
        return Epoch(s.loss_sum / seen, objective / seen, sqrt(s.gradient_sum / seen), bool(s.finite))

    def save(self):
        """Remember where the fit stands; False, and nothing remembered, when the last epoch was not finite."""
        if not self.run.state.finite:
            return False
        self.saved = self.run.state
        for name, vector in self.vectors.items():
            self.vectors_saved[name][:] = vector
        return True

    def get_state(self):
        """All that the fit goes on from, at the last `save`: a dict of numbers, and of arrays of their own.

        The order of the rows is the caller's: see `shuffle`.
        """
        vectors = {name: vector[:self.run.table.n_features].copy() for name, vector in self.vectors_saved.items()}
        return {**self.saved, **vectors}

    def set_state(self, state):
        """Go on from what `get_state` returned, in an engine of the same data and settings; a ValueError where it is
        nothing that this could go on from."""
        features = slice(self.run.table.n_features)
        kinds = {name: array_like(vector[features], exact=True) for name, vector in self.vectors.items()}
        counts = {"touched": whole(0, self.run.most_touched), "position": whole(0, self.run.table.n_rows)}
        state = one_sample({**counts, **kinds})(state)
        for name, vector in self.vectors.items():
            vector[features] = state[name]
        self.run.state = {name: state[name] for name in self.saved}
        self.save()

    def coef(self):
        """The weights at the last `save`, scaled: ndarray of shape (1, n_features)."""
        coef = self.vectors_saved["coef"][None, :self.run.table.n_features]
        return coef * coef.dtype.type(self.saved.scale)

    def intercepts(self):
        """The intercept at the last `save`: ndarray of shape (1,), float64."""
        return np.array([self.saved.intercept])

    def averages(self):
        """The averaged weights and intercept at the last `save`, in the same shapes, or (None, None)."""
        if "average" not in self.vectors:
            return None, None
        coef, average = (self.vectors_saved[name][None, :self.run.table.n_features] for name in ("coef", "average"))
        average = (average + self.saved.average_a * coef.astype(np.float64)) / self.saved.average_b
        return average.astype(coef.dtype), np.array([self.saved.intercept_average])

    def penalty_norms(self):
        """The squared L2 norm and the L1 norm of the weights, as the objective counts them."""
        s = self.run.state
        return s.square * s.scale**2, s.absolute * s.scale

    @property
    def eta(self):
        """The learning rate of the last step; the next one's, where the schedule does not say it."""
        return self.run.state.eta

    @eta.setter
    def eta(self, double value):
        self.run.state.eta = self.saved.eta = value
