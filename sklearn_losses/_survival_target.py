"""Targets of survival analysis: times, whether they are those of events, entries and strata."""

import numpy as np

from sklearn_losses._array import check_on_host

# Fields of a structured array, and columns of what `read_survival` returns.
FIELDS = {"time": np.float64, "event": np.bool_, "entry": np.float64, "stratum": np.int64}
TIME, EVENT, ENTRY, STRATUM = range(4)
# A stratum is kept as a float.
LARGEST_STRATUM = 2**53
HOW = "survival_target(time, event) makes such an array"


def survival_target(time, event=None, entry=None, stratum=None):
    """Times under observation, and what is known of their ends, as one array `y`.

    It goes wherever scikit-learn takes a `y`, and is divided like one: by `cross_validate`,
    `train_test_split`, `GridSearchCV`. Without `entry` and `stratum` it is what scikit-survival
    takes, too.

    Parameters
    ----------
    time : array-like of shape (n_samples,)
        When the observation ended, at least 0.
    event : array-like of shape (n_samples,), bool or 0 and 1, or None, default=None
        Whether it ended with the event. False: it was censored, and the event came later, if at
        all. None: every time is that of an event.
    entry : array-like of shape (n_samples,) or None, default=None
        When the observation began, below `time`: nothing is known of who had the event before
        (left truncation). None: at the beginning.
    stratum : array-like of shape (n_samples,), integers, or None, default=None
        Whom a sample is compared with: those of its own stratum.

    Returns
    -------
    y : ndarray of shape (n_samples,)
        A structured array with the fields ``event`` (bool), ``time`` (float64) and, where they are
        given, ``entry`` (float64) and ``stratum`` (int64).

    Raises
    ------
    ValueError
        Where shapes differ, a number is NaN or infinite, a time is negative, or an entry is not
        before its time; the message says which.

    Examples
    --------
    >>> from sklearn_losses import survival_target
    >>> y = survival_target([5.0, 8.0, 2.0], event=[True, False, True])
    >>> y["time"][y["event"]]
    array([5., 2.])
    """
    given = {"event": event, "time": time, "entry": entry, "stratum": stratum}
    check_on_host("survival_target", **given)
    n_samples = len(_column(time, "time"))
    if event is None:
        given["event"] = np.ones(n_samples, dtype=bool)
    given = {name: value for name, value in given.items() if value is not None}
    read = _checked(given, "")
    y = np.empty(n_samples, dtype=[(name, FIELDS[name]) for name in given])
    for name in given:
        y[name] = read[:, list(FIELDS).index(name)]
    return y


def read_signed(label):
    """Times of a boosting library's labels, which are negative where they are censored, and whether
    they are those of events.

    Parameters
    ----------
    label : ndarray of shape (n_samples,)

    Returns
    -------
    time : ndarray of shape (n_samples,)
    event : ndarray of shape (n_samples,), bool
    """
    return np.abs(label), ~np.signbit(label)


def read_survival(y, name="y_true"):
    """Survival targets as numbers, checked.

    Parameters
    ----------
    y : array-like
        - An array of `survival_target`, or any with its field names.
        - A structured array with one field of booleans and one of real numbers, under any names,
          as scikit-survival has it.
        - A data frame whose columns have the names of `survival_target`.
        - Two columns: times, and 1 for an event or 0.
        - Four columns, as returned.
    name : str
        What an error calls it.

    Returns
    -------
    target : ndarray of shape (n_samples, 4), float64
        Time, event (0 or 1), entry (minus infinity where there is none), stratum (0 where there is
        none). `y` itself where it was read already.
    """
    check_on_host("Survival analysis", **{name: y})
    fields = _fields(y, name)
    if fields is None:
        return _checked(dict(zip(FIELDS, y.T, strict=True)), f"{name}: ", read=y)
    return _checked(fields, f"{name}: ")


def _fields(y, name):
    """Columns of `y` by the names of `FIELDS`; None where it has all four as numbers."""
    named = getattr(y, "columns", None)
    if named is not None and {"time", "event"} <= set(named) <= set(FIELDS):
        return {column: np.asarray(y[column]) for column in named}
    y = np.asarray(y)
    names = y.dtype.names
    if names is not None:
        y = y.reshape(-1) if y.ndim == 2 and y.shape[1] == 1 else y
        if {"time", "event"} <= set(names) <= set(FIELDS):
            return {field: y[field] for field in names}
        of_kind = {kind: [f for f in names if y.dtype[f].kind in kind] for kind in ("b", "iuf")}
        if len(names) == 2 and all(len(found) == 1 for found in of_kind.values()):
            return {"time": y[of_kind["iuf"][0]], "event": y[of_kind["b"][0]]}
        raise ValueError(
            f"{name} must have one field of booleans (event) and one of numbers (time), or fields "
            f"named {', '.join(FIELDS)}; got {y.dtype}. {HOW}"
        )
    if y.ndim != 2 or y.shape[1] not in (2, 4):
        raise ValueError(
            f"{name} must hold a time and an event for each sample: a structured array, or two "
            f"columns; got an array of shape {y.shape}. {HOW}"
        )
    if y.shape[1] == 4 and y.dtype == np.float64:
        return None
    return dict(zip(FIELDS, y.T, strict=False))


def _checked(given, where, read=None):
    """`read_survival`'s array of the given fields, or the error that says what is wrong."""
    columns = {field: _column(value, where + field) for field, value in given.items()}
    lengths = {field: len(column) for field, column in columns.items()}
    if len(set(lengths.values())) > 1:
        counts = ", ".join(f"{field}: {n}" for field, n in lengths.items())
        raise ValueError(f"{where}all must hold as many samples; got {counts}")
    time, event = columns["time"], columns["event"]
    if len(time) == 0:
        raise ValueError(f"{where}time must hold at least one sample; got 0")
    _require(np.isfinite(time), f"{where}time must be finite", time)
    _require(time >= 0, f"{where}time must not be negative", time)
    hint = "; the first column is the time, the second the event" if where else ""
    _require(
        (event == 0) | (event == 1),
        f"{where}event must be 1 (True) where the event was seen, and 0 (False) where not",
        event,
        hint,
    )
    entry = columns.get("entry")
    if entry is not None:
        _require(~np.isnan(entry), f"{where}entry must not be NaN", entry)
        late = ~(entry < time)
        if late.any():
            at = int(late.argmax())
            raise ValueError(
                f"{where}entry must be before the time; got entry {entry[at]} and time {time[at]} "
                f"at index {at}"
            )
    stratum = columns.get("stratum")
    if stratum is not None:
        whole = (np.abs(stratum) < LARGEST_STRATUM) & (stratum == np.rint(stratum))
        _require(whole, f"{where}stratum must be an integer below 2**53 in size", stratum)
    if read is not None:
        return read
    target = np.zeros((len(time), len(FIELDS)))
    target[:, ENTRY] = -np.inf
    for field, column in columns.items():
        target[:, list(FIELDS).index(field)] = column
    return target


def _column(values, name):
    """One column of numbers, float64."""
    values = np.asarray(values)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1:
        raise ValueError(f"{name} must have shape (n_samples,); got {values.shape}")
    if values.dtype.kind not in "biuf":
        hint = ""
        if name.endswith("stratum"):
            hint = "; numpy.unique(stratum, return_inverse=True)[1] numbers them"
        try:
            if values.dtype.kind != "O":
                raise TypeError
            return values.astype(np.float64)
        except (TypeError, ValueError):
            raise TypeError(f"{name} must hold numbers; got dtype {values.dtype}{hint}") from None
    return values.astype(np.float64, copy=False)


def _require(right, what, values, hint=""):
    if not right.all():
        at = int(right.argmin())
        raise ValueError(f"{what}; got {values[at]} at index {at}{hint}")
