"""
Which loss wins on your data?
=============================

Two grid searches in which the loss is one more parameter of the pipeline: handwritten digits, and a
regression whose training targets hold outliers.
"""

import numpy as np
from sklearn.datasets import load_diabetes, load_digits
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_losses import SGDClassifierX, SGDRegressorX, get_loss


def search(estimator, X, y, losses, alphas, **options):
    """Cross-validate every loss with every alpha; {loss: (score, alpha)}, best score first."""
    pipeline = Pipeline([("scale", StandardScaler()), ("sgd", estimator)])
    grid = {"sgd__loss": losses, "sgd__alpha": alphas}
    results = GridSearchCV(pipeline, grid, refit=False, **options).fit(X, y).cv_results_
    best = {}
    for params, score in zip(results["params"], results["mean_test_score"], strict=True):
        loss = params["sgd__loss"]
        loss = loss if isinstance(loss, str) else loss.name
        if loss not in best or score > best[loss][0]:
            best[loss] = (score, params["sgd__alpha"])
    return dict(sorted(best.items(), key=lambda item: -item[1][0]))


def show(title, column, rows, reference):
    """Print {loss: (figure, alpha)} as a table, and how the winner compares with the reference."""
    print(f"\n{title}\n{'loss':<20}{column:>24}{'alpha':>10}")
    for loss, (figure, alpha) in rows.items():
        print(f"{loss:<20}{figure:>24.2f}{alpha:>10g}")
    winner = next(iter(rows))
    ours, theirs = rows[winner][0], rows[reference][0]
    print(f"{winner} wins: {ours:.2f} against {theirs:.2f} with {reference}")


def digits():
    X, y = load_digits(return_X_y=True)
    losses = ["log_loss", "hinge", "squared_hinge", "modified_huber", "perceptron", "smooth_hinge"]
    losses += ["exponential", "focal", "poly", "brier", "multinomial", "multiclass_hinge"]
    scores = search(
        SGDClassifierX(optimizer="adam", batch_size=32, random_state=0),
        X,
        y,
        losses,
        alphas=[1e-4, 1e-2],
        cv=3,
        scoring="accuracy",
        n_jobs=2,
    )
    rows = {loss: (100 * score, alpha) for loss, (score, alpha) in scores.items()}
    show("load_digits, 10 classes", "accuracy in %", rows, reference="log_loss")


def diabetes_with_outliers():
    X, y = load_diabetes(return_X_y=True)
    rng = np.random.RandomState(0)
    corrupt = y.copy()
    outliers = rng.rand(len(y)) < 0.2
    corrupt[outliers] += rng.uniform(500, 2000, size=outliers.sum())
    # Each fold trains on corrupt targets and is scored on the clean ones of the rows left out: the
    # second half of the stacked data holds the same rows with clean targets.
    folds = [
        (train, len(y) + test) for train, test in KFold(5, shuffle=True, random_state=0).split(X)
    ]
    # "auto": a threshold in the units of y, estimated with each fit.
    scales = {"huber": "delta", "smooth_l1": "beta", "pseudo_huber": "delta", "fair": "c"}
    scales |= {"epsilon_insensitive": "epsilon", "cauchy": "c", "geman_mcclure": "c"}
    scales |= {"welsch": "c", "tukey": "c"}
    losses = ["squared_error", "absolute_error"]
    losses += [get_loss(name, **{scale: "auto"}) for name, scale in scales.items()]
    scores = search(
        SGDRegressorX(optimizer="adam", batch_size=32, random_state=0),
        np.vstack([X, X]),
        np.concatenate([corrupt, y]),
        losses,
        alphas=[1e-5, 1e-3],
        cv=folds,
        scoring="neg_median_absolute_error",
        n_jobs=2,
    )
    rows = {loss: (-score, alpha) for loss, (score, alpha) in scores.items()}
    title = f"load_diabetes, {outliers.sum()} of {len(y)} training targets are outliers"
    show(title, "median absolute error", rows, reference="squared_error")


if __name__ == "__main__":
    digits()
    diabetes_with_outliers()
