"""scikit-learn's stochastic gradient descent: one sample a step, one output."""

from sklearn_losses._kernels.fit.one_sample import Engine
from sklearn_losses._solvers.fit import Descent, Epoch, Model
from sklearn_losses._solvers.rates import optimal_offset
from sklearn_losses._states import SEED, anything, dict_of, number, whole


class OneSample(Descent):
    """A descent by scikit-learn's algorithm, step for step.

    Parameters
    ----------
    data : Data
        Of one output, with a pointwise loss.
    settings : Settings
    model : Model
        Where to start.
    reference : Reference or None
        Not looked at: this is scikit-learn's algorithm.
    seed : int
        Of the order of the samples: the same permutation is applied again before every epoch, as in
        scikit-learn.
    averages : Model or None
        The averages so far.
    t : float
        The number of the first step.
    """

    options = ("seed", "averages", "t")
    needs = ("mean", "alpha")

    def __init__(self, data, settings, model, reference, *, seed, averages=None, t=1.0):
        def factor(given):
            return 1.0 if given is None else float(given[0])

        loss = data.losses[0]
        self.settings = settings
        self.seed = seed
        self.epochs = 0  # since the order was that of the samples
        self.n_rows = data.n_training()
        self.n_samples = len(data.y)
        self.t = t
        self.engine = Engine(
            data.X,
            data.y,
            data.sample_weight,
            data.held_out,
            model.coef,
            model.intercept,
            None if averages is None else averages.coef,
            None if averages is None else averages.intercept,
            loss,
            settings,
            weight_positive=factor(data.weight_positive),
            weight_negative=factor(data.weight_negative),
            t=t,
            optimal_init=(
                optimal_offset(loss, settings.alpha) if settings.learning_rate == "optimal" else 1.0
            ),
        )

    @property
    def rate(self):
        return self.engine.eta

    @rate.setter
    def rate(self, value):
        self.engine.eta = value

    def epoch(self, number, stop):
        seed = self.seed if self.settings.shuffle else None
        loss, objective, norm, finite = self.engine.epoch(seed, stop)
        return Epoch(loss, objective, norm, self.engine.eta, self.n_rows, finite)

    def save(self):
        if not self.engine.save():
            return False
        self.epochs += 1
        self.t += self.n_samples  # as scikit-learn counts: rows held out take part
        return True

    def model(self):
        return Model(self.engine.coef(), self.engine.intercepts())

    def averages(self):
        """The averages, or None where nothing is averaged."""
        coef, intercept = self.engine.averages()
        return None if coef is None else Model(coef, intercept)

    def public_model(self):
        averages = self.averages()
        if averages is None or self.settings.average > self.t - 1.0:
            return self.model()
        return averages

    def get_state(self):
        return {
            "engine": self.engine.get_state(),
            "epochs": self.epochs,
            "seed": self.seed,
            "t": self.t,
        }

    def set_state(self, state):
        kinds = {"engine": anything, "epochs": whole(), "seed": SEED, "t": number(1)}
        state = dict_of(kinds)(state, "descent")
        self.engine.set_state(state["engine"])
        self.epochs, self.seed, self.t = state["epochs"], state["seed"], state["t"]
        if self.settings.shuffle:
            self.engine.shuffle(self.seed, self.epochs)
