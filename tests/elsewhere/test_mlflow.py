"""mlflow's scikit-learn flavour keeps the estimators. In a file of its own, since mlflow is heavy
and in none of the package's extras."""

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_losses import SGDClassifierX, SGDRegressorX, skops_trusted_types

mlflow = pytest.importorskip("mlflow", reason="mlflow is not installed")
flavour = pytest.importorskip("mlflow.sklearn", reason="mlflow is not installed")

RNG = np.random.RandomState(0)
X = RNG.normal(size=(60, 3))
TRUSTED = {"skops": {"skops_trusted_types": skops_trusted_types()}, "cloudpickle": {}}


@pytest.mark.parametrize("serialization_format", TRUSTED)
def test_models_come_back_from_mlflow(tmp_path, monkeypatch, serialization_format):
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # no database is needed
    mlflow.set_tracking_uri((tmp_path / "runs").as_uri())
    for model in (SGDRegressorX("poisson"), SGDClassifierX("multinomial", batch_size=8)):
        model = make_pipeline(StandardScaler(), model.set_params(random_state=0))
        model.fit(X, np.digitize(X[:, 0], [-0.5, 0.5]))
        with mlflow.start_run():
            logged = flavour.log_model(
                model,
                name="model",
                serialization_format=serialization_format,
                pip_requirements=[],  # finding them out takes a minute
                **TRUSTED[serialization_format],
            )
        loaded = flavour.load_model(logged.model_uri)
        np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
