"""States of fits with one leaf replaced by something that no fit leaves, gone on with.

Run as a program, in a process of its own, since the kernels might crash: the arguments are how many
forgeries of each case, and names of `FITS`, or none for all. It writes a case's name as it begins.
"""

import copy
import faulthandler
import sys
import warnings

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import sparse

from sklearn_losses import SGDClassifierX, SGDRegressorX
from sklearn_losses._solvers.fit import Model

RNG = np.random.RandomState(0)
X = RNG.randn(40, 3)
Y = X @ [1.0, -1.0, 0.5] + 0.3 * RNG.randn(40)
THREE = np.digitize(Y, [-0.7, 0.7])
CSR = sparse.csr_matrix(X * (np.abs(X) > 0.5))
STATE = ("t_", "_kept", "_averaging", "_class_counts")


def regressor(**params):
    defaults = {"max_iter": 3, "tol": None, "alpha": 0.01, "random_state": 0}
    return SGDRegressorX(**{**defaults, **params})


def classifier(**params):
    defaults = {"max_iter": 3, "tol": None, "alpha": 0.01, "random_state": 0}
    return SGDClassifierX("log_loss", **{**defaults, **params})


# Name -> an estimator, and what it is fitted to and goes on with.
HELD_OUT = {"X_val": X[:9], "y_val": Y[:9]}
FITS = {
    "one sample": (regressor(average=5, penalty="elasticnet"), X, Y, {}),
    "one sample, float32": (regressor(average=True), X.astype(np.float32), Y, {}),
    "one sample, csr": (regressor(penalty="l1"), CSR, Y, {}),
    "one against the rest": (classifier(average=4, class_weight="balanced"), X, THREE, {}),
    "adam": (regressor(optimizer="adam", batch_size=7, average=3), X, Y, {}),
    "batches, csr": (regressor(batch_size=7, penalty="elasticnet"), CSR, Y, {}),
    "batches, float32": (regressor(batch_size=7, optimizer="adagrad"), X.astype("f4"), Y, {}),
    "several classes": (classifier(optimizer="nadam", batch_size=8), X, THREE, {}),
    "adaptive": (regressor(learning_rate="adaptive", tol=0.1, batch_size=7), X, Y, {}),
    "validation": (regressor(optimizer="adam", batch_size=7), X, Y, HELD_OUT),
    "saga": (regressor(optimizer="saga"), X, Y, {}),
    "svrg": (regressor(optimizer="svrg", average=True), CSR, Y, {}),
    "gd": (regressor(loss="quantile", optimizer="gd"), X, Y, {}),
    "lbfgs": (regressor(optimizer="lbfgs", penalty="l1"), X, Y, {}),
    "interior point": (regressor(loss="quantile", optimizer="interior-point"), X, Y, {}),
    "in turn": (regressor(loss="laplace_nll", optimizer="interior-point"), X, Y, {}),
}

BAD = [np.nan, np.inf, -np.inf, -1, -1.0, 0, 0.5, 10**11, 2**62, 2**70, 10**400, 1e300, 5e-324]
BAD += [None, True, "", "inf", "converged", b"x", [], {}, (1, 2), object(), 1 + 2j, np.int8(-3)]
BAD += [np.zeros(0), np.zeros((2, 2, 2)), np.array(["a"]), np.array([None]), np.float64("nan")]


def leaves(value, path=()):
    """The paths to what is in dicts, lists, tuples and models."""
    yield path
    if isinstance(value, Model):
        value = vars(value)
    if isinstance(value, dict):
        for key in value:
            yield from leaves(value[key], (*path, key))
    elif isinstance(value, list | tuple):
        for i, item in enumerate(value):
            yield from leaves(item, (*path, i))


def at(value, path):
    for key in path:
        value = vars(value)[key] if isinstance(value, Model) else value[key]
    return value


def replaced(value, path, new):
    """A copy of `value` with `new` at `path`."""
    if not path:
        return new
    if isinstance(value, Model):
        return Model(**replaced(vars(value), path, new))
    if isinstance(value, dict):
        return value | {path[0]: replaced(value[path[0]], path[1:], new)}
    items = list(value)
    items[path[0]] = replaced(items[path[0]], path[1:], new)
    return type(value)(items)


@st.composite
def forgeries(draw, leaf):
    """What may stand in place of a leaf: anything, or an array that is nearly right."""
    if not isinstance(leaf, np.ndarray) or draw(st.booleans()):
        return draw(st.sampled_from(BAD))
    kind = draw(st.sampled_from(["element", "dtype", "shape", "strided"]))
    if kind == "dtype":
        return leaf.astype(draw(st.sampled_from(["i8", "U9", "O", "f2", ">f8", "c16", "?"])))
    if kind == "shape":
        changes = [leaf[None], leaf[:0], np.append(leaf, leaf), leaf.ravel(), leaf.sum()]
        return draw(st.sampled_from(changes))
    leaf = leaf.copy()
    if leaf.size:
        value = draw(st.sampled_from([np.nan, np.inf, -np.inf, -1.0, 1e300, 5e-324]))
        with np.errstate(over="ignore"):
            leaf.flat[draw(st.integers(0, leaf.size - 1))] = value
    return leaf if kind == "element" else np.repeat(leaf, 2, axis=0)[::2]


def check(name, resumes, draw):
    model, x, y, given_ = FITTED[name]
    model = copy.deepcopy(model)
    root = draw(st.sampled_from([part for part in STATE if getattr(model, part, None) is not None]))
    # Not what the parameters are compared with, nor the seed's kind: those choose no kernel.
    paths = [path for path in leaves(vars(model)[root]) if path[:1] != ("of",) or len(path) == 2]
    path = draw(st.sampled_from(paths))
    new = draw(forgeries(at(vars(model)[root], path)))
    setattr(model, root, replaced(vars(model)[root], path, new))
    try:
        if resumes:
            model.set_params(warm_start="resume", max_iter=2).fit(x, y, **given_)
        else:
            model.partial_fit(x, y)
    except (ValueError, TypeError) as error:
        assert str(error).strip(), (root, path, new)
        return
    assert np.isfinite(model.coef_).all() and np.isfinite(model.intercept_).all(), (root, path, new)
    assert np.isfinite(model.decision_function(x) if y is THREE else model.predict(x)).all()


def fitted(name):
    model, x, y, given_ = FITS[name]
    return model.fit(x, y, **given_), x, y, given_


FITTED = {}


def main(names, n_examples):
    faulthandler.enable()
    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    for name in names or FITS:
        FITTED[name] = fitted(name)
        for resumes in (True, False):
            if not resumes and not hasattr(FITTED[name][0], "partial_fit"):
                continue
            print(name, resumes, flush=True)
            faulthandler.dump_traceback_later(120, exit=True)

            @settings(
                max_examples=n_examples,
                deadline=None,
                derandomize=True,
                database=None,
                suppress_health_check=list(HealthCheck),
            )
            @given(data=st.data())
            def run(case, data):
                check(*case, data.draw)

            run((name, resumes))
            faulthandler.cancel_dump_traceback_later()
    print("done")


if __name__ == "__main__":
    main(sys.argv[2:], int(sys.argv[1]))
