"""Linear models on batches of rows: the mean loss over them and its gradient, and steps of any optimizer.

The passes over the rows are C++ (step.h); here are the arrays that last from epoch to epoch, the looks for signals, and
what a fit is resumed from.
"""

import numpy as np

cimport numpy as cnp
from cpython.exc cimport PyErr_CheckSignals
from libc.stdint cimport int32_t
from libc.string cimport memcpy

from sklearn_losses._kernels.fit._penalties cimport Penalty, PenaltyKernel
from sklearn_losses._kernels.fit.table cimport Table, describe
from sklearn_losses._kernels.losses._pointwise cimport LossBlock, loss_block_of, simd_level_in_use
from sklearn_losses._kernels.losses._rowwise cimport row_value_gradient

from sklearn_losses._kernels._threads import effective_n_threads
from sklearn_losses._kernels.fit.optimizers import KINDS, shuffled, state_powers
from sklearn_losses._states import of_batches

cnp.import_array()

cdef extern from "fit/step.h" namespace "sl" nogil:
    enum Target:
        SHARED
        SEPARATE
        CODES
    enum Memory:
        NO_MEMORY
        RECORD
    enum By:
        BY_SAMPLE
    enum Status:
        DONE
        MORE
        NOT_FINITE
        OUT_OF_MEMORY
        FAILED
    Py_ssize_t MOST_CHUNK_ROWS
    ctypedef int (*RowLoss)(
        int, const double*, int, Py_ssize_t, const double*, const double*, const double*, double*, double*
    ) noexcept nogil
    ctypedef Status (*PythonLoss)(void*, Py_ssize_t, double*, double*, double*, double*) noexcept nogil
    ctypedef Status (*PythonProx)(void*, double*, double*) noexcept nogil
    cdef cppclass ProblemArray:
        const char* name
        By by
    const ProblemArray* problem_arrays()
    cdef cppclass CppProblem "sl::Problem":
        Table x
        int n_outputs, target, kind
        double negative, weight_factor
        bint offset_separate, fit_intercept
        LossBlock block
        RowLoss row_loss
        const double* params
        const double* weight_positive
        Py_ssize_t params_stride
        void set(const ProblemArray& array, const double* data)
    cdef cppclass CppEngine "sl::Engine":
        CppProblem problem
        int level, threads
        const int32_t* order
        Py_ssize_t n_rows, jobs_shared
        PythonLoss python_loss
        const Penalty* penalty
        PythonProx python_prox
        void* caller
        double loss, square_norm
        const double* gradient_of_weights()
        const double* gradient_of_intercepts()
        const void** array(const char* name)
        double* number(const char* name)
        void allocate(Py_ssize_t batch_size) except +
        void begin_gradient(int memory_mode, bint centered) except +
        Status gradient()
        void begin_epoch(const double* rates, Py_ssize_t batch_size) except +
        Status epoch()
    CppEngine* new_engine(const CppProblem& problem) except +

cdef dict TARGETS = {"shared": SHARED, "separate": SEPARATE, "codes": CODES}

cdef Status call_python_loss(
    void* caller, Py_ssize_t size, double* target, double* raw, double* value, double* gradient
) noexcept with gil:
    return (<Problem> caller).call_loss(size, target, raw, value, gradient)


cdef Status call_python_prox(void* caller, double* to, double* length) noexcept with gil:
    return (<Engine> caller).call_prox(to, length)


cdef class Problem:
    """Data and loss of linear models that are fitted together: the mean loss over rows, and its gradient.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features), C order, or CSR matrix or array; float32 or float64
        Not copied.
    y : ndarray of shape (n_samples,) or (n_samples, n_outputs), float64
        As the loss takes it.
    losses : list of Loss
        One for all outputs, or one for each: then of one class.
    n_outputs : int
    target : {"shared", "separate", "codes"}
        What y holds: a target for all outputs, one for each output, or the code of the one output whose target is 1.
        A row-wise loss takes codes as "shared", and distributions over the classes as "separate".
    negative : float
        The target of the other outputs with "codes".
    rows : ndarray of shape (n_rows,), int32, or None
        The samples that count; None: all.
    weight_factor : float
        Factor of `sample_weight`.
    fit_intercept : bool
    batch_size : int
        Of the largest batch.
    n_threads : int or None
        As `effective_n_threads` takes it.
    **arrays : ndarray, float64, or None
        sample_weight, of shape (n_samples,); weight_positive and weight_negative, of shape (n_outputs,), factors of the
        weights of samples whose target is above 0, and of the others (pointwise losses only); offset, of shape
        (n_samples,) or (n_samples, n_outputs), added to the raw predictions.
    """

    cdef CppEngine* engine
    cdef dict arrays            # what the engine was given, and what its callers see
    cdef list keep
    cdef object losses, error, dtype, X
    cdef Py_ssize_t n_samples, n_rows, n_features
    cdef int n_outputs
    cdef bint sparse

    def __init__(
        self, X, y, losses, int n_outputs, *, target="shared", double negative=0.0, rows=None,
        double weight_factor=1.0, bint fit_intercept=True, Py_ssize_t batch_size=MOST_CHUNK_ROWS, n_threads=1, **arrays
    ):
        cdef CppProblem problem
        self.keep, self.arrays = [], {}
        describe(&problem.x, X, self.keep)
        self.sparse = problem.x.sparse()
        self.n_samples, self.n_features = X.shape
        self.n_outputs = n_outputs
        self.dtype = np.dtype(np.float32 if problem.x.single else np.float64)
        problem.n_outputs = n_outputs
        problem.target, problem.negative = TARGETS[target], negative
        problem.weight_factor, problem.fit_intercept = weight_factor, fit_intercept
        self.set_arrays(&problem, arrays | {"y": y})
        self.set_losses(&problem, losses)
        self.set_rows(rows)

        self.engine = new_engine(problem)
        self.engine.level = simd_level_in_use()
        # Sparse rows: one. Two threads write to the same few weights, whose cache lines then travel between the cores; that
        # took 1.4 to 2.6 times as long as one thread, in batches and over all rows.
        self.engine.threads = 1 if self.sparse else effective_n_threads(n_threads)
        self.engine.caller, self.engine.python_loss = <void*> self, call_python_loss
        self.engine.n_rows = self.n_rows
        self.engine.allocate(batch_size)
        shape = (n_outputs, self.n_features)
        self.give("w", np.zeros(shape[::-1] if self.sparse else shape, self.dtype))
        self.give("intercept", np.zeros(n_outputs))

    def __dealloc__(self):
        del self.engine

    # ---------------------------------------------------------------------------------------------- what is given

    cdef cnp.ndarray own(self, array, dtype, shape):
        array = np.require(array, dtype, "CA")
        if array.shape != shape:
            raise ValueError(f"expected an array of shape {shape}; got {array.shape}")
        self.keep.append(array)
        return array

    cdef int set_arrays(self, CppProblem* problem, dict arrays) except -1:
        cdef const ProblemArray* known = problem_arrays()
        separate = (self.n_samples, self.n_outputs)
        while known.name != NULL:
            name = known.name.decode()
            array = arrays.pop(name, None)
            if array is not None:
                by_output = problem.target == SEPARATE if name == "y" else np.ndim(array) == 2
                shape = (separate if by_output else (self.n_samples,)) if known.by == BY_SAMPLE else (self.n_outputs,)
                if name == "offset":
                    problem.offset_separate = by_output
                problem.set(known[0], <const double*> cnp.PyArray_DATA(self.own(array, np.float64, shape)))
            known += 1
        if arrays:
            raise TypeError(f"unknown arguments: {sorted(arrays)}")
        return 0

    cdef int set_losses(self, CppProblem* problem, losses) except -1:
        self.losses = losses
        resolved = [loss._resolve() for loss in losses]
        if len(losses) not in (1, self.n_outputs) or len({kind for kind, _ in resolved}) != 1:
            raise ValueError("one loss is needed, or one of the same class for each output")
        problem.kind, first = resolved[0]
        params = np.concatenate([params for _, params in resolved])
        problem.params = <const double*> cnp.PyArray_DATA(self.own(params, np.float64, (len(params),)))
        problem.params_stride = len(first) if len(losses) > 1 else 0
        if losses[0].is_multiclass:
            if problem.weight_positive != NULL:
                raise ValueError("a row-wise loss takes the weights of classes as sample weights")
            problem.row_loss = row_value_gradient
        elif problem.kind >= 0:
            problem.block = loss_block_of(problem.kind)
        return 0

    cdef int set_rows(self, rows) except -1:
        if rows is None:
            if self.n_samples > np.iinfo(np.int32).max:
                raise ValueError(f"at most {np.iinfo(np.int32).max} samples can be shuffled; got {self.n_samples}")
            rows = np.arange(self.n_samples, dtype=np.int32)
        if self.sparse and self.n_features > np.iinfo(np.int32).max:
            raise ValueError(f"at most {np.iinfo(np.int32).max} features can be counted; got {self.n_features}")
        self.arrays["rows"] = self.own(rows, np.int32, (len(rows),))
        self.n_rows = len(rows)
        return 0

    cdef cnp.ndarray give(self, str name, cnp.ndarray array):
        """Give the engine an array by its name; it is kept for as long as there is no other."""
        cdef const void** at = self.engine.array(name.encode())
        if at == NULL:
            raise TypeError(f"the engine knows no array {name!r}")
        at[0] = cnp.PyArray_DATA(array)
        self.arrays[name] = array
        return array

    cdef double* number(self, str name) except NULL:
        cdef double* at = self.engine.number(name.encode())
        if at == NULL:
            raise TypeError(f"the engine knows no number {name!r}")
        return at

    cdef int take_order(self, order) except -1:
        self.arrays["order"] = order
        self.engine.order = <const int32_t*> cnp.PyArray_DATA(<cnp.ndarray?> order)
        return 0

    # -------------------------------------------------------------------------------------------------------- passes

    cdef Status call_loss(self, Py_ssize_t size, double* target, double* raw, double* value, double* gradient):
        """A Python loss on a chunk."""
        try:
            if len(self.losses) > 1:
                raise ValueError("a Python loss has no kernel that takes parameters by output")
            found = self.losses[0].loss_gradient(np.asarray(<double[:size]> target), np.asarray(<double[:size]> raw))
            np.asarray(<double[:size]> value)[:] = found[0]
            np.asarray(<double[:size]> gradient)[:] = found[1]
        except BaseException as error:
            self.error = error
            return FAILED
        return DONE

    cdef Status pass_over(self, bint stepping, stop) except *:
        """Gradient or epoch to its end, with looks for signals; raises what it failed with."""
        cdef Status status = MORE
        while status == MORE:
            if stop is not None and stop.is_set():
                raise KeyboardInterrupt
            PyErr_CheckSignals()
            with nogil:
                status = self.engine.epoch() if stepping else self.engine.gradient()
        if status == FAILED:
            error, self.error = self.error, None
            raise error
        if status == OUT_OF_MEMORY:
            raise MemoryError(f"no memory for tiles of {self.n_outputs} classes")
        return status

    cdef double full_gradient(self, int memory_mode, bint centered) except? -1.0:
        """The gradient over all rows; returns the loss, or NaN where a raw prediction is not finite."""
        self.take_order(self.arrays["rows"])  # whatever the epoch before made of it
        self.engine.begin_gradient(memory_mode, centered)
        return self.engine.loss if self.pass_over(False, None) == DONE else float("nan")

    def jobs_shared(self):
        """How many jobs helpers were called for so far."""
        return self.engine.jobs_shared

    # ------------------------------------------------------------------------------------------------------- weights

    cdef object by_output(self, array):
        """An array of the weights' layout, of shape (n_outputs, n_features)."""
        if self.sparse:
            return array.reshape(self.n_features, self.n_outputs).T
        return array.reshape(self.n_outputs, self.n_features)

    cdef cnp.ndarray doubles(self, const double* at, Py_ssize_t n):
        """A copy of numbers of the engine's."""
        cdef cnp.ndarray made = np.empty(n)
        if n > 0:  # without columns there is nothing at `at`
            memcpy(cnp.PyArray_DATA(made), at, n * sizeof(double))
        return made

    def set_weights(self, coef, intercept):
        """Take over weights of shape (n_outputs, n_features) and intercepts of shape (n_outputs,)."""
        self.by_output(self.arrays["w"])[...] = coef
        self.arrays["intercept"][...] = intercept

    def value_gradient(self, coef, intercept):
        """The mean loss over the rows, weighted, and its gradient.

        Parameters
        ----------
        coef : ndarray of shape (n_outputs, n_features)
            Rounded to X's dtype.
        intercept : ndarray of shape (n_outputs,)

        Returns
        -------
        value : float
            NaN where a raw prediction is not finite.
        coef_gradient : ndarray of shape (n_outputs, n_features), float64
        intercept_gradient : ndarray of shape (n_outputs,), float64
        """
        self.set_weights(coef, intercept)
        value = self.full_gradient(NO_MEMORY, False)
        return value, *self.gradients()

    def gradients(self):
        """Those of the last pass over all rows, of shapes (n_outputs, n_features) and (n_outputs,)."""
        g = self.doubles(self.engine.gradient_of_weights(), self.n_outputs * self.n_features)
        return (
            np.ascontiguousarray(self.by_output(g)),
            self.doubles(self.engine.gradient_of_intercepts(), self.n_outputs),
        )


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
    penalty : PenaltyKernel, callable or None
        A penalty beside these: what a `Penalty` makes of itself for kernels, or, of one in Python, the proximal operator
        ``prox(coef, length)`` of weights and lengths of shape (n_outputs, n_features); a length that follows from
        gradients, where there has been none, is minus how far a first one would lead. With sparse X, one of groups or in
        Python makes a step as expensive as with dense X: it moves every feature.
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
    average_power : float
        At least 0: as its number, from there, to this power each step counts in the averages.
    share : ndarray of shape (n_features,), float64, or None
        Entries of a feature over the number of rows: sparse variance-reduced methods need it.
    """

    cdef object memory, penalty
    cdef dict live, kept        # arrays of a state, each with a row an output: kept ones fit dense and sparse data alike
    cdef dict numbers_kept
    cdef tuple powers

    def __init__(
        self, X, y, losses, n_outputs, *, coef, intercept, str optimizer, params, memory=None, double l1=0.0,
        double l2=0.0, penalty=None, low=None, high=None, unit=None, intercept_unit=None, center=None, clip_norm=None,
        Py_ssize_t average=0, double average_power=0.0, share=None, **problem
    ):
        super().__init__(X, y, losses, n_outputs, **problem)
        self.memory, self.powers = memory, state_powers(optimizer)
        self.give("params", self.own(params, np.float64, (len(params),)))
        numbers = {
            "optimizer": KINDS[optimizer], "n_params": len(params), "l1": l1, "l2": l2,
            "clip_norm": np.inf if clip_norm is None else clip_norm, "average_from": average,
            "average_power": average_power, "records": memory == "saga", "t": 1.0, "average_b": 1.0,
        }
        for name, value in numbers.items():
            self.number(name)[0] = value
        self.penalty = penalty
        if isinstance(penalty, PenaltyKernel):
            self.engine.penalty = &(<PenaltyKernel> penalty).penalty
        elif penalty is not None:
            self.engine.python_prox = call_python_prox
        self.set_weights(coef, intercept)
        w, intercept = self.arrays["w"], self.arrays["intercept"]
        if low is not None:
            weights = self.by_output(w)
            np.clip(weights, low, high, out=weights)
            self.give("low", self.of_weights(low))
            self.give("high", self.of_weights(high))
        self.give("unit", np.ones_like(w))
        self.give("intercept_unit", np.ones(n_outputs))
        self.live = {"w": self.by_output(w), "intercept": intercept}
        states = [f"s{i}" for i in range(len(self.powers))]
        for name in states:
            self.live[name] = self.by_output(self.give(name, np.zeros_like(w)))
        for name in states:
            self.live[f"intercept_{name}"] = self.give(f"intercept_{name}", np.zeros(n_outputs))
        if average:
            self.live["average"] = self.by_output(self.give("average", np.zeros(w.size)))
            self.live["intercept_average"] = self.give("intercept_average", np.zeros(n_outputs))
        if memory is not None:
            self.live["table"] = self.give("table", np.zeros((self.n_samples, n_outputs)))
            self.live["mean"] = self.give("mean", np.zeros(w.size))
            self.live["intercept_mean"] = self.give("intercept_mean", np.zeros(n_outputs))
            if self.sparse:
                if share is None:
                    raise ValueError("variance-reduced methods need `share` where X is sparse")
                self.give("share", self.own(share, np.float64, (self.n_features,)))
        self.kept = {name: array.copy("C") for name, array in self.live.items()}
        self.numbers_kept = self.numbers()
        self.arrays["center"] = np.zeros(self.n_features)
        self.set_coordinates(unit, intercept_unit, center)

    cdef Status call_prox(self, double* to, double* length):
        """The proximal operator of a penalty in Python."""
        cdef Py_ssize_t size = self.n_outputs * self.n_features
        try:
            if size > 0:
                to_, length_ = (self.by_output(a) for a in (np.asarray(<double[:size]> to), np.asarray(<double[:size]> length)))
                to_[...] = self.penalty(to_.copy("C"), length_.copy("C"))
        except BaseException as error:
            self.error = error
            return FAILED
        return DONE

    cdef cnp.ndarray of_weights(self, array):
        """An array with an element for each weight, in their layout, of one that goes with (n_outputs, n_features)."""
        cdef cnp.ndarray made = np.empty_like(self.arrays["w"])
        self.by_output(made)[...] = array
        return made

    def set_coordinates(self, unit, intercept_unit, center):
        """Take other units and another centre, as the constructor does; what the optimizer remembers follows, here and at
        the last `save`."""
        if center is not None and (self.sparse or not self.engine.problem.fit_intercept):
            raise ValueError("center needs dense rows and an intercept")
        if unit is not None:
            self.rescale("unit", self.of_weights(unit), "s")
            new = np.ones(self.n_outputs) if intercept_unit is None else np.asarray(intercept_unit, np.float64)
            self.rescale("intercept_unit", new, "intercept_s")
        moved = self.arrays["center"].copy()
        at_center = self.arrays["center"]
        at_center[...] = 0.0 if center is None else center
        self.give("center", at_center)
        if center is None:
            self.engine.array(b"center")[0] = NULL
        moved -= at_center
        if self.memory is not None and moved.any():
            for arrays in (self.live, self.kept):  # mean gradients are seen from the centre
                mean = self.by_output(arrays["mean"])
                mean += moved * arrays["intercept_mean"][:, None]

    cdef int rescale(self, str name, new, str states) except -1:
        """Take other units, and let the states follow."""
        old = self.arrays[name]
        growth = new.astype(np.float64) / old
        growth = growth if old.ndim == 1 else self.by_output(growth)
        for arrays in (self.live, self.kept):
            for i, power in enumerate(self.powers):
                arrays[f"{states}{i}"] *= growth ** float(power)
        old[...] = new
        return 0

    # --------------------------------------------------------------------------------------------------------- epochs

    def remember(self):
        """Fill the memory of a variance-reduced method with the gradients of all rows; False where they are not
        finite."""
        value = self.full_gradient(RECORD, self.engine.array(b"center")[0] != NULL)
        self.arrays["mean"][:] = self.doubles(self.engine.gradient_of_weights(), self.arrays["mean"].size)
        self.arrays["intercept_mean"][:] = self.doubles(self.engine.gradient_of_intercepts(), self.n_outputs)
        return bool(np.isfinite(value))

    def memory_gradient(self):
        """The mean of the remembered gradients, seen from the centre, of shape (n_outputs, n_features), and that of the
        intercepts, of shape (n_outputs,)."""
        return np.array(self.by_output(self.arrays["mean"])), self.arrays["intercept_mean"].copy()

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
        if rates.shape[0] * batch_size < self.n_rows:
            raise ValueError(f"{rates.shape[0]} rates are too few for {self.n_rows} rows")
        rows = self.arrays["rows"]
        self.take_order(rows if seed is None else shuffled(rows, seed))
        self.engine.begin_epoch(&rates[0] if rates.shape[0] else NULL, batch_size)
        cdef Status status = self.pass_over(True, stop)
        norm = float(np.sqrt(self.engine.square_norm))
        if self.memory is not None:
            mean, intercept_mean = self.memory_gradient()
            mean += intercept_mean[:, None] * self.arrays["center"]
            norm = np.sum(mean**2) + (np.sum(intercept_mean**2) if self.engine.problem.fit_intercept else 0.0)
            norm = float(np.sqrt(norm))
        return self.engine.loss, norm, status == DONE

    def square_norm(self):
        """Of the weights as they are."""
        w = np.asarray(self.live["w"], dtype=np.float64)
        return float(np.vdot(w, w))

    def absolute_norm(self):
        """The sum of the sizes of the weights as they are."""
        return float(np.abs(np.asarray(self.live["w"], dtype=np.float64)).sum())

    def change(self):
        """The largest change of a weight since the last `save`, and the largest size of one."""
        w = self.live["w"]
        return float(np.abs(w - self.kept["w"]).max(initial=0.0)), float(np.abs(w).max(initial=0.0))

    # ---------------------------------------------------------------------------------------------------------- state

    cdef dict numbers(self):
        """Numbers that change with the steps."""
        return {name: self.number(name)[0] for name in ("average_a", "average_b", "t", "l1_so_far")}

    def save(self):
        """Remember where the fit stands; False, and nothing remembered, when a weight, or what an optimizer remembers of
        one, is not finite."""
        if not all(np.isfinite(array).all() for array in self.live.values()):
            return False
        for name, array in self.live.items():
            self.kept[name][...] = array
        self.numbers_kept = self.numbers()
        return True

    def coef(self):
        """The weights at the last `save`: ndarray of shape (n_outputs, n_features)."""
        return self.kept["w"].copy()

    def intercepts(self):
        """The intercepts at the last `save`: ndarray of shape (n_outputs,)."""
        return self.kept["intercept"].copy()

    def averages(self):
        """Averaged weights and intercepts at the last `save`, or (None, None) where no step was averaged."""
        numbers = self.numbers_kept
        if not 0 < self.number("average_from")[0] <= numbers["t"] - 1.0:
            return None, None
        average = (self.kept["average"] + numbers["average_a"] * self.kept["w"]) / numbers["average_b"]
        return np.array(average.astype(self.dtype), order="C"), self.kept["intercept_average"].copy()

    def get_state(self):
        """All that the next epoch depends on but data, parameters and order, at the last `save`: a dict."""
        return {**{name: array.copy() for name, array in self.kept.items()}, **self.numbers_kept}

    def set_state(self, state):
        """Go on from what `get_state` returned; a ValueError where it is nothing that this could go on from."""
        state = of_batches(self.live, self.number("average_power")[0])(state)
        for name, array in self.live.items():
            array[...] = self.kept[name][...] = state[name]
        self.numbers_kept = {name: state[name] for name in self.numbers_kept}
        for name, value in self.numbers_kept.items():
            self.number(name)[0] = value
