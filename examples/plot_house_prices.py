"""
House prices: four losses, and prediction intervals
===================================================

One linear model of California's house prices in 1990, trained with four losses. Each answers
another question: the mean (squared error), a mean that outliers do not pull (Huber), a quantile,
and a mean of prices whose spread grows with them (gamma, with a log link).
"""

import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.datasets import fetch_california_housing, load_diabetes
from sklearn.impute import SimpleImputer
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import SplineTransformer, StandardScaler

from sklearn_losses import (
    CosineRestarts,
    HuberLoss,
    PinballLoss,
    QuantileDisplay,
    ResidualDisplay,
    SGDRegressorX,
    mean_loss,
)

# %%
# The data
# --------
# Prices are in units of 100,000 dollars. (README.rst beside this file says where the data come
# from.)


def from_file(path):
    """scikit-learn's eight features and the price, from the StatLib table."""
    table = pd.read_csv(path)
    features = pd.DataFrame(
        {
            "MedInc": table.median_income,
            "HouseAge": table.housing_median_age,
            "AveRooms": table.total_rooms / table.households,
            "AveBedrms": table.total_bedrooms / table.households,
            "Population": table.population,
            "AveOccup": table.population / table.households,
            "Latitude": table.latitude,
            "Longitude": table.longitude,
        }
    )
    return features, table.median_house_value / 1e5, "100,000 dollars"


def load():
    folder = os.environ.get("SKLEARN_LOSSES_DATA")
    if folder and (path := Path(folder, "california_housing.csv.gz")).exists():
        return from_file(path)
    if not folder:
        try:
            X, y = fetch_california_housing(return_X_y=True, as_frame=True)
            return X, y, "100,000 dollars"
        except OSError as error:
            print(f"California housing cannot be downloaded ({error}).")
    print(
        "Note: without California housing, this runs on the diabetes data that scikit-learn ships."
    )
    X, y = load_diabetes(return_X_y=True, as_frame=True)
    return X, y / 100, "100 points of progression"


X, y, unit = load()
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.25, random_state=0)
print(f"{len(X_train)} training samples, {X.shape[1]} features")

# %%
# One pipeline, four losses
# -------------------------
# Splines make the model bend along each feature; it stays linear in what is trained. With a log
# link one long step can throw a model far away, as an exponential stands behind it: there L-BFGS,
# which checks its steps, is the safe choice (for streams, `clip_norm`).


def model(loss, **params):
    params = {
        "optimizer": "adam",
        "batch_size": 64,
        "learning_rate": CosineRestarts(period=30),
        "eta0": 0.01,
        **params,
    }
    return make_pipeline(
        SimpleImputer(strategy="median"),
        SplineTransformer(n_knots=8, knots="quantile", degree=2),
        StandardScaler(),
        SGDRegressorX(loss, alpha=1e-4, max_iter=30, tol=None, random_state=0, **params),
    )


losses = {
    "squared_error": "squared_error",
    "huber": HuberLoss("auto"),
    "median": PinballLoss(quantile=0.5),
    "gamma": "gamma",
}
models = {
    name: model(loss, **({"optimizer": "lbfgs"} if name == "gamma" else {})).fit(X_train, y_train)
    for name, loss in losses.items()
}

measures = {"squared": "mse", "absolute": "absolute_error"}
print(f"{'trained with':<16}{'mean squared':>14}{'mean absolute':>15}{'least price':>13}")
for name, fitted in models.items():
    y_pred = fitted.predict(X_test)
    row = [mean_loss(y_test, y_pred, loss=loss) for loss in measures.values()]
    print(f"{name:<16}{row[0]:>14.3f}{row[1]:>15.3f}{y_pred.min():>13.2f}")

# %%
# Among the three with an identity link, squared error has the least squared error and the median
# the least absolute one. The gamma model multiplies effects where the others add them, which
# suits prices; and it predicts no price below zero, which the others do.
#
# Residuals, and how hard each sample pulls
# -----------------------------------------
# Huber's loss stops growing pulls at `delta`: every residual beyond it has the same colour. "auto"
# has found it in the units of the prices.

print(models["huber"][-1].loss_)

ResidualDisplay.from_estimator(
    models["huber"], X_test, y_test, unit=unit, scatter_kw={"s": 4, "alpha": 0.6}
)
plt.show()

# %%
# Prediction intervals
# --------------------
# A loss that holds several quantiles trains one output for each, in one pass over the data. The
# bands say which share of the test prices they should hold, and the legend which share they do.

quantiles = [0.05, 0.25, 0.5, 0.75, 0.95]
fan = model(PinballLoss(quantile=quantiles), non_crossing=True).fit(X_train, y_train)
QuantileDisplay.from_estimator(fan, X_test, y_test, y_label=f"price ({unit})")
plt.show()

y_pred = fan.predict(X_test)
for k, quantile in enumerate(quantiles):
    share = np.mean(np.asarray(y_test) <= y_pred[:, k])
    print(f"{100 * quantile:>3.0f} % quantile: {100 * share:5.1f} % of the test prices lie below")
