"""Mini-batches of any optimizer that steps, on one output or many."""

import math

import numpy as np

from sklearn_losses._array import array_namespace, on_device, to_host
from sklearn_losses._solvers.coordinates import (
    RENEWED,
    Columns,
    Coordinates,
    LossUnits,
    Sample,
    center_of,
    curvature_coordinates,
    curvature_units,
    loss_units,
    spread_units,
)
from sklearn_losses._solvers.engines import engine_class, problem_of
from sklearn_losses._solvers.fit import Descent, Epoch, Model
from sklearn_losses._solvers.gap import Gap, least_gradient, tolerated
from sklearn_losses._solvers.rates import Rates, Smoothness, size_of_batches
from sklearn_losses._solvers.reference import reference_of
from sklearn_losses._states import (
    SEED,
    anything,
    array_like,
    dict_of,
    gap_of,
    list_of,
    number,
    optional,
    units_of,
)
from sklearn_losses.links import IdentityLink
from sklearn_losses.optimizers import SGD

# A recommended rate is divided by this when a fit has blown up, so often at most.
SHORTER = 4.0
MOST_RETRIES = 30
# An epoch blew up where its mean loss, above the floor, is so many times the best constant's
# objective.
BLOWN_UP = 4.0
# A part of a stream on which steps lead to this many times the loss of the constant, through a link
# that grows without bound, is refused: from where they lead no later part brings them back.
ASTRAY = 1e12
# A slope below this share of the spread of raw predictions is rounding.
ROUNDING = 1e-10


def share_of_rows(data):
    """For each feature, the share of the training rows that have an entry of it."""
    X = data.X
    xp = array_namespace(X)
    counts = xp.zeros(X.shape[1])
    kept = None if data.held_out is None else xp.asarray(~data.held_out)
    entries = 1 << (16 if xp is np else 24)  # at a time: a mask of all takes memory
    rows = max(1, entries * X.shape[0] // max(X.nnz, 1))
    for start in range(0, X.shape[0], rows):
        stop = min(start + rows, X.shape[0])
        first, last = int(X.indptr[start]), int(X.indptr[stop])
        indices = X.indices[first:last]
        if kept is not None:
            places = xp.arange(first, last, dtype=X.indptr.dtype)
            row = xp.searchsorted(X.indptr[start:stop], places, side="right") - 1
            indices = indices[kept[start:stop][row]]
        counts += xp.bincount(indices, minlength=len(counts))
    return counts / max(data.n_training(), 1)


def overflow(what):
    return ValueError(
        f"Floating-point under-/overflow occurred at epoch #1: {what}. Targets in other units "
        "might help."
    )


class Batches(Descent):
    """A descent by steps on batches.

    Parameters
    ----------
    data : Data
    settings : Settings
    model : Model
        Where to start.
    reference : Reference
    seed : int
        Of the order of the samples.
    units : LossUnits or None
        Of what a stream has begun with; None: those of the data.
    stream : bool
        Whether the data are a part of a stream: sample weights count as they are, not relative to
        their mean, and the columns' scales are those of all parts so far.
    """

    options = ("seed", "units", "stream")
    needs = ("mean", "heads", "schedule", "decay")

    def __init__(self, data, settings, model, reference, *, seed, units=None, stream=False):
        optimizer = settings.optimizer
        self.settings = settings
        self.reference = reference
        self.seed = seed
        self.stream = stream
        self.n_rows = data.n_training()
        self.memory = optimizer.memory
        self.own_criterion = self.memory is not None
        self.snapshots = getattr(optimizer, "every", None)
        self.shape = (data.n_outputs, data.X.shape[1])  # of the weights
        self.adapts = optimizer.recommended_rate is not None  # the length of each coordinate's step
        self.X, self.data = data.X, data
        self.columns = data.columns
        sample = Sample(data)
        self.units = units or loss_units(sample, reference.constants)
        if not (stream or math.isfinite(reference.objective)):
            raise overflow("the loss of the best constant overflows")
        self.center = center_of(data.X, self.columns, settings.fit_intercept)
        self.scale = self._scale()
        smoothness = None
        if settings.recommended and not self.adapts:
            center = np.zeros(data.X.shape[1]) if self.center is None else self.center
            smoothness = Smoothness(
                data, sample, center, self.scale, self.units.length, reference.constants
            )
        self.rates = Rates(settings, smoothness)
        kernel, params = optimizer._kernel_params()
        if isinstance(optimizer, SGD) and settings.l1:
            kernel = "CumulativeSGD"
        growing = hasattr(settings.batch_size, "size")
        largest = self.n_rows if growing else size_of_batches(settings.batch_size, 0, self.n_rows)
        sparse = hasattr(data.X, "indptr")
        self.engine = engine_class(data.X)(
            data.X,
            coef=model.coef,
            intercept=model.intercept,
            optimizer=kernel,
            params=self._with_scaled_eps(optimizer, params),
            memory=self.memory,
            l1=settings.l1,
            l2=settings.l2,
            **self._own_penalty(),
            low=settings.low,
            high=settings.high,
            clip_norm=settings.clip_norm,
            **self._averages(),
            share=share_of_rows(data) if sparse and self.memory else None,
            **problem_of(data, settings, batch_size=largest, weight_factor=1.0 if stream else None),
        )
        self.engine.set_coordinates(**self._coordinates().arguments())
        self._begin_sums(np.ones(data.X.shape[1], bool))
        self.t = 1.0
        self.gap = Gap()

    def _own_penalty(self):
        """The engine's argument; those of a device have none."""
        own = self.settings.own
        return {} if own is None else {"penalty": own.kernel()}

    def _averages(self):
        """The engine's arguments: the averages that the user wants, or the optimizer's own."""
        start = self.settings.optimizer._start()
        if start is None or self.settings.average:
            return {"average": self.settings.average}
        return {"average": 1, "average_power": start[1]}

    # ------------------------------------------------------------------------------- coordinates

    def _scale(self):
        # By entry: a rare feature's steps are as long as another's, where a row has it.
        about = 0.0 if self.center is None else self.center
        return self.columns.scales(about, per_entry=True)

    def _coordinates(self):
        # A stream may bring sparse parts after dense ones.
        center = None if hasattr(self.X, "indptr") else self.center
        if self.adapts:
            spread = self.units.spread
            return Coordinates(spread_units(self.scale, spread), spread, center)
        length = self.units.length
        unit = curvature_units(self.scale, length, self._bend())
        return Coordinates(unit, np.sqrt(length), center)

    def _bend(self):
        """The penalty's curvature; of one that is followed by its operator, whatever the length of
        steps, that of features without data, which nothing else bends."""
        own = self.settings.own
        if own is None or own.quadratic is None:
            return self.settings.bend
        return np.where(self.scale > 0, 0.0, own.quadratic.diagonal())

    def _slopes(self):
        """Sizes of gradients in the coordinates, by output; 0 where they are rounding, as of
        targets that a constant meets: those are to move nothing."""
        slope, spread = self.units.slope, self.units.spread
        return np.where(slope > ROUNDING * spread, slope * spread, 0.0)

    def _begin_sums(self, features):
        """What an optimizer's sums of squared gradients begin with, at some features and at the
        intercepts where these are all."""
        start = self.settings.optimizer._start()
        if start is None:
            return
        slopes = self._slopes()
        slopes = np.where(slopes > 0, slopes, self.units.spread)
        with np.errstate(over="ignore"):
            squares = start[0] * slopes**2
        if not np.isfinite(squares).all():
            raise overflow("the squares of the loss's derivatives overflow")
        state = self.engine.get_state()
        sums = state["s0"]
        xp = array_namespace(sums)
        sums[:, xp.asarray(features)] = xp.asarray(squares)[:, None]
        if features.all():
            state["intercept_s0"][:] = xp.asarray(squares)
        self.engine.set_state(state)

    def _with_scaled_eps(self, optimizer, params):
        """An eps that stands beside sizes of gradients, in their unit."""
        names = list(type(optimizer)._parameter_intervals)
        if "eps" not in names:
            return params
        sizes = self._slopes()
        params = params.copy()
        if (sizes > 0).any():
            params[names.index("eps")] *= sizes[sizes > 0].min()
        return params

    # ------------------------------------------------------------------------------------ epochs

    @property
    def rate(self):
        return self.rates.eta

    @rate.setter
    def rate(self, value):
        self.rates.eta = value

    def epoch(self, number, stop):
        """One pass; with a recommended rate one that blew up is made again with shorter steps."""
        before = None
        if self.settings.recommended and on_device(self.X):
            before = self.engine.get_state()  # a device keeps what it ends with by itself
        for _ in range(MOST_RETRIES):
            epoch = self._pass(number, stop)
            if not self.settings.recommended or not self._blew_up(epoch):
                break
            self.engine.set_state(self.engine.get_state() if before is None else before)
            self.rates.shrunk /= SHORTER
        return self._after(epoch)

    def _pass(self, number, stop):
        size = size_of_batches(self.settings.batch_size, number, self.n_rows)
        steps = math.ceil(self.n_rows / size)
        rates = self.rates.of_epoch(number, self.t, steps, size)
        if self.memory:
            due = number == 0 if self.memory == "saga" else number % self.snapshots == 0
            if due and not self.engine.remember():
                return Epoch(math.nan, math.nan, math.nan, float(rates[-1]), 0, finite=False)
        seed = None
        if self.settings.shuffle:
            # Odd multipliers: different epochs and seeds have different streams.
            seed = (self.seed * 0x9E3779B97F4A7C15 + number * 0xD1B54A32D192ED03 + 1) % 2**64
        loss, norm, finite = self.engine.epoch(rates, size, seed, stop)
        return Epoch(loss, math.nan, norm, float(rates[-1]), steps, finite)

    def _blew_up(self, epoch):
        if not (epoch.finite and math.isfinite(epoch.loss)):
            return True
        if self.stream:
            return False
        reference = self.reference
        # A penalty that draws weights away from 0 is paid for with losses up to its price there.
        paid = reference.objective + self.settings.price_of_0(self.shape)
        largest = BLOWN_UP * (paid - reference.floor)
        return epoch.loss - reference.floor > max(largest, 1e-300)

    def _went_astray(self, epoch):
        if not self.stream or self.data.losses[0].link == IdentityLink():
            return False  # targets that come back to where they began make no sense of a size
        size = float(np.max(self.units.slope * self.units.spread, initial=0.0))
        if not epoch.loss > ASTRAY * size > 0.0:
            return False
        here = reference_of(self.data, self.settings, self.reference.constants)
        return epoch.loss - here.floor > ASTRAY * max(here.objective - here.floor, size)

    def _after(self, epoch):
        if not (epoch.finite and self.engine.save()) or self._went_astray(epoch):
            epoch.finite = False
            return epoch
        self.t += epoch.steps
        l2, l1 = self.settings.penalties_of(self.engine)
        epoch.objective = epoch.loss + l2 + l1
        if self.settings.optimizer.decoupled:
            epoch.metric = epoch.loss + l1
        if self.memory:
            self._see_memory(epoch)
        return epoch

    def _see_memory(self, epoch):
        """Whether a variance-reduced method has converged, by the gradient that it remembers."""
        smoothness, tol = self.rates.smoothness, self.settings.tol
        if smoothness is not None and self.settings.smooth:
            smoothness.see(self.engine.coef(), self.engine.intercepts())
        # Next to kinks neither the gradient nor its changes say how far the minimum is.
        if tol is None or not self.settings.smooth:
            return
        z, gradient, free = self._memorised()
        self.gap.see(z, gradient)
        if self.gap.knows():
            gap = self.gap.estimate(gradient, free)
            ended = gap <= tolerated(tol, self.reference, epoch.objective)
        else:  # where it starts at the minimum nothing changes; the curvature is about 1
            ended = 0.5 * float(gradient @ gradient) <= self.reference.rounding
        if ended:
            epoch.ended = "converged"

    def _memorised(self):
        """Coordinates, the remembered gradient of the objective there, and which can move."""
        mean, intercept_mean = to_host(self.engine.memory_gradient())
        coef, intercept = to_host((self.engine.coef(), self.engine.intercepts()))
        settings = self.settings
        parts = settings.parts()
        bend = 0.0 if parts is None else parts[1].diagonal()
        made = curvature_coordinates(self.columns, self.units.length, settings.fit_intercept, bend)
        coef = np.asarray(coef, dtype=np.float64)
        if made.center is not None and hasattr(self.X, "indptr"):
            mean = mean - intercept_mean[:, None] * made.center
        if settings.own is None:
            gradient = mean + settings.l2 * coef
            gradient = least_gradient(coef, gradient, settings.l1, settings.low, settings.high)
        else:
            gradient = settings.own.violation(coef, mean)
        free = gradient != 0.0
        parts = [(coef / made.unit, gradient * made.unit, free)]
        if settings.fit_intercept:
            at_center = intercept + (0.0 if made.center is None else coef @ made.center)
            unit = made.intercept_unit
            parts.append((at_center / unit, intercept_mean * unit, np.ones(len(unit), bool)))
        return tuple(np.concatenate([np.ravel(p[i]) for p in parts]) for i in range(3))

    def save(self):
        return True  # `epoch` does

    def model(self):
        return Model(self.engine.coef(), self.engine.intercepts())

    def public_model(self):
        coef, intercept = self.engine.averages()
        if coef is None:
            return self.model()
        if self.settings.low is not None:  # a mean of numbers at a bound may be an ulp beyond
            xp = array_namespace(coef)
            low, high = (
                xp.asarray(b, dtype=coef.dtype) for b in (self.settings.low, self.settings.high)
            )
            coef = xp.minimum(xp.maximum(coef, low), high)
        return Model(coef, intercept)

    # ------------------------------------------------------------------------------------- state

    def get_state(self):
        state = {
            "engine": self.engine.get_state(),
            "t": self.t,
            "eta": self.rates.eta,
            "shrunk": self.rates.shrunk,
            "seed": self.seed,
            "columns": vars(self.columns).copy(),
            "center": self.center,
            "scale": self.scale,
            "units": vars(self.units).copy(),
            "gap": {"pairs": list(self.gap.pairs), "last": self.gap.last},
        }
        if self.rates.smoothness is not None:
            smoothness = self.rates.smoothness
            state["smoothness"] = (smoothness.largest, smoothness.mean, smoothness.curvature)
        return state

    def set_state(self, state):
        features, outputs = np.empty(self.X.shape[1]), np.empty(len(self.units.spread))
        kinds = {
            "engine": anything,
            "t": number(1),
            "eta": number(0),
            "shrunk": number(0, 1, above=True),
            "seed": SEED,
            "columns": dict_of(
                {
                    "n": number(0),
                    "count": array_like(features, low=0),
                    "mean": array_like(features),
                    "square": array_like(features, low=0),
                }
            ),
            "center": optional(array_like(features)),
            "scale": array_like(features, low=0),
            "units": units_of(outputs.size),
            "gap": gap_of(
                features.size * outputs.size + outputs.size * self.settings.fit_intercept
            ),
        }
        if isinstance(state, dict) and "smoothness" in state:
            kinds["smoothness"] = list_of([number(0)] * 3)
        state = dict_of(kinds)(state, "descent")
        self.t, self.seed = state["t"], state["seed"]
        if not self.stream:  # whose parts take the rate that is set, as in scikit-learn
            self.rates.eta = state["eta"]
        self.rates.shrunk = state["shrunk"]
        self.gap.pairs.extend(state["gap"]["pairs"])
        self.gap.last = state["gap"]["last"]
        here = self.columns
        self.columns = Columns(**state["columns"])
        self.units = LossUnits(**state["units"])
        self.center, self.scale = state["center"], state["scale"]
        smoothness = self.rates.smoothness
        if smoothness is not None and "smoothness" in state:
            seen = (smoothness.largest, smoothness.mean, smoothness.curvature)
            kept = state["smoothness"]
            if self.stream:
                kept = tuple(map(max, kept, seen))
            smoothness.largest, smoothness.mean, smoothness.curvature = kept
            smoothness.length = self.units.length
        self.engine.set_coordinates(**self._coordinates().arguments())
        self.engine.set_state(state["engine"])
        if self.stream:
            self._renew(here)

    def _renew(self, here):
        """Take in the columns of another part of a stream.

        Scales that are off by a factor of two are renewed, and centers that are off by half a
        scale. Where a scale has grown, the steps so far were too long for what comes, and the
        weight is taken back as Ross, Mineiro and Langford (2013, algorithms 1 and 2) do: by the
        factor of the scale, or its square where steps are as long as gradients.
        """
        self.columns = self.columns.and_then(here)
        if not hasattr(self.X, "indptr") and self.settings.fit_intercept:
            mean = self.columns.mean
            if self.center is None:
                self.center = mean
            off = np.abs(mean - self.center) * RENEWED > self.scale
            self.center = np.where(off, mean, self.center)
        scale, old = self._scale(), self.scale
        new = (old == 0) & (scale > 0)
        grown = (old > 0) & (scale > RENEWED * old)
        shrunk = (scale > 0) & (scale * RENEWED < old)
        self.scale = np.where(new | grown | shrunk, scale, old)
        if grown.any():
            share = np.where(grown, old / np.where(grown, scale, 1.0), 1.0)
            state = self.engine.get_state()
            coef, intercept = state["w"], state["intercept"]
            factor = share if self.adapts else share**2
            xp = array_namespace(coef)
            factor = xp.asarray(factor)
            kept = (coef * factor).astype(coef.dtype)
            changed = {"w": kept, "intercept": intercept}
            if self.center is not None:  # what is predicted there stays
                lost = (coef - kept).astype(np.float64)
                changed["intercept"] = intercept + lost @ xp.asarray(self.center)
            if "average" in state:  # with which the averages are (average + a * w) / b
                mean = (state["average"] + state["average_a"] * coef) / state["average_b"]
                changed["average"] = state["average"] * factor
                if self.center is not None:
                    lost = (mean * (1.0 - factor)) @ xp.asarray(self.center)
                    changed["intercept_average"] = state["intercept_average"] + lost
            self.engine.set_state(state | changed)
        self.engine.set_coordinates(**self._coordinates().arguments())
        if new.any():
            self._begin_sums(new)
