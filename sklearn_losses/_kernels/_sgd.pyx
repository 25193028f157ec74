"""The epoch of stochastic gradient descent, without the GIL: batch -> raw -> loss -> gradient -> penalty -> step."""

import numpy as np

cimport numpy as cnp
from cpython.exc cimport PyErr_CheckSignals
from libc.limits cimport INT_MAX
from libc.math cimport fabs
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t
from libc.string cimport memcpy

from sklearn_losses._kernels._arrays cimport real
from sklearn_losses._kernels._pointwise cimport Point, point_of, simd_level_in_use, value_gradient
from sklearn_losses._kernels._rows cimport (
    Change, Rows, add_row, add_row_tracked, describe_rows, dot_row, foresee, get_row, index,
    squared_norm, sums_of,
)
from sklearn_losses._kernels._rowwise cimport row_value_gradient

cnp.import_array()

cdef extern from "sgd.h" namespace "sl" nogil:
    enum Schedule:
        CONSTANT
        OPTIMAL
        INVSCALING
        ADAPTIVE
        PA1
        PA2
    enum:
        FAR
        NEAR
    ctypedef struct Rule:
        int schedule
        double alpha, share_l1, share_l2, eta0, power_t, optimal_init
    double learning_rate(const Rule& rule, double t, double last)
    double shrinkage(const Rule& rule, double eta)
    double penalty(const Rule& rule, double square, double absolute)
    double clipped(double gradient)
    ctypedef struct LoneState:
        double t, eta, scale, square
        Py_ssize_t position, seen, touched
        double loss_sum, objective_sum
    cdef cppclass Lone[T]:
        const T* x
        Py_ssize_t stride, n_features
        const void* indices
        const void* indptr
        const double* y
        const double* weight
        double weight_positive, weight_negative
        const uint8_t* held_out
        const int32_t* order
        Py_ssize_t n_rows, stop
        Point point
        const double* params
        const Rule* rule
        bint fit_intercept
        double intercept_decay, least_scale
        Py_ssize_t most_touched
        T* w
        double* intercept
        LoneState state
    void lone_steps[T, I](Lone[T]* run, bint sparse, int level, const I* unused)

SCHEDULES = {
    "constant": CONSTANT,
    "optimal": OPTIMAL,
    "invscaling": INVSCALING,
    "adaptive": ADAPTIVE,
    "pa1": PA1,
    "pa2": PA2,
}

# scikit-learn's: the intercept moves less on sparse data.
cdef double SPARSE_INTERCEPT_DECAY = 0.01

# The norms of the weights are kept up to date by their changes, and summed anew once so many times as many coordinates
# were changed as there are.
cdef Py_ssize_t TOUCHED = 64

# Between two looks for Ctrl-C: about a tenth of a second (an element costs about a nanosecond, a row and output 30).
cdef Py_ssize_t WORK_BETWEEN_LOOKS = 60_000_000
cdef Py_ssize_t WORK_OF_ROW = 30
# With a Python loss a row costs microseconds.
cdef Py_ssize_t WORK_OF_CALL = 20_000


# What stays the same during a fit.
cdef struct Plan:
    Py_ssize_t batch_size
    int n_outputs
    Py_ssize_t size             # of the weights: n_outputs * n_features
    const double* y
    const double* weight        # of a sample; NULL: all 1
    const uint8_t* held_out     # rows for validation; NULL: none
    double weight_positive      # of samples with y > 0, and of the others
    double weight_negative
    int32_t* order
    int kind                    # of the loss; -1: a Python loss
    Point point
    const double* params
    bint rowwise
    bint fit_intercept
    double intercept_decay
    Rule rule                   # shares are 0 without such a penalty
    double average              # the step at which averaging starts; 0: never
    double least_scale
    bint lone                   # steps of one sample and one output, which sgd.h takes


# The arrays of the fit, in X's type where void.
cdef struct Vectors:
    void* w                     # the weights are scale * w
    void* w_average             # the averages are (w_average + average_a * w) / average_b
    void* q                     # L1 penalty received so far, by weight
    double* intercept
    double* intercept_average
    Py_ssize_t* rows            # of the batch
    double* target
    double* raw
    double* value
    double* gradient            # then the update


# What changes from step to step, the arrays apart.
cdef struct State:
    double t
    double eta
    double scale
    double average_a
    double average_b
    double u                    # L1 penalty that every weight could have received so far
    # Sums over w (not scaled): exact, and as after the last addition. The objective is taken of the second, as in
    # scikit-learn: the L1 truncation that ends a step does not show in the next sample's penalty.
    Change norms
    Change norms_seen
    Py_ssize_t touched          # coordinates changed since the norms were last summed in full
    Py_ssize_t position         # in the order of the epoch
    Py_ssize_t seen             # rows
    double loss_sum
    double objective_sum


# scikit-learn's generator (Marsaglia's xorshift), so that the same seed gives the same order.
cdef inline uint32_t next_random(uint32_t* seed) noexcept nogil:
    if seed[0] == 0:
        seed[0] = 1
    seed[0] ^= seed[0] << 13
    seed[0] ^= seed[0] >> 17
    seed[0] ^= seed[0] << 5
    return seed[0] % (<uint32_t> 0x7FFFFFFF + 1)


cdef void shuffle(int32_t* order, uint32_t n, uint32_t seed) noexcept nogil:
    cdef uint32_t i, j
    cdef int32_t taken
    for i in range(n - 1):
        j = i + next_random(&seed) % (n - i)
        taken = order[i]
        order[i] = order[j]
        order[j] = taken


cdef void fold_scale(const Plan* plan, const Vectors* v, State* s, real* w) noexcept nogil:
    """Make the scale 1 (and the average what its array holds)."""
    cdef Py_ssize_t j
    cdef real* average = <real*> v.w_average
    if average != NULL:
        for j in range(plan.size):
            average[j] = <real> ((average[j] + s.average_a * w[j]) / s.average_b)
        s.average_a = 0.0
        s.average_b = 1.0
    for j in range(plan.size):
        w[j] = <real> (w[j] * s.scale)
    s.norms.square *= s.scale * s.scale
    s.norms.absolute *= s.scale
    s.norms_seen.square *= s.scale * s.scale
    s.norms_seen.absolute *= s.scale
    s.scale = 1.0


cdef inline double truncated(double w, double q, double u, double per_scale) noexcept nogil:
    """The cumulative L1 penalty of Tsuruoka, Tsujii and Ananiadou (2009)."""
    cdef double down = w - (u + q) * per_scale
    cdef double up = w + (u - q) * per_scale
    return (0.0 if down < 0.0 else down) if w > 0.0 else ((0.0 if up > 0.0 else up) if w < 0.0 else w)


cdef void truncate(
    double scale, double u, const index* at, Py_ssize_t n, real* w, real* q, Change* change
) noexcept nogil:
    """Penalise the touched coordinates; `change` follows where they are few."""
    cdef Py_ssize_t j, k
    cdef real old
    cdef double per_scale = 1.0 / scale
    if at == NULL:
        for j in range(n):
            old = w[j]
            w[j] = <real> truncated(old, q[j], u, per_scale)
            q[j] += <real> (scale * (w[j] - old))
        return
    for j in range(n):
        k = at[j]
        old = w[k]
        w[k] = <real> truncated(old, q[k], u, per_scale)
        q[k] += <real> (scale * (w[k] - old))
        change.square += (<double> w[k] - old) * (<double> w[k] + old)
        change.absolute += fabs(w[k]) - fabs(old)


cdef int step(
    Engine engine, const Plan* plan, const Rows* rows, const Vectors* v, State* s, Py_ssize_t size,
    real* w, const index* unused
) except -1 nogil:
    """One step on the rows `v.rows[:size]`; returns 0."""
    cdef const real* x
    cdef const index* at
    cdef Py_ssize_t n, b, k, n_features = rows.n_features
    cdef int n_outputs = plan.n_outputs
    cdef real* average = <real*> v.w_average
    cdef real* q = <real*> v.q
    cdef double* update = v.gradient
    cdef double loss = 0.0, c, weight, rate, inverse
    cdef bint penalised = plan.rule.share_l1 > 0.0 or plan.rule.share_l2 > 0.0
    cdef bint passive_aggressive = plan.rule.schedule == PA1 or plan.rule.schedule == PA2
    cdef bint changed = False

    # raw
    for b in range(size):
        n = get_row(rows, v.rows[b], &x, &at)
        for k in range(n_outputs):
            v.raw[b * n_outputs + k] = s.scale * dot_row(rows, x, at, n, w + k * n_features) + v.intercept[k]
        v.target[b] = plan.y[v.rows[b]]

    # loss
    if plan.kind < 0:
        engine.call_loss(size)
    elif plan.rowwise:
        if row_value_gradient(
            plan.kind, plan.params, n_outputs, size, v.target, NULL, v.raw, v.value, v.gradient
        ) < 0:
            with gil:
                raise MemoryError(f"no memory for tiles of {n_outputs} classes")
    elif size == 1:
        plan.point(plan.params, v.target[0], v.raw[0], v.value, v.gradient)
    else:
        value_gradient(plan.kind, plan.params, size, v.target, v.raw, v.value, v.gradient)
    for b in range(size):
        loss += v.value[b]
    s.loss_sum += loss
    s.objective_sum += loss
    s.seen += size
    if penalised and not passive_aggressive:
        s.objective_sum += size * penalty(
            plan.rule, s.norms_seen.square * s.scale * s.scale, s.norms_seen.absolute * s.scale
        )

    # learning rate
    s.eta = learning_rate(plan.rule, s.t, s.eta)

    # gradient -> update
    for b in range(size):
        weight = plan.weight_positive if v.target[b] > 0.0 else plan.weight_negative
        if plan.weight != NULL:
            weight *= plan.weight[v.rows[b]]
        if passive_aggressive:
            n = get_row(rows, v.rows[b], &x, &at)
            c = squared_norm(x, n)
            if plan.rule.schedule == PA1:
                if c == 0.0 and size == 1:
                    return 0
                c = min(plan.rule.eta0, v.value[b] / c) if c > 0.0 else 0.0
            else:
                c = v.value[b] / (c + 0.5 / plan.rule.eta0)
            c = c if v.gradient[b] < 0.0 else (-c if v.gradient[b] > 0.0 else v.gradient[b])
            update[b] = c * weight / size
        else:
            rate = -s.eta * weight / size
            for k in range(b * n_outputs, (b + 1) * n_outputs):
                update[k] = clipped(v.gradient[k]) * rate

    # weights
    s.scale *= shrinkage(plan.rule, s.eta)
    if s.scale < plan.least_scale:
        fold_scale(plan, v, s, w)
    inverse = 1.0 / s.scale
    for b in range(size):
        n = get_row(rows, v.rows[b], &x, &at)
        for k in range(n_outputs):
            c = update[b * n_outputs + k]
            if c != 0.0:
                changed = True
                if at != NULL and penalised:
                    add_row_tracked(c * inverse, x, at, n, w + k * n_features, &s.norms)
                else:
                    add_row(rows, c * inverse, x, at, n, w + k * n_features)
                s.touched += n
                if plan.fit_intercept:
                    v.intercept[k] += c * plan.intercept_decay
    if changed and penalised:
        # In full where that costs no more than the additions did: at every such step of a dense fit.
        if not rows.sparse or s.touched >= TOUCHED * plan.size:
            s.norms = sums_of(rows, <const real*> w, plan.size, plan.rule.share_l1 > 0.0)
            s.touched = 0
        s.norms_seen = s.norms

    # averages: Bottou, Stochastic Gradient Descent Tricks (2012), section 5.3
    if 0.0 < plan.average <= s.t:
        c = 1.0 / (s.t - plan.average + 1.0)
        for b in range(size):
            n = get_row(rows, v.rows[b], &x, &at)
            for k in range(n_outputs):
                add_row(
                    rows, -s.average_a * update[b * n_outputs + k] * inverse, x, at, n, average + k * n_features
                )
        if c < 1.0:
            s.average_b /= 1.0 - c
        s.average_a += c * s.average_b * s.scale
        for k in range(n_outputs):
            v.intercept_average[k] += (v.intercept[k] - v.intercept_average[k]) * c

    # L1
    if plan.rule.share_l1 > 0.0:
        s.u += plan.rule.share_l1 * s.eta * plan.rule.alpha
        for b in range(size if rows.sparse else 1):  # a second truncation of a coordinate changes nothing
            n = get_row(rows, v.rows[b], &x, &at)
            for k in range(n_outputs):
                truncate(s.scale, s.u, at, n, w + k * n_features, q + k * n_features, &s.norms)

    s.t += 1.0
    return 0


cdef void take_lone_steps(
    const Plan* plan, const Rows* rows, const Vectors* v, State* s, Py_ssize_t stop, real* w, const index* unused
) noexcept nogil:
    """The steps before position `stop` that sgd.h takes; it stops early at one that `step` must do."""
    cdef Lone[real] run
    run.x = <const real*> rows.data
    run.stride = rows.stride
    run.n_features = rows.n_features
    run.indices = rows.indices
    run.indptr = rows.indptr
    run.y = plan.y
    run.weight = plan.weight
    run.weight_positive = plan.weight_positive
    run.weight_negative = plan.weight_negative
    run.held_out = plan.held_out
    run.order = plan.order
    run.n_rows = rows.n_rows
    run.stop = stop
    run.point = plan.point
    run.params = plan.params
    run.rule = &plan.rule
    run.fit_intercept = plan.fit_intercept
    run.intercept_decay = plan.intercept_decay
    run.least_scale = plan.least_scale
    run.most_touched = TOUCHED * plan.size if plan.rule.share_l2 > 0.0 else <Py_ssize_t> 1 << 62
    run.w = w
    run.intercept = v.intercept
    run.state.t = s.t
    run.state.eta = s.eta
    run.state.scale = s.scale
    run.state.square = s.norms_seen.square
    run.state.position = s.position
    run.state.seen = s.seen
    run.state.touched = s.touched
    run.state.loss_sum = s.loss_sum
    run.state.objective_sum = s.objective_sum
    lone_steps(&run, rows.sparse, simd_level_in_use(), unused)
    s.t = run.state.t
    s.eta = run.state.eta
    s.scale = run.state.scale
    s.norms.square = run.state.square
    s.norms_seen.square = run.state.square
    s.position = run.state.position
    s.seen = run.state.seen
    s.touched = run.state.touched
    s.loss_sum = run.state.loss_sum
    s.objective_sum = run.state.objective_sum


cdef int advance(
    Engine engine, const Plan* plan, const Rows* rows, const Vectors* v, State* s, real* w, const index* unused
) except -1 nogil:
    """Steps until the epoch ends (returns 0), or until it is time to look for signals (returns 1)."""
    cdef const real* x
    cdef const index* at
    cdef Py_ssize_t size, i, work = 0, last = rows.n_rows - 1, stop
    # A sparse row's own length is not known before it is read; a look too early or late does no harm.
    stop = min(rows.n_rows, s.position + 1 + WORK_BETWEEN_LOOKS // (WORK_OF_ROW + min(rows.n_features, 1000)))
    while s.position < rows.n_rows:
        if plan.lone:
            take_lone_steps(plan, rows, v, s, stop, w, unused)
            if s.position >= stop:
                return s.position < rows.n_rows
        size = 0
        while size < plan.batch_size and s.position < rows.n_rows:
            i = plan.order[s.position]
            if s.position < last - FAR:
                foresee(rows, plan.order[s.position + NEAR], plan.order[s.position + FAR], <const real*> w, unused)
            s.position += 1
            if plan.held_out != NULL and plan.held_out[i]:
                continue
            v.rows[size] = i
            size += 1
            work += (get_row(rows, i, &x, &at) + WORK_OF_ROW) * plan.n_outputs
        if size > 0:
            step(engine, plan, rows, v, s, size, w, unused)
        if plan.kind < 0:
            work += WORK_OF_CALL
        if work > WORK_BETWEEN_LOOKS:
            return 1
    return 0


cdef class Engine:
    """One fit of linear models by stochastic gradient descent: data, plan and state; the caller counts the epochs.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features), C order, or CSR matrix or array; float32 or float64
        Not copied.
    y : ndarray of shape (n_samples,), float64
        Targets, as the loss takes them; class codes for a row-wise loss.
    sample_weight : ndarray of shape (n_samples,), float64, or None
    held_out : ndarray of shape (n_samples,), bool, or None
        Rows that are not learned from.
    coef : ndarray of shape (n_outputs, n_features), X's dtype
        Where to start; copied.
    intercept : ndarray of shape (n_outputs,), float64
    coef_average, intercept_average : ndarrays of the same shapes and dtypes, or None
        The averages so far; None: nothing is averaged.
    loss : Loss
    settings : Settings
        Attributes penalty, alpha, l1_ratio, learning_rate, eta0, power_t, average, batch_size, fit_intercept.
    weight_positive, weight_negative : float
        Factors of the weights of samples with y > 0, and of the others.
    t : float
        The number of the first step, counted from 1.
    optimal_init : float
        The offset of t in the learning rate "optimal".
    """

    cdef Plan plan
    cdef Rows rows
    cdef Vectors v
    cdef State state
    cdef State saved
    cdef list keep
    cdef object loss
    cdef cnp.ndarray w, w_average, q, intercept, intercept_average, w_saved, average_saved
    cdef cnp.ndarray intercept_saved, intercept_average_saved
    cdef cnp.ndarray target, raw, value, gradient

    def __init__(
        self, X, y, sample_weight, held_out, coef, intercept, coef_average, intercept_average, loss, settings,
        *, double weight_positive=1.0, double weight_negative=1.0, double t=1.0, double optimal_init=1.0,
    ):
        cdef Plan* plan = &self.plan
        self.keep = []
        describe_rows(&self.rows, X, self.keep, simd_level_in_use())
        n_samples, n_features = X.shape
        if n_samples > INT_MAX:
            raise ValueError(f"at most {INT_MAX} samples can be shuffled; got {n_samples}")
        n_outputs = len(coef)

        def own(array, dtype, shape, copy=False):
            array = np.array(array, dtype=dtype, order="C", copy=True if copy else None)
            if array.shape != shape:
                raise ValueError(f"expected an array of shape {shape}; got {array.shape}")
            self.keep.append(array)
            return array

        dtype = np.float32 if self.rows.single else np.float64
        self.w = own(coef, dtype, (n_outputs, n_features), copy=True)
        self.w_saved = self.w.copy()
        self.v.w = cnp.PyArray_DATA(self.w)
        self.intercept = own(intercept, np.float64, (n_outputs,), copy=True)
        self.intercept_saved = self.intercept.copy()
        self.v.intercept = <double*> cnp.PyArray_DATA(self.intercept)
        self.v.w_average = NULL
        self.v.intercept_average = NULL
        plan.average = settings.average if coef_average is not None else 0
        if plan.average > 0:
            self.w_average = own(coef_average, dtype, (n_outputs, n_features), copy=True)
            self.average_saved = self.w_average.copy()
            self.v.w_average = cnp.PyArray_DATA(self.w_average)
            self.intercept_average = own(intercept_average, np.float64, (n_outputs,), copy=True)
            self.intercept_average_saved = self.intercept_average.copy()
            self.v.intercept_average = <double*> cnp.PyArray_DATA(self.intercept_average)

        plan.n_outputs = n_outputs
        plan.size = n_outputs * n_features
        plan.batch_size = min(settings.batch_size, max(n_samples, 1))
        plan.y = <const double*> cnp.PyArray_DATA(<cnp.ndarray> own(y, np.float64, (n_samples,)))
        plan.weight = NULL
        if sample_weight is not None:
            plan.weight = <const double*> cnp.PyArray_DATA(
                <cnp.ndarray> own(sample_weight, np.float64, (n_samples,))
            )
        plan.held_out = NULL
        if held_out is not None:
            plan.held_out = <const uint8_t*> cnp.PyArray_DATA(<cnp.ndarray> own(held_out, np.uint8, (n_samples,)))
        plan.weight_positive = weight_positive
        plan.weight_negative = weight_negative
        order = np.arange(n_samples, dtype=np.int32)
        self.keep.append(order)
        plan.order = <int32_t*> cnp.PyArray_DATA(<cnp.ndarray> order)

        self.loss = loss
        kind, params = loss._resolve()
        params = own(params, np.float64, (len(params),))
        plan.params = <const double*> cnp.PyArray_DATA(<cnp.ndarray> params)
        plan.kind = -1 if kind is None else kind
        plan.rowwise = loss.is_multiclass
        if plan.kind >= 0 and not plan.rowwise:
            plan.point = point_of(plan.kind)
        if not plan.rowwise and n_outputs != 1:
            raise ValueError("a pointwise loss has one output")

        plan.fit_intercept = settings.fit_intercept
        plan.intercept_decay = SPARSE_INTERCEPT_DECAY if self.rows.sparse else 1.0
        plan.rule.schedule = SCHEDULES[settings.learning_rate]
        plan.rule.alpha = settings.alpha
        plan.rule.share_l1 = {"l1": 1.0, "elasticnet": settings.l1_ratio}.get(settings.penalty, 0.0)
        plan.rule.share_l2 = 1.0 - plan.rule.share_l1 if settings.penalty in ("l2", "elasticnet") else 0.0
        plan.rule.eta0 = settings.eta0
        plan.rule.power_t = settings.power_t
        plan.rule.optimal_init = optimal_init
        plan.least_scale = 1e-6 if self.rows.single else 1e-9
        # Without what only the general step does. The norm follows from a row's products where no entry is given twice.
        plan.lone = (
            plan.batch_size == 1 and n_outputs == 1 and plan.kind >= 0 and not plan.rowwise and plan.average == 0
            and plan.rule.share_l1 == 0.0 and plan.rule.schedule not in (PA1, PA2)
            and (not self.rows.sparse or plan.rule.share_l2 == 0.0 or X.has_canonical_format)
        )
        self.v.q = NULL
        if plan.rule.share_l1 > 0.0:
            self.q = np.zeros((n_outputs, n_features), dtype)
            self.v.q = cnp.PyArray_DATA(self.q)

        batch = np.empty(plan.batch_size, np.intp)
        self.keep.append(batch)
        self.v.rows = <Py_ssize_t*> cnp.PyArray_DATA(<cnp.ndarray> batch)
        self.target = np.empty(plan.batch_size)
        self.value = np.empty(plan.batch_size)
        self.raw = np.empty((plan.batch_size, n_outputs) if plan.rowwise else plan.batch_size)
        self.gradient = np.empty_like(self.raw)
        self.v.target = <double*> cnp.PyArray_DATA(self.target)
        self.v.value = <double*> cnp.PyArray_DATA(self.value)
        self.v.raw = <double*> cnp.PyArray_DATA(self.raw)
        self.v.gradient = <double*> cnp.PyArray_DATA(self.gradient)

        self.state.t = t
        self.state.eta = settings.eta0
        self.state.scale = 1.0
        self.state.average_a = 0.0
        self.state.average_b = 1.0
        self.state.u = 0.0
        self.state.touched = 0
        if self.rows.single:
            self.state.norms = sums_of(&self.rows, <const float*> self.v.w, plan.size, True)
        else:
            self.state.norms = sums_of(&self.rows, <const double*> self.v.w, plan.size, True)
        self.state.norms_seen = self.state.norms
        self.saved = self.state

    cdef int call_loss(self, Py_ssize_t size) except -1 with gil:
        """A Python loss on the batch."""
        value, gradient = self.loss.loss_gradient(self.target[:size], self.raw[:size])
        self.value[:size] = value
        self.gradient[:size] = gradient
        return 0

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
        """
        cdef State* s = &self.state
        cdef uint32_t seed_
        cdef int more = 1
        if seed is not None and self.rows.n_rows > 1:
            seed_ = seed
            with nogil:
                shuffle(self.plan.order, <uint32_t> self.rows.n_rows, seed_)
        s.position = 0
        s.seen = 0
        s.loss_sum = 0.0
        s.objective_sum = 0.0
        while more:
            if stop is not None and stop.is_set():
                raise KeyboardInterrupt
            PyErr_CheckSignals()
            with nogil:
                more = self._advance()
        seen = max(s.seen, 1)
        return s.loss_sum / seen, s.objective_sum / seen

    cdef int _advance(self) except -1 nogil:
        cdef const int32_t* narrow = NULL
        cdef const int64_t* wide = NULL
        if self.rows.single:
            if self.rows.wide:
                return advance(
                    self, &self.plan, &self.rows, &self.v, &self.state, <float*> self.v.w, wide
                )
            return advance(self, &self.plan, &self.rows, &self.v, &self.state, <float*> self.v.w, narrow)
        if self.rows.wide:
            return advance(self, &self.plan, &self.rows, &self.v, &self.state, <double*> self.v.w, wide)
        return advance(self, &self.plan, &self.rows, &self.v, &self.state, <double*> self.v.w, narrow)

    def save(self):
        """Remember where the fit stands; False, and nothing remembered, when a weight is not finite."""
        if not (np.isfinite(self.intercept).all() and np.isfinite(self.w).all()):
            return False
        self.saved = self.state
        memcpy(cnp.PyArray_DATA(self.w_saved), self.v.w, self.w.nbytes)
        memcpy(cnp.PyArray_DATA(self.intercept_saved), self.v.intercept, self.intercept.nbytes)
        if self.v.w_average != NULL:
            memcpy(cnp.PyArray_DATA(self.average_saved), self.v.w_average, self.w_average.nbytes)
            memcpy(
                cnp.PyArray_DATA(self.intercept_average_saved), self.v.intercept_average,
                self.intercept_average.nbytes,
            )
        return True

    def coef(self):
        """The weights at the last `save`, scaled: ndarray of shape (n_outputs, n_features)."""
        return self.w_saved * self.w_saved.dtype.type(self.saved.scale)

    def intercepts(self):
        """The intercepts at the last `save`: ndarray of shape (n_outputs,), float64."""
        return self.intercept_saved.copy()

    def averages(self):
        """The averaged weights and intercepts at the last `save`, or (None, None)."""
        if self.v.w_average == NULL:
            return None, None
        average = (self.average_saved + self.saved.average_a * self.w_saved.astype(np.float64)) / self.saved.average_b
        return average.astype(self.w.dtype), self.intercept_average_saved.copy()

    def penalty_norms(self):
        """The squared L2 norm and the L1 norm of the weights, as the objective counts them."""
        s = self.state.norms_seen
        return s.square * self.state.scale**2, s.absolute * self.state.scale

    @property
    def eta(self):
        """The learning rate of the last step."""
        return self.state.eta

    @eta.setter
    def eta(self, double value):
        self.state.eta = value
