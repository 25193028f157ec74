"""Sensitive features: what groups they make, and how unlike predictions for these are."""

from dataclasses import dataclass

import numpy as np
from sklearn.utils import column_or_1d
from sklearn.utils.validation import check_consistent_length

from sklearn_losses._sklearn_compat import check_sample_weight


@dataclass(frozen=True)
class Sensitive:
    """Checked sensitive features.

    Attributes
    ----------
    names : list of str
        Of the groups: combinations of what columns that are no floats hold.
    codes : ndarray of shape (n_samples,), int
        The group of each sample.
    numbers : ndarray of shape (n_samples, n_numbers)
        The columns that are floats.
    number_names : list of str
    """

    names: list
    codes: np.ndarray
    numbers: np.ndarray
    number_names: list

    def columns(self):
        """What predictions are not to vary with, by column, and its names: an indicator of each
        group (of two, of the second), and the numbers."""
        k = len(self.names)
        shown = range(k) if k > 2 else range(1, k)
        made = [(self.codes == j).astype(np.float64) for j in shown]
        names = [self.names[j] for j in shown] + self.number_names
        return np.column_stack([*made, self.numbers]) if names else self.numbers, names

    def at(self, rows):
        return Sensitive(self.names, self.codes[rows], self.numbers[rows], self.number_names)


def read_sensitive(owner, given, n_samples):
    """Checked sensitive features.

    Parameters
    ----------
    owner : str
        Who asks, for errors.
    given : array-like or DataFrame of shape (n_samples,) or (n_samples, n_columns)
    n_samples : int

    Returns
    -------
    sensitive : Sensitive
    """
    what = f"{owner}: sensitive_features"
    if given is None:
        raise ValueError(
            f"{what} must be given: fit(X, y, sensitive_features=...), of shape (n_samples,) or "
            "(n_samples, n_columns)"
        )
    if hasattr(given, "columns"):
        parts = [(str(name), np.asarray(given[name])) for name in given.columns]
    else:
        array = np.asarray(given)
        if array.ndim not in (1, 2):
            raise ValueError(f"{what} must have one or two dimensions; got {array.ndim}")
        columns = array.T if array.ndim == 2 else [array]
        parts = [(f"column {j}", column) for j, column in enumerate(columns)]
    if not parts or len(parts[0][1]) != n_samples:
        n = len(parts[0][1]) if parts else 0
        raise ValueError(f"{what} must have a row for each of {n_samples} samples; got {n} rows")
    labels, numbers, number_names = [], [], []
    for name, column in parts:
        if column.dtype.kind == "f":
            if not np.isfinite(column).all():
                raise ValueError(f"{what} must not hold NaN or infinity; {name} does")
            numbers.append(column.astype(np.float64))
            number_names.append(name)
        else:
            if column.dtype.kind == "O" and any(v is None or v != v for v in column):
                raise ValueError(f"{what} must not hold missing values; {name} does")
            labels.append(column.astype(str))
    codes, names = np.zeros(n_samples, dtype=int), []
    if labels:
        stacked = np.column_stack(labels)
        found, codes = np.unique(stacked, axis=0, return_inverse=True)
        names, codes = [", ".join(row) for row in found], codes.ravel()
    of_numbers = np.column_stack(numbers) if numbers else np.zeros((n_samples, 0))
    return Sensitive(names, codes, of_numbers, number_names)


def groups_of(owner, given, n_samples):
    """`read_sensitive` where it is to make at least two groups."""
    made = read_sensitive(owner, given, n_samples)
    if made.number_names:
        raise ValueError(
            f"{owner}: sensitive_features that are floats are numbers, and make no groups; give "
            f"strings, integers or categories. {made.number_names[0]} is of floats"
        )
    if len(made.names) < 2:
        raise ValueError(f"{owner}: sensitive_features must make two groups at least; got one")
    return made


def _rates(owner, y_true, y_pred, sensitive_features, sample_weight, pos_label, among_positives):
    """By group the share of predictions that are `pos_label`, where some of it counts."""
    y_true, y_pred = column_or_1d(y_true), column_or_1d(y_pred)
    check_consistent_length(y_true, y_pred)
    labels = set(np.unique(y_true).tolist()) | set(np.unique(y_pred).tolist())
    if pos_label not in labels and not labels <= {0, -1}:
        raise ValueError(f"{owner}: pos_label={pos_label!r} is none of the labels {sorted(labels)}")
    if len(labels | {pos_label}) > 2:
        raise ValueError(f"{owner}: labels must be of two classes; got {sorted(labels)}")
    groups = groups_of(owner, sensitive_features, len(y_true))
    weight = check_sample_weight(sample_weight, y_true[:, None], dtype=np.float64)
    weight = weight * (y_true == pos_label) if among_positives else weight
    total = np.bincount(groups.codes, weight, minlength=len(groups.names))
    chosen = np.bincount(groups.codes, weight * (y_pred == pos_label), minlength=len(total))
    live = total > 0
    if live.sum() < 2:
        raise ValueError(
            f"{owner}: no two groups of sensitive_features have samples that count; got "
            f"{[name for name, here in zip(groups.names, live, strict=True) if here]}"
        )
    return chosen[live] / total[live]


def demographic_parity_difference(
    y_true, y_pred, *, sensitive_features, sample_weight=None, pos_label=1
):
    """By how much the shares of samples that are predicted positive differ between groups.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        Of it the labels alone are looked at; it is there because scorers pass it.
    y_pred : array-like of shape (n_samples,)
        Labels of two classes.
    sensitive_features : array-like or DataFrame of shape (n_samples,) or (n_samples, n_columns)
        Strings, integers, booleans or categories; of several columns each combination is a group.
    sample_weight : array-like of shape (n_samples,) or None, default=None
    pos_label : int, bool or str, default=1

    Returns
    -------
    difference : float
        Between the largest share and the smallest, in [0, 1].

    References
    ----------
    Agarwal, A., Beygelzimer, A., Dudik, M., Langford, J. and Wallach, H. (2018). A reductions
    approach to fair classification. ICML, definition 1.

    Examples
    --------
    >>> from sklearn_losses import demographic_parity_difference
    >>> demographic_parity_difference(
    ...     [1, 0, 1, 0], [1, 1, 1, 0], sensitive_features=["a", "a", "b", "b"]
    ... )
    0.5
    """
    rates = _rates(
        "demographic_parity_difference",
        y_true,
        y_pred,
        sensitive_features,
        sample_weight,
        pos_label,
        False,
    )
    return float(np.ptp(rates))


def equal_opportunity_difference(
    y_true, y_pred, *, sensitive_features, sample_weight=None, pos_label=1
):
    """By how much the shares of positive samples that are found differ between groups.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_samples,)
        Labels of two classes.
    sensitive_features : array-like or DataFrame of shape (n_samples,) or (n_samples, n_columns)
        Strings, integers, booleans or categories; of several columns each combination is a group.
        Groups without positive samples do not count.
    sample_weight : array-like of shape (n_samples,) or None, default=None
    pos_label : int, bool or str, default=1

    Returns
    -------
    difference : float
        Between the largest true positive rate and the smallest, in [0, 1].

    References
    ----------
    Hardt, M., Price, E. and Srebro, N. (2016). Equality of opportunity in supervised learning.
    NeurIPS, definition 2.2.

    Examples
    --------
    >>> from sklearn_losses import equal_opportunity_difference
    >>> equal_opportunity_difference(
    ...     [1, 1, 1, 0], [1, 0, 1, 1], sensitive_features=["a", "a", "b", "b"]
    ... )
    0.5
    """
    rates = _rates(
        "equal_opportunity_difference",
        y_true,
        y_pred,
        sensitive_features,
        sample_weight,
        pos_label,
        True,
    )
    return float(np.ptp(rates))
