"""Losses of times until an event, of which some are not known to the end."""

import numpy as np
from scipy.special import gammaln, xlogy

from sklearn_losses._array import kernel_array
from sklearn_losses._kernels.losses._cox import CoxKernel
from sklearn_losses._survival_target import read_signed, read_survival, survival_target
from sklearn_losses.losses._arrays import finite, relative_weight
from sklearn_losses.losses.joint import Joint, JointLoss

TIES = ("efron", "breslow")


class CoxLoss(JointLoss):
    """Cox's negative log partial likelihood: proportional hazards, whose common course is left
    open.

    A raw prediction is a log hazard ratio: who has one greater by 1 has the event at 2.72 times the
    rate, at any time. Adding one number to all of them changes nothing: there is no intercept.

    - Domain: y_true times with events, as `survival_target` makes them; also scikit-survival's
      structured arrays, a data frame with such columns, and two columns (time, event).
    - Link: identity; predictions are log hazard ratios.
    - Formula: ``sum of w_i * (log(sum of w_j * exp(raw_j) over those at risk) - raw_i)``, over the
      events i. At risk at a time t are those of the same stratum with ``entry < t <= time``.

    Of events at one time in one stratum, with weights of mean w, "efron" takes the l-th of d as one
    that finds the weight of the d reduced by ``(l - 1) / d``: ``w * sum of log(R - (l - 1) / d *
    D)``, with R the sum over those at risk and D that over the events; "breslow" takes ``d * w *
    log(R)``. These are R's, lifelines' and statsmodels' definitions. A sample of weight 0 is as if
    it were not there. A sample of weight 2 is two samples for "breslow"; for "efron" it is not,
    where two would have their event at one time, as in R: the tie of d events stays one of d.

    The total is divided by the sum of the weights, so that a penalty has the strength that it has
    in glmnet and in scikit-survival's Coxnet.

    Parameters
    ----------
    ties : {"efron", "breslow"}, default="efron"
        How events at one time are counted. Without such the two are one.

    Notes
    -----
    Value and derivatives are within 1e-14 of 50 digits, relative to the sum of the terms that they
    are made of, for raw predictions up to 1e15 in size: a number beyond what others in its risk set
    leave of it costs no digits of later ones. An evaluation takes a time linear in the number of
    samples, with entries times its logarithm. Strata go over threads, whose number changes nothing.

    References
    ----------
    Cox (1972), Regression models and life-tables. Efron (1977), The efficiency of Cox's likelihood
    function for censored data. Breslow (1974), Covariance analysis of censored survival data.

    Examples
    --------
    >>> from sklearn_losses import CoxLoss, survival_target
    >>> y = survival_target([1.0, 2.0, 3.0], event=[True, True, False])
    >>> loss = CoxLoss()
    >>> round(loss(y, [0.5, 0.0, -0.5]), 6)
    0.384782
    >>> loss.gradient(y, [0.5, 0.0, -0.5]).round(6)
    array([-0.49352 , -0.070345,  0.563864])
    """

    name = "cox"
    shift_is_nothing = True

    def __init__(self, ties="efron"):
        self.ties = ties

    def _numbers(self):
        if not isinstance(self.ties, str) or self.ties not in TIES:
            raise ValueError(f"CoxLoss: ties must be one of {TIES}; got {self.ties!r}")
        return []

    def read_target(self, y_true):
        """Times, events, entries and strata as numbers, checked.

        Parameters
        ----------
        y_true : array-like
            An array of `survival_target`; a structured array of one field of booleans and one of
            numbers, as scikit-survival's; a data frame with columns of `survival_target`'s names;
            two columns, times and events; or what this method returns.

        Returns
        -------
        target : ndarray of shape (n_samples, 4), float64
            Time, event, entry (minus infinity: none), stratum.
        """
        return read_survival(y_true)

    def _grouped(self, y_true, group):
        """Targets of a boosting library's labels, times that are negative where they are censored;
        its groups are strata."""
        label = np.asarray(y_true)
        if label.dtype.names is not None or label.ndim != 1:
            return y_true
        target = dict(zip(("time", "event"), read_signed(label), strict=True))
        if group is not None:
            target["stratum"] = np.repeat(np.arange(len(group)), group)
        return survival_target(**target)

    def _joint(self, target, weight):
        self._numbers()
        return CoxJoint(target, weight, self.ties == "efron")

    def _score(self, y_true, raw_prediction, sample_weight=None):
        """What an estimator's `score` returns: the concordance of times and risks."""
        from sklearn_losses.survival import concordance_index

        return concordance_index(y_true, raw_prediction, sample_weight)

    def baseline(self, y_true, raw_prediction, sample_weight=None):
        """The hazard that a raw prediction of 0 has, over time.

        Breslow's estimator: at each event time the weight of the events over the sum at risk; with
        ``ties="efron"`` Efron's, which goes through a tie as the loss does.

        Parameters
        ----------
        y_true : array-like
            As in `read_target`: the samples that the model was fitted to.
        raw_prediction : array-like of shape (n_samples,)
        sample_weight : array-like of shape (n_samples,) or None, default=None

        Returns
        -------
        baseline : BaselineHazard

        Examples
        --------
        >>> from sklearn_losses import CoxLoss, survival_target
        >>> y = survival_target([1.0, 2.0, 3.0], event=[True, False, True])
        >>> CoxLoss().baseline(y, [0.0, 0.0, 0.0]).cumulative_hazard
        array([0.33333333, 1.33333333])
        """
        joint = self.on(y_true, sample_weight)
        return joint.baseline(self._checked_raw(raw_prediction, joint))


class CoxJoint(Joint):
    """Cox's loss of given targets, sorted once.

    Parameters
    ----------
    target : ndarray of shape (n_samples, 4)
        As of `read_survival`.
    weight : ndarray of shape (n_samples,) or None
    efron : bool
        Else Breslow's ties.

    Attributes
    ----------
    floor : float
        What the total tends to where hazards fall in the order of the times: 0 where all weights
        are 1 and no two events are at one time.
    """

    def __init__(self, target, weight, efron):
        self.n = len(target)
        self.mass = float(self.n) if weight is None else float(weight.sum())
        groups = _Groups(target, weight)
        sample = groups.sample
        relative, self._scale, parts = None, 1.0, (None, None)
        if weight is not None:
            relative = relative_weight(weight)
            self._scale = float(weight.max() / relative.max())
            parts = [np.ascontiguousarray(x[sample], np.float64) for x in np.frexp(weight)]
            relative = np.ascontiguousarray(relative[sample])
        deaths = groups.start[1:] - groups.split
        is_event = np.arange(len(sample)) >= groups.split[groups.group]
        masses = deaths.astype(np.float64)
        if weight is not None:
            masses = np.bincount(groups.group, np.where(is_event, relative, 0.0), len(deaths))
        share = masses / deaths if efron else masses
        self._kernel = CoxKernel(
            self.n,
            sample,
            groups.group,
            groups.first,
            groups.start,
            groups.split,
            groups.strata,
            share,
            relative,
            *parts,
            efron,
        )
        floors = xlogy(masses, masses * self._scale)
        if efron:
            floors += share * (gammaln(deaths + 1.0) - xlogy(deaths, deaths))
        self.floor = self._scale * float(floors.sum())
        self._groups = groups

    def value_gradient(self, raw):
        """Total and first derivative: float and ndarray of shape (n,).

        Parameters
        ----------
        raw : ndarray of shape (n,), float64
        """
        value, gradient = self._kernel.value_gradient(_contiguous(raw), self.n_threads)
        return self._scale * value, self._scaled(gradient)

    def gradient_hessian(self, raw):
        """First derivative and the diagonal of the second: ndarrays of shape (n,).

        Parameters
        ----------
        raw : ndarray of shape (n,), float64
        """
        found = self._kernel.gradient_hessian(_contiguous(raw), self.n_threads)
        return tuple(map(self._scaled, found))

    def hessian_product(self, raw, vector):
        """The second derivative, a matrix of shape (n, n), times a vector: ndarray of shape (n,).

        Parameters
        ----------
        raw : ndarray of shape (n,), float64
        vector : ndarray of shape (n,), float64
        """
        # Near 1, so that no product with it leaves the numbers.
        exponent = int(np.frexp(np.abs(vector).max())[1])
        found = self._kernel.hessian_product(
            _contiguous(raw), _contiguous(np.ldexp(vector, -exponent)), self.n_threads
        )
        return self._scaled(np.ldexp(found, exponent))

    def baseline(self, raw):
        """`BaselineHazard` at raw predictions of shape (n,), float64."""
        groups = self._groups
        return BaselineHazard(
            groups.labels,
            groups.label_start,
            groups.times,
            self._kernel.log_hazard(_contiguous(raw), self.n_threads),
        )

    def _scaled(self, derivative):
        return derivative if self._scale == 1.0 else self._scale * derivative


def _contiguous(x):
    return np.ascontiguousarray(x, dtype=np.float64)


class _Groups:
    """Samples by the last event of their stratum that they are at risk at.

    Parameters
    ----------
    target : ndarray of shape (n_samples, 4)
    weight : ndarray of shape (n_samples,) or None

    Attributes
    ----------
    sample, group, first, start, split, strata : ndarray
        As `CoxKernel` has them.
    times : ndarray of shape (n_groups,)
    labels : ndarray of shape (n_labels,), int64
        Every stratum, also those without an event.
    label_start : ndarray of shape (n_labels + 1,), int64
        The first group of each.
    """

    def __init__(self, target, weight):
        counted = np.arange(len(target)) if weight is None else np.flatnonzero(weight)
        time, event, entry, stratum = target[counted].T
        if not event.any():
            weighted = "" if weight is None else " of positive weight"
            raise ValueError(
                f"y_true must hold at least one event{weighted}: of {len(counted)} samples all are "
                "censored"
            )
        labels, of_label = np.unique(stratum, return_inverse=True)
        moments, moment = np.unique(time, return_inverse=True)
        # Strata after each other on one line of times.
        base = of_label * len(moments)
        keys = np.sort((base + moment)[event == 1])
        keys = keys[np.append(True, keys[1:] != keys[:-1])]
        last = np.searchsorted(keys, base + moment, side="right") - 1
        seen = np.searchsorted(moments, entry, side="right") - 1
        first = np.searchsorted(keys, base + seen, side="right")
        at_risk = first <= last
        order = np.flatnonzero(at_risk)
        order = order[np.lexsort((event[order], last[order]))]
        group, first = last[order], first[order]
        self.label_start = np.searchsorted(keys, np.arange(len(labels) + 1) * len(moments))
        beginning = self.label_start[of_label[order]]
        self.sample, self.group = counted[order], group
        self.first = first if (first > beginning).any() else None
        self.start = np.searchsorted(group, np.arange(len(keys) + 1))
        self.split = self.start[:-1] + np.bincount(group[event[order] == 0], minlength=len(keys))
        self.strata = np.unique(self.label_start)
        self.times = moments[keys % len(moments)]
        self.labels = labels.astype(np.int64)


class BaselineHazard:
    """The cumulative hazard of a raw prediction of 0, a step function over time for each stratum:
    what `CoxLoss.baseline` returns.

    Parameters
    ----------
    strata : ndarray of shape (n_strata,), int64
        In order.
    start : ndarray of shape (n_strata + 1,), int64
        The first step of each stratum.
    times : ndarray of shape (n_steps,)
        Of the steps: event times, growing in each stratum.
    log_cumulative_hazard : ndarray of shape (n_steps,)
        From each time on.

    Attributes
    ----------
    cumulative_hazard : ndarray of shape (n_steps,)

    Examples
    --------
    >>> from sklearn_losses import CoxLoss, survival_target
    >>> y = survival_target([1.0, 2.0, 3.0], event=[True, False, True])
    >>> baseline = CoxLoss().baseline(y, [0.0, 0.0, 0.0])
    >>> baseline.survival_function([0.0, -1.0], times=[0.5, 1.0, 2.5]).round(3)
    array([[1.   , 0.717, 0.717],
           [1.   , 0.885, 0.885]])
    """

    def __init__(self, strata, start, times, log_cumulative_hazard):
        self.strata = strata
        self.start = start
        self.times = times
        self.log_cumulative_hazard = log_cumulative_hazard

    def __repr__(self):
        return f"BaselineHazard({len(self.strata)} strata, {len(self.times)} event times)"

    @property
    def cumulative_hazard(self):
        with np.errstate(over="ignore"):
            return np.exp(self.log_cumulative_hazard)

    def cumulative_hazard_function(self, raw_prediction, times, stratum=None):
        """Cumulative hazards at given times.

        Parameters
        ----------
        raw_prediction : array-like of shape (n_samples,)
        times : array-like of shape (n_times,)
            After the last event the hazard stays what it was: nothing is known of it.
        stratum : int, array-like of shape (n_samples,), or None, default=None
            Of each sample; None where there is one.

        Returns
        -------
        cumulative_hazard : ndarray of shape (n_samples, n_times)

        Raises
        ------
        ValueError
            Where a stratum is not one of `strata`, or there are several and none is given.
        """
        raw = finite(kernel_array(raw_prediction, "raw_prediction"), "raw_prediction")
        raw = raw[:, 0] if raw.ndim == 2 and raw.shape[1] == 1 else np.atleast_1d(raw)
        times = np.atleast_1d(finite(kernel_array(times, "times"), "times"))
        for name, x in (("raw_prediction", raw), ("times", times)):
            if x.ndim != 1:
                raise ValueError(f"{name} must have one dimension; got shape {x.shape}")
        place = self._places(stratum, len(raw))
        made = np.empty((len(raw), len(times)))
        for k in np.unique(place):
            steps = slice(self.start[k], self.start[k + 1])
            logs = np.append(-np.inf, self.log_cumulative_hazard[steps])
            rows = place == k
            reached = logs[np.searchsorted(self.times[steps], times, side="right")]
            with np.errstate(over="ignore"):
                made[rows] = np.exp(np.add.outer(raw[rows].astype(np.float64), reached))
        return made

    def survival_function(self, raw_prediction, times, stratum=None):
        """Probabilities that the event is later than given times.

        Parameters
        ----------
        raw_prediction, times, stratum
            As in `cumulative_hazard_function`.

        Returns
        -------
        survival : ndarray of shape (n_samples, n_times)
        """
        return np.exp(-self.cumulative_hazard_function(raw_prediction, times, stratum))

    def _places(self, stratum, n_samples):
        """The position in `strata` of each sample's."""
        if stratum is None:
            if len(self.strata) > 1:
                raise ValueError(
                    f"stratum must be given: the hazards of {len(self.strata)} strata differ"
                )
            return np.zeros(n_samples, dtype=np.int64)
        stratum = np.asarray(stratum)
        if stratum.ndim > 1 or (stratum.ndim == 1 and len(stratum) != n_samples):
            raise ValueError(
                f"stratum must be an integer or have shape ({n_samples},); got {stratum.shape}"
            )
        stratum = np.broadcast_to(stratum, n_samples)
        place = np.minimum(np.searchsorted(self.strata, stratum), len(self.strata) - 1)
        unknown = self.strata[place] != stratum
        if unknown.any():
            known = self.strata.tolist() if len(self.strata) <= 10 else f"{len(self.strata)} strata"
            raise ValueError(
                f"stratum must be one that was fitted ({known}); got {stratum[unknown][0]}"
            )
        return place
