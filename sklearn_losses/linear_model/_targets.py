"""What a classifier learns: y as labels, as an indicator matrix of several labels, or as
probabilities."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets, unique_labels

from sklearn_losses._array import array_namespace, in_namespace, on_device, to_host
from sklearn_losses._solvers.data import Data
from sklearn_losses.linear_model._request import Judged
from sklearn_losses.linear_model._validation import REAL, one_column
from sklearn_losses.losses.rowwise import check_unit_rows


class Targets(NamedTuple):
    """Targets of samples: `codes`, or a `matrix` with a column for each class."""

    classes: np.ndarray
    codes: np.ndarray | None = None
    matrix: np.ndarray | None = None
    multilabel: bool = False

    def __len__(self):
        return len(self.array)

    @property
    def array(self):
        return self.codes if self.matrix is None else self.matrix

    def counts(self):
        """How often each class is there: ndarray of shape (n_classes,)."""
        xp = array_namespace(self.array)
        if self.matrix is None:
            counts = xp.bincount(self.codes, minlength=len(self.classes))
        else:
            counts = self.matrix.sum(axis=0)
        return to_host(counts).astype(np.float64)


def are_names(y):
    """Whether labels, of an array of any place or a list, are text or objects, which are on the
    host by their nature."""
    if on_device(y) or hasattr(y, "tocsr"):
        return False
    return np.asarray(y).dtype.kind not in REAL


def known_targets(classes, matrix, multilabel):
    """The classes and the kind of the targets of earlier calls, with no sample."""
    if matrix:
        return Targets(classes, matrix=np.empty((0, len(classes))), multilabel=multilabel)
    return Targets(classes, np.empty(0, np.intp))


def read_targets(y, classes, known, loss, xp, name="y"):
    """Targets from what a user gave.

    Parameters
    ----------
    y : array-like of shape (n_samples,) or (n_samples, n_classes)
        On a device, or on the host.
    classes : array-like of shape (n_classes,) or None
        Every label that may come, where the user names them.
    known : Targets or None
        Of an earlier call, with whose classes and kind these must agree.
    loss : Loss
    xp : module
        Whose arrays are wanted.
    name : str
        What an error calls y.

    Returns
    -------
    targets : Targets
        The classes on the host, the rest in `xp`.
    """
    y = y.toarray() if hasattr(y, "toarray") else y
    y = one_column(y if on_device(y) else np.asarray(y))
    if y.ndim == 2:
        read = _matrix(y, known, loss, name)
        if classes is not None and not np.array_equal(to_host(classes), read.classes):
            raise ValueError(
                f"classes names labels; {name} has a column for each of its classes 0, ..., "
                f"{len(read.classes) - 1}; got classes={classes!r}"
            )
    else:
        read = _labels(y, classes, known, name)
    if known is not None:
        same_kind = (read.matrix is None) == (known.matrix is None)
        if not same_kind or len(read.classes) != len(known.classes):
            raise ValueError(
                f"{name} must be of the kind that was learned from, with {len(known.classes)} "
                f"classes; got an array of shape {y.shape}"
            )
    return Targets(read.classes, in_namespace(read.codes, xp)) if read.matrix is None else read


def _labels(y, classes, known, name):
    xp = array_namespace(y)
    if xp is np:
        y = column_or_1d(y, warn=True)
        check_classification_targets(y)
    else:
        # Twice, for a warning where most labels are there once.
        check_classification_targets(np.repeat(to_host(xp.unique(y)), 2))
    if classes is not None:
        classes = unique_labels(to_host(classes))
        if known is not None and not np.array_equal(classes, known.classes):
            raise ValueError(
                f"`classes={classes!r}` is not the same as on last call to partial_fit, "
                f"was: {known.classes!r}"
            )
    elif known is not None:
        classes = known.classes
    else:
        classes = to_host(xp.unique(y))
    if xp is not np and are_names(classes):
        raise ValueError(f"{name} holds labels that are not in classes: {to_host(xp.unique(y))!r}")
    labels = in_namespace(classes, xp)
    codes = xp.searchsorted(labels, y)
    codes[codes == len(classes)] = 0
    unknown = labels[codes] != y
    if unknown.any():
        wrong = to_host(xp.unique(y[unknown]))
        raise ValueError(f"{name} holds labels that are not in classes: {wrong!r}")
    if len(classes) < 2:
        raise ValueError(
            f"The number of classes has to be greater than one; got {len(classes)} class"
        )
    return Targets(classes, codes)


def _matrix(y, known, loss, name):
    if y.dtype.kind not in REAL or y.ndim != 2:
        raise ValueError(
            f"Unknown label type: {name} of shape {y.shape} must hold labels of one kind, an "
            f"indicator matrix of 0 and 1, or probabilities; got dtype {y.dtype}"
        )
    y = array_namespace(y).ascontiguousarray(y, dtype=np.float64)
    outside = (y < 0) | (y > 1)
    if outside.any():
        raise ValueError(
            f"Unknown label type: {name} with several columns must be an indicator matrix of 0 and "
            f"1, or hold probabilities; got {y[outside][0]}"
        )
    classes = np.arange(y.shape[1])
    owner = type(loss).__name__
    if loss.is_multiclass:
        if not loss.takes_probabilities:
            raise ValueError(f"{owner} takes one label a sample; {name} has {y.shape[1]} columns")
        check_unit_rows(owner, y, name)
        return Targets(classes, matrix=y)
    fractional = (y > 0) & (y < 1)
    if known is None:
        distribution = bool(fractional.any() and (abs(y.sum(axis=1) - 1) <= 1e-8).all())
    else:  # certain labels among soft ones are soft labels too
        distribution = not known.multilabel
        if distribution and known.matrix is not None:
            check_unit_rows(owner, y, name)
    if fractional.any() and loss.task == "regression":
        raise ValueError(
            f"{owner} takes labels; {name} holds probabilities, which need a loss such as "
            "'log_loss' or 'multinomial'"
        )
    return Targets(classes, matrix=y, multilabel=not distribution)


def class_weights(class_weight, targets, counts, n_samples):
    """Weights of the samples of each class, and of those without it in its own classifier.

    Parameters
    ----------
    class_weight : dict, "balanced" or None
    targets : Targets
    counts : ndarray of shape (n_classes,)
        How often each class was seen so far, of `n_samples`.
    n_samples : float

    Returns
    -------
    positive, negative : ndarray of shape (n_classes,), or None and None where all are 1
    """
    n_classes = len(targets.classes)
    if class_weight is None:
        return None, None
    if class_weight == "balanced":
        # A class that has not been seen counts as seen once.
        each = 2.0 if targets.multilabel else n_classes
        present, absent = np.maximum(counts, 1.0), np.maximum(n_samples - counts, 1.0)
        positive = n_samples / (each * present)
        negative = n_samples / (each * absent) if targets.multilabel else np.ones(n_classes)
        return positive, negative
    if targets.multilabel:
        raise ValueError(
            "class_weight must be 'balanced' or None where a sample has several labels; "
            f"got {class_weight!r}"
        )
    return _named_weights(class_weight, targets.classes), np.ones(n_classes)


def _named_weights(class_weight, classes):
    """The weights that a dict has for the classes, 1 where it has none: ndarray of shape
    (n_classes,).

    scikit-learn's `compute_class_weight` looks labels such as "1" up as the number 1 alone; here
    they are found by themselves, and that way too.
    """
    weights, missing = np.ones(len(classes)), []
    for i, label in enumerate(classes.tolist()):
        names = [label]
        if isinstance(label, str):
            try:
                names.append(int(label))
            except ValueError:
                pass
        found = [name for name in names if name in class_weight]
        if found:
            weights[i] = class_weight[found[0]]
        else:
            missing.append(label)
    if missing and len(classes) - len(missing) != len(class_weight):
        raise ValueError(f"The classes, {missing}, are not in class_weight")
    return weights


def lowest_target(loss):
    """What a pointwise loss takes for samples that are not of a class."""
    return -1.0 if loss.task == "regression" else 0.0


def outputs_of(targets, loss=None):
    """How many rows of weights a model of the classes has, or, with a loss, that is trained: of two
    classes one is enough, unless the loss is row-wise."""
    two = len(targets.classes) == 2 and not targets.multilabel
    rowwise = loss is not None and loss.is_multiclass
    return 1 if two and not rowwise else len(targets.classes)


def told_classes(loss, counts):
    """A row-wise loss that knows how often each class was seen; a class that was announced to
    `partial_fit` and not seen yet counts as seen once."""
    return loss._for_classes(len(counts), np.maximum(counts, 1.0)) if loss.is_multiclass else loss


def check_bounds(settings, targets, loss):
    """Raise where weights of two classes, of which the difference is shown, would have bounds."""
    if loss.is_multiclass and len(targets.classes) == 2 and settings.low is not None:
        raise ValueError(
            f"bounds and positive hold for a row of weights a class, of which "
            f"{type(loss).__name__} shows the difference alone; use loss='log_loss'"
        )


def class_data(samples, loss, weights, one_by_one):
    """The data of the solvers: one for all classes, or one for each.

    Parameters
    ----------
    samples : Samples
        Checked; its y is `Targets`.
    loss : Loss
    weights : tuple
        What `class_weights` returned.
    one_by_one : bool
        Whether each class is trained by itself.

    Returns
    -------
    datas : tuple of Data
    """
    X, targets, sample_weight, offset = samples
    xp = array_namespace(X)
    positive, negative = weights
    n_classes = len(targets.classes)
    low = lowest_target(loss)
    soft = targets.matrix is not None and not targets.multilabel
    common = {"sample_weight": sample_weight, "offset": offset}
    if loss.is_multiclass:
        if positive is not None:
            factor = in_namespace(positive, xp)
            of_sample = targets.matrix @ factor if soft else factor[targets.codes]
            common["sample_weight"] = (
                of_sample if sample_weight is None else sample_weight * of_sample
            )
        if soft:
            return (Data(X, targets.matrix, [loss], n_classes, "separate", **common),)
        if hasattr(loss, "_heads_offset"):
            common["offset"] = loss._heads_offset(offset)
        codes = targets.codes.astype(np.float64)
        return (Data(X, codes, [loss._heads()], n_classes, **common),)
    if soft and positive is not None:
        raise ValueError(
            "class_weight needs labels; y holds probabilities, whose weights a row-wise loss such "
            "as 'multinomial' can take"
        )
    if n_classes == 2 and not targets.multilabel:
        if positive is not None:
            # The other class is the one without the label.
            common.update(weight_positive=positive[1:], weight_negative=positive[:1])
        if soft:
            return (Data(X, xp.ascontiguousarray(targets.matrix[:, 1]), [loss], **common),)
        return (Data(X, xp.where(targets.codes == 1, 1.0, low), [loss], **common),)
    if one_by_one:
        datas = []
        for i in range(n_classes):
            if positive is not None:
                part = slice(i, i + 1)
                common.update(weight_positive=positive[part], weight_negative=negative[part])
            datas.append(Data(X, np.where(targets.codes == i, 1.0, low), [loss], **common))
        return tuple(datas)
    common.update(weight_positive=positive, weight_negative=negative)
    if targets.matrix is None:
        y = targets.codes.astype(np.float64)
        return (Data(X, y, [loss], n_classes, "codes", low, **common),)
    matrix = xp.where(targets.matrix > 0, 1.0, low) if low else targets.matrix
    return (Data(X, matrix, [loss], n_classes, "separate", **common),)


def grouped(data, group):
    """Data whose targets have the number of a group beside them, where there are groups."""
    if group is None:
        return data
    return replace(data, y=np.column_stack([data.y, group]), target="separate")


def judged_targets(data, targets, loss, sample_weight):
    """What early stopping scores: `Judged`. It is without the class weights, which a row-wise loss
    has in its samples'."""
    if data.n_outputs == 1 and data.target == "shared" and not loss.is_multiclass:
        low = lowest_target(loss)
        y = (data.y > 0.5) * (1.0 - low) + low
        return Judged(y, sample_weight, np.array([low, 1.0]))
    return Judged(targets.array, sample_weight, np.arange(len(targets.classes)))


def probabilities(loss, raw, n_classes, multilabel=False):
    """Probabilities of the classes.

    Parameters
    ----------
    loss : Loss
        It gives probabilities.
    raw : array of shape (n_samples,) or (n_samples, n_classes)
        As `decision_function` returns them.
    n_classes : int
    multilabel : bool, default=False

    Returns
    -------
    proba : array of shape (n_samples, n_classes)
    """
    xp = array_namespace(raw)
    if loss.is_multiclass:
        # Only differences of raw predictions count.
        return loss.predict(xp.stack([-raw / 2, raw / 2], axis=1) if raw.ndim == 1 else raw)
    proba = loss.predict(raw)
    if multilabel:
        return proba
    if raw.ndim == 1:
        return xp.stack([1 - proba, proba], axis=1)
    total = xp.sum(proba, axis=1, keepdims=True)
    return xp.where(total == 0, 1 / n_classes, proba / xp.where(total == 0, 1, total))
