"""Epochs of steps on batches, of any optimizer."""

import numpy as np

cimport numpy as cnp
from cpython.exc cimport PyErr_CheckSignals
from libc.math cimport INFINITY, pow, sqrt
from libc.stdint cimport int32_t, uint64_t

from sklearn_losses._kernels.losses._arrays cimport kinds_of
from sklearn_losses._kernels.fit._batch cimport (
    BETWEEN_LOOKS, CALL_COST, CHANGE, CHANGE_AND_RECORD, DONE, MORE, NO_MEMORY, RECORD, Move, Problem, Run, Slab64, Status,
    intercept_shift, optimizer_names, shuffle_rows, state_power, states_of, step_intercepts,
)
from sklearn_losses._kernels.losses._pointwise cimport simd_level_in_use
from sklearn_losses._states import arrays_and_scalars

cnp.import_array()

# Struct name -> kind, its position in the header's list.
KINDS = kinds_of(optimizer_names())


def n_states(optimizer):
    """How many numbers an optimizer remembers of each coordinate.

    Parameters
    ----------
    optimizer : str
        A name in `KINDS`.

    Returns
    -------
    n_states : int
    """
    return states_of(KINDS[optimizer])


def state_powers(optimizer):
    """How what an optimizer remembers of a coordinate follows a new unit.

    Parameters
    ----------
    optimizer : str
        A name in `KINDS`.

    Returns
    -------
    powers : tuple of int, of `n_states`
        State i is multiplied by ``(new / old) ** powers[i]``.
    """
    return tuple(state_power(KINDS[optimizer], i) for i in range(n_states(optimizer)))


def shuffled(cnp.ndarray rows, uint64_t seed):
    """Rows in the order of an epoch, which the seed and their number alone determine.

    Parameters
    ----------
    rows : ndarray of shape (n_rows,), int32, C-contiguous
    seed : int

    Returns
    -------
    order : ndarray of the same shape
    """
    cdef cnp.ndarray order = np.empty_like(rows)
    cdef Py_ssize_t n = len(rows)
    with nogil:
        shuffle_rows(
            <const int32_t*> cnp.PyArray_DATA(rows), <int32_t*> cnp.PyArray_DATA(order), n, seed, simd_level_in_use()
        )
    return order


cdef class Engine(Problem):
    """An epoch of steps, again and again; the caller counts the epochs.

    Parameters
    ----------
    X, y, losses, n_outputs, **problem
        As `Problem` takes them.
    coef : ndarray of shape (n_outputs, n_features)
        Where to start; copied.
    intercept : ndarray of shape (n_outputs,)
    optimizer : str
        A name in `KINDS`. Variance-reduced methods step as "SGD" does.
    params : ndarray of shape (n_params,), float64
        Those of the optimizer.
    memory : {"saga", "svrg"} or None
        The variance-reduced method.
    l1, l2 : float
        Weights of the penalties, alpha included.
    low, high : ndarray of shape (n_features,) or None
        Bounds of the weights.
    unit : ndarray of shape (n_outputs, n_features) or None
        Positive. Steps are taken in the coordinates ``w / unit``, with the penalty and the bounds of w; None: 1.
    intercept_unit : ndarray of shape (n_outputs,) or None
        The same, of the intercepts.
    center : ndarray of shape (n_features,) or None
        Steps see X less this, and the intercept that goes with it; dense X and ``fit_intercept`` only.
    clip_norm : float or None
        The most that the norm of the gradient of a batch may be.
    average : int
        The step at which averaging starts; 0: never.
    share : ndarray of shape (n_features,), float64, or None
        Entries of a feature over the number of rows: sparse variance-reduced methods need it.
    """

    cdef double l1, l2, clip_norm, average_a, average_b, t, l1_so_far
    cdef Py_ssize_t average_from, averages_at, position, batch, n_params
    cdef double loss_sum, norm_sum
    cdef const double* rates
    cdef Py_ssize_t steps
    cdef object memory
    cdef list live, kept
    cdef tuple scalars_kept, powers
    cdef list states, intercept_states
    cdef cnp.ndarray average, intercept_average, mean, intercept_mean, table, params, unit, intercept_unit, center
    cdef double* intercept_states_at[3]
    cdef double* intercept_average_at
    cdef double* intercept_mean_at

    def __init__(
        self, X, y, losses, n_outputs, *, coef, intercept, str optimizer, params, memory=None, double l1=0.0,
        double l2=0.0, low=None, high=None, unit=None, intercept_unit=None, center=None, clip_norm=None,
        Py_ssize_t average=0, share=None, **problem
    ):
        cdef Run* run = &self.run
        cdef int i
        super().__init__(X, y, losses, n_outputs, **problem)
        run.optimizer = KINDS[optimizer]
        self.params = self.own(params, np.float64, (len(params),))
        self.n_params = len(params)
        run.move.moment.params = <const double*> cnp.PyArray_DATA(self.params)
        self.l1, self.l2 = l1, l2
        self.clip_norm = INFINITY if clip_norm is None else clip_norm
        self.average_from = average
        self.average_a, self.average_b, self.t, self.l1_so_far = 0.0, 1.0, 1.0, 0.0
        self.set_weights(coef, intercept)
        self.states = [np.zeros_like(self.w) for _ in range(states_of(run.optimizer))]
        for i in range(len(self.states)):
            run.s[i] = cnp.PyArray_DATA(<cnp.ndarray> self.states[i])
        self.intercept_states = [np.zeros(n_outputs) for _ in self.states]
        for i in range(3):
            self.intercept_states_at[i] = NULL
        for i in range(len(self.states)):
            self.intercept_states_at[i] = <double*> cnp.PyArray_DATA(<cnp.ndarray> self.intercept_states[i])
        # Views with a row an output: what is kept fits dense and sparse data alike.
        states = [self.by_output(state) for state in self.states]
        self.live = [self.by_output(self.w), self.intercept, *states, *self.intercept_states]
        if low is not None:
            weights = self.by_output(self.w)
            np.clip(weights, low, high, out=weights)
            low, high = (self.of_weights(bound) for bound in (low, high))
            self.keep += [low, high]
            run.low, run.high = cnp.PyArray_DATA(<cnp.ndarray> low), cnp.PyArray_DATA(<cnp.ndarray> high)
        self.unit, self.intercept_unit = np.ones_like(self.w), np.ones(n_outputs)
        run.unit = cnp.PyArray_DATA(self.unit)
        self.center, self.powers = np.zeros(self.n_features), state_powers(optimizer)
        if average:
            self.average = np.zeros(run.size)
            self.intercept_average = np.zeros(n_outputs)
            run.average = <double*> cnp.PyArray_DATA(self.average)
            self.intercept_average_at = <double*> cnp.PyArray_DATA(self.intercept_average)
            self.averages_at = len(self.live)
            self.live += [self.by_output(self.average), self.intercept_average]
        self.memory = memory
        self.intercept_mean_at = NULL
        if memory is not None:
            run.mean_keep = 1.0 if memory == "saga" else 0.0
            self.table = np.zeros((self.n_samples, n_outputs))
            self.mean, self.intercept_mean = np.zeros(run.size), np.zeros(n_outputs)
            run.chunk.memory = <double*> cnp.PyArray_DATA(self.table)
            run.mean = <double*> cnp.PyArray_DATA(self.mean)
            self.intercept_mean_at = <double*> cnp.PyArray_DATA(self.intercept_mean)
            self.live += [self.table, self.mean, self.intercept_mean]
            if self.rows.sparse:
                if share is None:
                    raise ValueError("variance-reduced methods need `share` where X is sparse")
                count = np.zeros(self.n_features, np.int32)
                self.keep.append(count)
                run.count = <int32_t*> cnp.PyArray_DATA(<cnp.ndarray> count)
                run.share = self.pointer(share, (self.n_features,))
        run.penalised = memory is None and (l1 > 0.0 or l2 > 0.0)
        self.kept = [array.copy("C") for array in self.live]
        self.scalars_kept = (self.average_a, self.average_b, self.t, self.l1_so_far)
        self.set_coordinates(unit, intercept_unit, center)

    cdef cnp.ndarray of_weights(self, array):
        """An array with an element for each weight, in their layout, of one that goes with (n_outputs, n_features)."""
        cdef cnp.ndarray made = np.empty_like(self.w)
        self.by_output(made)[...] = array
        return made

    def set_coordinates(self, unit, intercept_unit, center):
        """Take other units and another centre, as the constructor does; what the optimizer remembers follows, here and at
        the last `save`."""
        cdef Py_ssize_t i, n = len(self.powers)
        if center is not None and (self.rows.sparse or not self.run.task.fit_intercept):
            raise ValueError("center needs dense rows and an intercept")
        if unit is not None:
            new = self.of_weights(unit)
            new_intercept = np.ones(self.n_outputs) if intercept_unit is None else np.asarray(intercept_unit, np.float64)
            growth, intercept_growth = self.by_output(new.astype(np.float64) / self.unit), new_intercept / self.intercept_unit
            for arrays in (self.live, self.kept):
                for i in range(n):
                    arrays[2 + i] *= growth ** float(self.powers[i])
                    arrays[2 + n + i] *= intercept_growth ** float(self.powers[i])
            self.unit[...] = new
            self.intercept_unit[...] = new_intercept
        moved = self.center.copy()
        self.center[...] = 0.0 if center is None else center
        self.run.center = NULL
        if center is not None:
            self.run.center = <const double*> cnp.PyArray_DATA(self.center)
        moved -= self.center
        if self.memory is not None and moved.any():
            for arrays in (self.live, self.kept):  # mean gradients are seen from the centre
                mean = self.by_output(arrays[len(arrays) - 2])
                mean += moved * arrays[len(arrays) - 1][:, None]

    def remember(self):
        """Fill the memory of a variance-reduced method with the gradients of all rows; False where they are not
        finite."""
        value = self.full_gradient(RECORD)
        self.mean[:] = self.g[:self.run.size]
        self.intercept_mean[:] = self.intercept_gradient[:self.n_outputs]
        return bool(np.isfinite(value))

    def memory_gradient(self):
        """The mean of the remembered gradients, seen from the centre, of shape (n_outputs, n_features), and that of the
        intercepts, of shape (n_outputs,)."""
        return np.array(self.by_output(self.mean)), self.intercept_mean.copy()

    def epoch(self, const double[::1] rates, Py_ssize_t batch_size, seed=None, stop=None):
        """One pass over the rows, a step for each batch.

        Parameters
        ----------
        rates : ndarray of shape (n_steps,), float64
            The learning rate of each step.
        batch_size : int
            Samples a step; the last batch has what is left.
        seed : int or None
            Of the order of the rows, which it alone determines; None: as they come.
        stop : threading.Event or None
            Looked at several times a second, with the signals; when set, KeyboardInterrupt is raised.

        Returns
        -------
        loss : float
            Weighted mean over the rows, each before the step that it caused.
        gradient_norm : float
            Root of the mean over the steps of the squared norm of the batch's gradient; of the mean gradient that is
            remembered for the variance-reduced methods.
        finite : bool
            False when the epoch was given up because a raw prediction was not finite.
        """
        cdef Run* run = &self.run
        cdef double work
        cdef Status status = MORE
        if rates.shape[0] * batch_size < self.n_rows:
            raise ValueError(f"{rates.shape[0]} rates are too few for {self.n_rows} rows")
        self.order_array = self.rows_given if seed is None else shuffled(self.rows_given, seed)
        self.order = <int32_t*> cnp.PyArray_DATA(self.order_array)
        self.position = self.steps = 0
        self.loss_sum = self.norm_sum = 0.0
        self.batch = batch_size
        run.step = 0
        if self.rows.sparse:  # whatever a full gradient, or an epoch that was given up, has left there
            self.g[:] = 0.0
            self.marks[:] = 0
            run.touched.n = run.touched.settled = 0
        self.rates = &rates[0]
        self.stepping = True
        work = min(BETWEEN_LOOKS, self.n_rows * self.row_work)
        if self.threads_for(batch_size * self.row_work) == 1:
            work = 0.0  # nothing to share
        while status == MORE:
            if stop is not None and stop.is_set():
                raise KeyboardInterrupt
            PyErr_CheckSignals()
            status = self.share_pass(work)
        norm = sqrt(self.norm_sum / max(self.steps, 1))
        if self.memory is not None:
            mean, intercept_mean = self.memory_gradient()
            if run.center != NULL:
                mean += intercept_mean[:, None] * self.center
            norm = np.sum(mean**2) + (np.sum(intercept_mean**2) if run.task.fit_intercept else 0.0)
            norm = float(np.sqrt(norm))
        return self.loss_sum / max(self.n_rows, 1), norm, status == DONE

    cdef Status pass_over(self) noexcept nogil:
        return self.advance() if self.stepping else self.pass_over_part()

    cdef Status advance(self) noexcept nogil:
        """Steps until the epoch ends, or until it is time to look for signals."""
        cdef Py_ssize_t stop
        cdef double work = 0.0
        cdef Status status
        while self.position < self.n_rows:
            if work > BETWEEN_LOOKS:
                return MORE
            stop = min(self.position + self.batch, self.n_rows)
            status = self.step(self.position, stop, self.rates[self.steps])
            if status != DONE:
                return status
            work += (stop - self.position) * self.row_work + (CALL_COST if self.run.task.kind < 0 else 0.0)
            if self.run.task.indptr == NULL:
                work += self.run.size
            self.position = stop
            self.steps += 1
        if self.run.task.indptr != NULL:
            self.passes.rest(&self.run, 0)
        return DONE

    cdef Status step(self, Py_ssize_t start, Py_ssize_t stop, double rate) noexcept nogil:
        """One step on rows [start, stop) of the order."""
        cdef Run* run = &self.run
        cdef Move* move = &run.move
        cdef double c, norm
        cdef Py_ssize_t k, blocks
        cdef Py_ssize_t batch = stop - start
        cdef int threads
        cdef bint sparse = run.task.indptr != NULL
        cdef bint clips = self.clip_norm < INFINITY
        cdef Status status
        move.moment.rate = rate
        move.moment.t = self.t
        move.moment.l2 = self.l2
        self.l1_so_far += rate * self.l1
        move.moment.l1_so_far = self.l1_so_far
        if self.n_params > 1:
            move.moment.power1 = pow(move.moment.params[0], self.t)
            move.moment.power2 = pow(move.moment.params[1], self.t)
        move.l1 = self.l1
        move.scale = 1.0
        move.average = self.average_a
        run.chunk.inverse = 1.0 / batch
        run.chunk.memory_mode = NO_MEMORY
        if run.mean != NULL:
            run.chunk.memory_mode = CHANGE_AND_RECORD if run.mean_keep > 0.0 else CHANGE
            run.mean_keep = batch / <double> self.n_rows if run.mean_keep > 0.0 else 0.0
            run.batch = batch
        run.step += 1

        status = self.add_rows(start, stop, sparse)
        if status != DONE:
            return status
        self.loss_sum += self.collect()

        blocks = self.n_blocks()
        threads = self.threads_for_columns()
        run.steps_at_once = not clips
        self.each(self.passes.columns, blocks, threads)
        norm = self.intercept_norm if run.task.fit_intercept else 0.0
        for k in range(blocks):
            norm += run.norms[k]
        self.norm_sum += norm
        if clips:
            norm = sqrt(norm)
            if norm > self.clip_norm:
                move.scale = self.clip_norm / norm
            self.each(self.passes.update, blocks, threads)
        if run.task.fit_intercept:
            self.move_intercepts()

        # Averages (Bottou, Stochastic Gradient Descent Tricks, 2012, section 5.3): (average + a * w) / b.
        if 0 < self.average_from <= self.t:
            c = 1.0 / (self.t - self.average_from + 1.0)
            if c < 1.0:
                self.average_b /= 1.0 - c
            self.average_a += c * self.average_b
            for k in range(self.n_outputs):
                self.intercept_average_at[k] += c * (run.intercept[k] - self.intercept_average_at[k])
        self.t += 1.0
        return DONE

    cdef void move_intercepts(self) noexcept nogil:
        cdef Slab64 slab
        cdef Py_ssize_t i, k
        slab.w = <double*> self.run.intercept
        slab.g = self.run.intercept_gradient
        slab.unit = <const double*> cnp.PyArray_DATA(self.intercept_unit)
        slab.low = slab.high = NULL
        slab.average = NULL
        slab.n = self.n_outputs
        for i in range(3):
            slab.s[i] = self.intercept_states_at[i]
        step_intercepts(self.run, slab, self.intercept_mean_at)
        if self.run.center != NULL:
            for k in range(self.n_outputs):
                slab.w[k] += intercept_shift(self.run, k)

    def square_norm(self):
        """Of the weights as they are."""
        w = np.asarray(self.live[0], dtype=np.float64)
        return float(np.vdot(w, w))

    def absolute_norm(self):
        """The sum of the sizes of the weights as they are."""
        return float(np.abs(np.asarray(self.live[0], dtype=np.float64)).sum())

    def change(self):
        """The largest change of a weight since the last `save`, and the largest size of one."""
        w = self.live[0]
        return float(np.abs(w - self.kept[0]).max(initial=0.0)), float(np.abs(w).max(initial=0.0))

    def save(self):
        """Remember where the fit stands; False, and nothing remembered, when a weight, or what an optimizer remembers of
        one, is not finite."""
        if not all(np.isfinite(array).all() for array in self.live):
            return False
        for kept, array in zip(self.kept, self.live):
            kept[...] = array
        self.scalars_kept = (self.average_a, self.average_b, self.t, self.l1_so_far)
        return True

    def coef(self):
        """The weights at the last `save`: ndarray of shape (n_outputs, n_features)."""
        return self.kept[0].copy()

    def intercepts(self):
        """The intercepts at the last `save`: ndarray of shape (n_outputs,)."""
        return self.kept[1].copy()

    def averages(self):
        """Averaged weights and intercepts at the last `save`, or (None, None) where no step was averaged."""
        a, b, t, _ = self.scalars_kept
        if not 0 < self.average_from <= t - 1.0:
            return None, None
        average, intercept = self.kept[self.averages_at], self.kept[self.averages_at + 1]
        average = (average + a * self.kept[0]) / b
        return np.array(average.astype(self.dtype), order="C"), intercept.copy()

    def get_state(self):
        """All that the next epoch depends on but data, parameters and order, at the last `save`: a dict."""
        return {"arrays": [array.copy() for array in self.kept], "scalars": self.scalars_kept}

    def set_state(self, state):
        """Go on from what `get_state` returned; a ValueError where it is nothing that this could go on from."""
        state = arrays_and_scalars(self.live)(state)
        for array, kept, given in zip(self.live, self.kept, state["arrays"]):
            array[...] = kept[...] = given
        self.scalars_kept = self.average_a, self.average_b, self.t, self.l1_so_far = state["scalars"]
