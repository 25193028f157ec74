"""Epochs of steps on batches, of any optimizer, on a GPU.

The counterpart of `_steps.Engine`; the kernels are in steps.h.
"""

import math
from itertools import pairwise

import numpy as np

from sklearn_losses._array import in_namespace
from sklearn_losses._kernels.device.declarations import (
    BLOCK,
    LEAST_ORDER,
    SURVEY_SUMS,
    WARPS,
    Clock,
    Reduction,
)
from sklearn_losses._kernels.device.kernels import blocks_for, compiled, constants
from sklearn_losses._kernels.device.problem import (
    HEADER,
    MOST_BLOCKS,
    Plan,
    Problem,
    fit_type,
    shares_text,
    working_on,
    wrapper,
)
from sklearn_losses._kernels.fit.optimizers import IMPLICIT, n_states, shuffled, state_powers
from sklearn_losses._states import of_batches

REDUCTIONS = {
    None: Reduction.NOT_REDUCED,
    "saga": Reduction.SAGA_MEMORY,
    "svrg": Reduction.SVRG_MEMORY,
}
# Where the numbers of a state stand, by the names of the CPU's.
NUMBERS = {"average_a": Clock.A, "average_b": Clock.B, "t": Clock.T, "l1_so_far": Clock.L1}
# Steps of a graph of launches, and of an epoch that is worth one.
GRAPH_STEPS = 64
LEAST_GRAPH = 16
# Seconds of work, estimated, between two looks for Ctrl-C: so much is waited for then.
BETWEEN_LOOKS = 0.1
STEP_SECONDS = 1e-5
SECONDS_PER_BYTE = 1e-12
MOST_SURVEY_BLOCKS = 256


def steps_text(optimizer, single, wide, sparse):
    """Kernels of an optimizer's steps."""
    fit = fit_type(single, wide)
    flag = "true" if sparse else "false"
    columns = f"columns<sl::{optimizer}, {flag}"
    text = wrapper(fit, "clipped", "", f"{columns}, 1, true, false>")
    for rows in (1,) if sparse else (1, WARPS):
        text += wrapper(fit, f"columns_{rows}", "", f"{columns}, {rows}, false, false>")
    if not sparse:
        text += wrapper(fit, "centered", "", f"{columns}, 1, true, true>")
        text += wrapper(fit, "shift", "", f"shift<sl::{optimizer}>")
    if sparse:
        text += wrapper(fit, "touch", "", f"touch<sl::{optimizer}>")
        text += wrapper(fit, "rest", "", f"rest<sl::{optimizer}>")
    if optimizer in IMPLICIT:
        text += wrapper(fit, "reach", "", f"reach<sl::{optimizer}, {flag}>")
    return text


class Engine(Problem):
    """An epoch of steps, again and again; the caller counts the epochs.

    An epoch makes one host synchronisation, at its end, and one for each `BETWEEN_LOOKS` seconds of
    work that it has before. Its launches are replayed from graphs.

    Parameters
    ----------
    X, y, losses, n_outputs, **problem
        As `Problem` takes them.
    coef, intercept, optimizer, params, memory, l1, l2, low, high, unit, intercept_unit, center, \
clip_norm, average, average_power, share
        As `_steps.Engine` takes them; arrays of either side.
    """

    def __init__(
        self,
        X,
        y,
        losses,
        n_outputs,
        *,
        coef,
        intercept,
        optimizer,
        params,
        memory=None,
        l1=0.0,
        l2=0.0,
        low=None,
        high=None,
        unit=None,
        intercept_unit=None,
        center=None,
        clip_norm=None,
        average=0,
        average_power=0.0,
        share=None,
        **problem,
    ):
        self.implicit = optimizer in IMPLICIT
        super().__init__(X, y, losses, n_outputs, **problem)
        self.average_power = float(average_power)
        self.memory = memory
        self.average_from = average
        self.clips = clip_norm is not None
        self.powers = state_powers(optimizer)
        self.centered = False
        self.penalised = memory is None and (l1 > 0.0 or l2 > 0.0)
        text = steps_text(optimizer, self.single, self.wide, self.sparse)
        self.steppers = compiled(HEADER, text)
        if self.implicit:
            text = shares_text(self.loss, self.rowwise, self.single, self.wide)
            self.shares_kernel = compiled(HEADER, text)("shares")
        params = np.ascontiguousarray(params, dtype=np.float64)
        with working_on(self.device):
            self._allocate_steps(n_states(optimizer), share)
            self.set_weights(coef, intercept)
            if low is not None:
                xp, weights = self.xp, self.weights()
                low, high = (in_namespace(b, xp).astype(self.dtype) for b in (low, high))
                weights[...] = xp.minimum(xp.maximum(weights, low), high)
                self.members |= {"low": low, "high": high}
            self.members |= {
                "optimizer_params": constants(params),
                "n_params": len(params),
                "l1": float(l1),
                "l2": float(l2),
                "clip_norm": float(clip_norm) if self.clips else math.inf,
                "average_from": int(average),
                "average_power": self.average_power,
                "shares": self.xp.ones(n_outputs) if self.implicit else None,
                "reduced": REDUCTIONS[memory],
            }
            self.clock[Clock.T] = 1.0
            self.clock[Clock.B] = 1.0
            self.kept = [array.copy() for array in self.stores]
        self.numbers_kept = {"average_a": 0.0, "average_b": 1.0, "t": 1.0, "l1_so_far": 0.0}
        self.plans = {}
        self.graphs = {}
        self.set_coordinates(unit, intercept_unit, center)

    def _allocate_steps(self, n_states, share):
        """State that lasts, in one array for each type, so that it is kept in as many copies."""
        xp, K, size = self.xp, self.n_outputs, self.size
        reals = xp.zeros((1 + n_states) * size, self.dtype)
        names = ["intercept", *(f"intercept_s{i}" for i in range(n_states))]
        sizes = [K] * len(names)
        for name, wanted in (("average", self.average_from), ("mean", self.memory)):
            if wanted:
                names += [name, f"intercept_{name}"]
                sizes += [size, K]
        doubles = xp.zeros(sum(sizes))
        starts = np.cumsum([0, *sizes])
        parts = [doubles[a:b] for a, b in pairwise(starts)]
        self.w, self.intercept = reals[:size], parts[0]
        states = [reals[(1 + i) * size : (2 + i) * size] for i in range(n_states)]
        self.stores = [reals, doubles]
        self.members |= {"w": self.w, "intercept": self.intercept}
        self.members |= {f"s{i}": state for i, state in enumerate(states)}
        if n_states:
            self.members["intercept_states"] = doubles[K : (1 + n_states) * K]
        self.members |= dict(zip(names[1 + n_states :], parts[1 + n_states :], strict=True))
        # By the names of the CPU's state: which store, where in it, and how many.
        self.layout = {"w": (0, 0, size)}
        self.layout |= {f"s{i}": (0, (1 + i) * size, size) for i in range(n_states)}
        doubles_at = zip(starts[:-1], sizes, strict=True)
        self.layout |= {
            name: (1, start, n) for name, (start, n) in zip(names, doubles_at, strict=True)
        }
        self.as_rows = {
            "w",
            "average",
            *(f"s{i}" for i in range(n_states)),
        }  # of the weights' shape
        if self.memory is not None:
            table = xp.zeros(self.n_samples * K, self.dtype)
            self.stores.append(table)
            self.members["memory"] = table
            self.layout["table"] = (2, 0, table.size)
            if self.sparse:
                if share is None:
                    raise ValueError("variance-reduced methods need `share` where X is sparse")
                self.members["share"] = in_namespace(share, xp).astype(np.float64)
                self.members["count"] = xp.zeros(2 * self.n_features, np.int32)
        if self.sparse:
            self.members["mark"] = xp.zeros(self.n_features, np.int32)
        self.members |= {"unit": xp.ones(size, self.dtype), "intercept_unit": xp.ones(K)}
        if not self.sparse and self.fit_intercept:
            self.members |= {"center": xp.zeros(self.n_features), "shift": xp.zeros(K)}
        self.order = self.members["order"] = xp.zeros(max(self.n_rows, 1), np.int32)
        self.part = xp.zeros(SURVEY_SUMS * MOST_SURVEY_BLOCKS)

    def set_coordinates(self, unit, intercept_unit, center):
        """Take other units and another centre, as the constructor does. What the optimizer
        remembers follows, here and at the last `save`."""
        if center is not None and "center" not in self.members:
            raise ValueError("center needs dense rows and an intercept")
        with working_on(self.device):
            if unit is not None:
                self._set_units(unit, 1.0 if intercept_unit is None else intercept_unit)
            if "center" in self.members:
                self._set_center(0.0 if center is None else center)
        if self.centered != (center is not None):
            self.centered = center is not None
            self.graphs.clear()  # of other launches

    def _set_units(self, unit, intercept_unit):
        xp = self.xp
        old = self.by_output(self.members["unit"]), self.members["intercept_unit"]
        new = [xp.empty_like(array) for array in old]
        for array, given in zip(new, (unit, intercept_unit), strict=True):
            array[...] = in_namespace(np.float64(given) if np.isscalar(given) else given, xp)
        growth = [a.astype(np.float64) / b for a, b in zip(new, old, strict=True)]
        for parts in (self._parts(self.stores), self._parts(self.kept)):
            for i, power in enumerate(self.powers):
                states = parts[f"s{i}"], parts[f"intercept_s{i}"]
                for state, factor in zip(states, growth, strict=True):
                    state[...] = (state * factor ** float(power)).astype(state.dtype)
        for array, values in zip(old, new, strict=True):
            array[...] = values

    def _set_center(self, center):
        xp, here = self.xp, self.members["center"]
        old = here.copy()
        here[...] = in_namespace(np.float64(center) if np.isscalar(center) else center, xp)
        if self.memory is not None:
            for parts in (self._parts(self.stores), self._parts(self.kept)):
                mean = self.by_output(parts["mean"])  # is seen from the centre
                mean += (old - here) * parts["intercept_mean"][:, None]

    # ----------------------------------------------------------------------------------- the epoch

    def remember(self):
        """Fill the memory of a variance-reduced method with the gradients of all rows; False where
        they are not finite."""
        with working_on(self.device):
            self.full_gradient(record=True)
            mean, intercept_mean = self.members["mean"], self.members["intercept_mean"]
            mean[...] = self.members["total"]
            intercept_mean[...] = self.members["intercept_gradient"]
            if self.centered:
                self.by_output(mean)[...] -= self.members["center"] * intercept_mean[:, None]
            return not float(self.clock[Clock.BAD])

    def memory_gradient(self):
        """As `_steps.Engine.memory_gradient`, seen from the centre too; of CuPy arrays."""
        with working_on(self.device):
            mean, intercept_mean = self.members["mean"], self.members["intercept_mean"]
            return self.by_output(mean).copy(), intercept_mean.copy()

    def epoch(self, rates, batch_size, seed=None, stop=None):
        """One pass over the rows, a step for each batch.

        Parameters
        ----------
        rates : ndarray of shape (n_steps,), float64
        batch_size : int
        seed : int or None
        stop : threading.Event or None
            As `_steps.Engine.epoch` takes them.

        Returns
        -------
        loss, gradient_norm : float
        finite : bool
            As `_steps.Engine.epoch`.
        """
        n_steps = len(rates)
        if n_steps * batch_size < self.n_rows:
            raise ValueError(f"{n_steps} rates are too few for {self.n_rows} rows")
        with working_on(self.device):
            plan = self._plan_of(batch_size, n_steps)
            plan.rates[:n_steps].set(np.ascontiguousarray(rates, dtype=np.float64))
            self._set_order(seed, plan)
            self.kernels("begin")((1,), (BLOCK,), (plan.fit, batch_size))
            if self.sparse:
                # Whatever a full gradient, or an epoch that was given up, has left there.
                for name in ("fixed", "mark", "count"):
                    if name in self.members:
                        self.members[name].fill(0)
            self._advance(plan, math.ceil(self.n_rows / batch_size), batch_size, stop)
            if self.sparse and self.penalised:
                blocks = min(MOST_BLOCKS, blocks_for(self.n_features))
                self.steppers("rest")((blocks,), (BLOCK,), (plan.fit,))
            clock = self._survey(plan)
        self.clock_seen = clock
        steps = max(clock[Clock.STEP], 1.0)
        norm = math.sqrt(clock[Clock.MEAN] if self.memory else clock[Clock.NORM] / steps)
        return clock[Clock.LOSS] / max(self.n_rows, 1), norm, not clock[Clock.BAD]

    def _plan_of(self, batch_size, n_steps):
        plan = self.plans.get(batch_size)
        if plan is None or plan.rates.size < n_steps:
            self.plans.clear()  # one size at a time: scratch may be large
            self.graphs.clear()
            self.members["rates"] = self.xp.zeros(n_steps)
            plan = Plan(self, max(1, min(batch_size, self.n_rows)))
            plan.rates = self.members["rates"]
            self.plans[batch_size] = plan
        return plan

    def _set_order(self, seed, plan):
        if self.n_rows == 0:
            return
        if seed is not None and self.n_rows >= LEAST_ORDER:
            blocks = min(MOST_BLOCKS, blocks_for(self.n_rows))
            self.kernels("order_rows")((blocks,), (BLOCK,), (plan.fit, np.uint64(seed)))
            return
        rows = self.rows_given
        if rows is None:
            rows = np.arange(self.n_rows, dtype=np.int32)
        self.order.set(rows if seed is None else shuffled(rows, seed))

    def _advance(self, plan, n_steps, batch_size, stop):
        """Launch the steps, whole graphs of them where they pay."""
        seconds = STEP_SECONDS + min(batch_size, self.n_rows) * self._row_bytes() * SECONDS_PER_BYTE
        graph, graph_steps = None, min(GRAPH_STEPS, n_steps - 1)
        done, waiting = 0, 0.0
        while done < n_steps:
            if stop is not None and stop.is_set():
                raise KeyboardInterrupt
            # The first step compiles what a graph cannot.
            if graph is None and 0 < done and LEAST_GRAPH <= n_steps and self._can_capture():
                graph = self._graph_of(plan, batch_size, graph_steps)
            if graph is not None and n_steps - done >= graph_steps:
                graph.launch()
                made = graph_steps
            else:
                self._step(plan, batch_size, done)
                made = 1
            done += made
            waiting += made * seconds
            if waiting > BETWEEN_LOOKS and done < n_steps:
                self.xp.cuda.get_current_stream().synchronize()
                waiting = 0.0

    def _row_bytes(self):
        data = self.X.data if self.sparse else self.X
        return (data.nbytes * (3 if self.sparse else 1)) / max(self.n_samples, 1)

    def _can_capture(self):
        return not (self.python or self.by_products)

    def _graph_of(self, plan, batch_size, steps):
        """The launches of so many steps, to replay on the current stream."""
        if steps not in self.graphs:
            stream = self.xp.cuda.Stream(non_blocking=True)
            with stream:
                stream.begin_capture()
                try:
                    for _ in range(steps):
                        self._step(plan, batch_size, None)
                finally:
                    captured = stream.end_capture()
            self.graphs[steps] = captured
        return self.graphs[steps]

    def _step(self, plan, batch_size, number):
        """Launch one step; `number` in the epoch, or None where only the device knows."""
        first, n = None, plan.n
        if number is not None:
            first = number * batch_size
            n = min(plan.n, self.n_rows - first)
        if self.sparse:
            blocks = min(MOST_BLOCKS, blocks_for(n, WARPS))
            self.steppers("touch")((blocks,), (BLOCK,), (plan.fit,))
        self.add_rows(plan, -1, n, first=first)
        if self.clips or self.centered or self.implicit:
            self.combine(plan, -1, n)
            columns = "centered" if self.centered else "clipped"
            blocks = blocks_for(self.size)
        else:
            columns, blocks = f"columns_{plan.rows_a_column}", plan.column_blocks
        self.steppers(columns)((blocks,), (BLOCK,), (plan.fit,))
        if self.centered:
            self.steppers("shift")((self.n_outputs,), (BLOCK,), (plan.fit,))

    def _find_shares(self, plan, n):
        blocks = (min(MOST_BLOCKS, blocks_for(n, WARPS)),)
        self.steppers("reach")(blocks, (BLOCK,), (plan.fit,))
        grid = (plan.n_loss_blocks,)
        if not self.python:
            self.shares_kernel(grid, (BLOCK,), (plan.fit,))
            return
        size, more = self.n_outputs * n, self.xp.ones(1, np.int32)
        begins = 1
        while begins or int(more[0]):  # a synchronisation for each call of the loss
            more[0] = 0
            self.shares_kernel(grid, (BLOCK,), (plan.fit, begins, more))
            begins = 0
            found = self.losses[0].loss_gradient(plan.targets[:size], plan.trial[:size])
            plan.trial_gradient[:size] = found[1]

    def _survey(self, plan):
        """Keep the state where it is finite; the clock comes to the host."""
        blocks = min(MOST_SURVEY_BLOCKS, blocks_for(self.size))
        self.kernels("survey")((blocks,), (BLOCK,), (plan.fit, self.kept[0], self.part))
        for store, kept in zip(self.stores, self.kept, strict=True):
            kind = "keep_doubles" if store.dtype == np.float64 else "keep_reals"
            blocks = min(MOST_BLOCKS, blocks_for(store.size))
            self.kernels(kind)((blocks,), (BLOCK,), (self.clock, store.size, store, kept))
        return self.clock.get().tolist()

    # --------------------------------------------------------------------------------------- state

    def save(self):
        """Whether the last epoch ended with finite weights; it has then been remembered."""
        clock = self.clock_seen
        if not clock[Clock.FINITE]:
            return False
        self.numbers_kept = {name: clock[at] for name, at in NUMBERS.items()}
        return True

    def square_norm(self):
        """Of the weights at the end of the last epoch."""
        return self.clock_seen[Clock.SQUARE]

    def absolute_norm(self):
        """The sum of the sizes of the weights at the end of the last epoch."""
        return self.clock_seen[Clock.ABSOLUTE]

    def change(self):
        """The largest change of a weight in the last epoch, and the largest size of one."""
        return self.clock_seen[Clock.CHANGE], self.clock_seen[Clock.LARGEST]

    def _parts(self, stores):
        """Views of the state, by the CPU's names and in its shapes."""
        parts = {name: stores[i][at : at + n] for name, (i, at, n) in self.layout.items()}
        for name in self.as_rows & set(parts):
            parts[name] = self.by_output(parts[name])
        if self.memory is not None:
            parts["table"] = parts["table"].reshape(self.n_samples, self.n_outputs)
        return parts

    def coef(self):
        """The weights at the last `save`: cupy.ndarray of shape (n_outputs, n_features)."""
        with working_on(self.device):
            return self.xp.ascontiguousarray(self._parts(self.kept)["w"].copy())

    def intercepts(self):
        """The intercepts at the last `save`: cupy.ndarray of shape (n_outputs,)."""
        with working_on(self.device):
            return self._parts(self.kept)["intercept"].copy()

    def averages(self):
        """Averaged weights and intercepts at the last `save`, or (None, None) where no step was
        averaged."""
        a, b, t, _ = self.numbers_kept.values()
        if not 0 < self.average_from <= t - 1.0:
            return None, None
        with working_on(self.device):
            parts = self._parts(self.kept)
            average = (parts["average"] + a * parts["w"]) / b
            average = self.xp.ascontiguousarray(average.astype(self.dtype))
            return average, parts["intercept_average"].copy()

    def get_state(self):
        """All that the next epoch depends on but data, parameters and order, at the last `save`: a
        dict, which the host's `Engine` takes too when its arrays are on the host."""
        with working_on(self.device):
            arrays = {name: part.copy() for name, part in self._parts(self.kept).items()}
        return arrays | self.numbers_kept

    def set_state(self, state):
        """Go on from what `get_state` returned, here or on the CPU; a ValueError where it is
        nothing that this could go on from."""
        with working_on(self.device):
            live = self._parts(self.stores)
            state = of_batches(live, self.average_power)(state)
            for name, kept in self._parts(self.kept).items():
                given = in_namespace(state[name], self.xp)
                live[name][...] = given
                kept[...] = given
            self.numbers_kept = {name: state[name] for name in NUMBERS}
            for name, position in NUMBERS.items():
                self.clock[position] = state[name]
