"""How a fit is judged after each epoch: on rows held out, or on samples of the user's."""

from dataclasses import replace

import numpy as np
from sklearn.base import clone, is_classifier
from sklearn.model_selection import ShuffleSplit, StratifiedShuffleSplit
from sklearn.utils import check_random_state

from sklearn_losses._array import array_namespace, in_namespace, to_host
from sklearn_losses._solvers.engines import make_problem

MAX_INT = np.iinfo(np.int32).max


def mean_loss_on(data, settings, rows=None):
    """``measure(model)``: the weighted mean loss on `rows` of data, or on all."""
    factor, weight = 1.0, data.sample_weight
    if weight is not None:
        if rows is not None:
            weight = weight[in_namespace(rows, array_namespace(weight))]
        factor = 1.0 / float(weight.mean())
    problem = make_problem(data, settings, rows=rows, weight_factor=factor)
    return lambda model: problem.value_gradient(model.coef, model.intercept)[0]


class Judging:
    """Mixin: validation samples, and what they say of a fit under way."""

    def _held_out(self, y, sample_weight):
        """Which rows are for validation: a mask, or None without early stopping."""
        if not self.early_stopping:
            return None
        stratify = is_classifier(self) and y.ndim == 1
        splitter = StratifiedShuffleSplit if stratify else ShuffleSplit
        split = splitter(test_size=self.validation_fraction, random_state=self.random_state)
        _, validation = next(split.split(np.zeros((len(y), 1)), to_host(y) if stratify else None))
        rows = in_namespace(validation, array_namespace(y))
        if sample_weight is not None and not bool(sample_weight[rows].any()):
            raise ValueError(
                "The sample weights for validation set are all zero, consider using a different "
                "random state."
            )
        mask = np.zeros(len(y), dtype=bool)
        mask[validation] = True
        return mask

    def _hold_out_of_classes(self, datas, targets, one_by_one, hold):
        """The data with the rows that early stopping holds out, and the seeds of the fits."""
        random_state = check_random_state(self.random_state)
        # The draws, in this order, are scikit-learn's; the first of a fit seeds what it does not
        # use. Every class shuffles with a seed of its own.
        held_out, drawn = None, [random_state]
        if one_by_one:
            held_out = self._held_out(targets.array, datas[0].sample_weight) if hold else None
            states = random_state.randint(MAX_INT, size=len(datas))
            drawn = [check_random_state(int(seed)) for seed in states]
        made, seeds = [], []
        for data, state in zip(datas, drawn, strict=True):
            state.randint(1, MAX_INT)
            if hold and not one_by_one:
                of_one = data.n_outputs == 1
                held_out = self._held_out(data.y if of_one else targets.array, data.sample_weight)
            made.append(replace(data, held_out=held_out))
            seeds.append(state.randint(MAX_INT))
        return tuple(made), tuple(seeds)

    def _validation_of(self, request, i):
        """The keyword arguments of `Fit` for the validation of the i-th fit."""
        if request.validations is not None:
            measure = mean_loss_on(request.validations[i], request.settings)

            def validate(fit):
                value = measure(fit.descent.public_model())
                return value, value

            return {"validate": validate, "restore_best": True}
        data = request.datas[i]
        if data.held_out is None:
            return {}
        return {"validate": self._judge(data, request.settings, request.loss, request.judged[i])}

    def _judge(self, data, settings, loss, judged):
        """``validate(fit)`` on the rows held out, by the estimator's own `score`."""
        judge = clone(self)
        judge.loss_ = loss
        if judged.classes is not None:
            judge.classes_ = judged.classes
            judge._rowwise, judge._multilabel = self._rowwise, self._multilabel
        judge._target_unit = getattr(self, "_target_unit", 1.0)
        xp = array_namespace(data.X)
        numbers = np.flatnonzero(data.held_out).astype(np.int32)
        rows = in_namespace(numbers, xp)
        X, y, weight, offset = (
            None if array is None else array[rows]
            for array in (data.X, judged.y, judged.sample_weight, data.offset)
        )
        options = {} if offset is None else {"offset": offset}
        measure = mean_loss_on(data, settings, numbers)

        def validate(fit):
            model = fit.model()
            judge.__dict__.update(judge._shown(model, xp))
            return -judge.score(X, y, weight, **options), measure(model)

        return validate
