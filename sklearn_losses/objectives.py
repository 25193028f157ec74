"""Losses as objectives and metrics of XGBoost, LightGBM and CatBoost, and as PyTorch modules,
generic over every loss. Nothing of those libraries is imported before it is needed."""

from sklearn_losses._boosting import METRICS, OBJECTIVES, one_output
from sklearn_losses._joint_boosting import (
    JOINT_METRICS,
    JOINT_OBJECTIVES,
    WORST_CASE_OBJECTIVES,
)
from sklearn_losses.contrastive import ContrastiveLoss
from sklearn_losses.generative import GANLoss
from sklearn_losses.losses import ROBUST_MEANS, get_loss

__all__ = ["as_metric", "as_objective", "as_torch"]


def _of(loss, library, table, joint_table):
    if library not in table:
        raise ValueError(f"library must be one of {list(table)}; got {library!r}")
    if loss._unboosted is not None:
        raise ValueError(f"{type(loss).__name__} is not for boosting: {loss._unboosted}")
    if not loss.is_joint:
        return table[library]
    if library not in joint_table:
        raise ValueError(
            f"library must be one of {list(joint_table)} for {type(loss).__name__}, a loss of all "
            f"samples together; got {library!r}, which hands over some of them at a time"
        )
    return joint_table[library]


def as_objective(loss, library, *, min_hessian="auto"):
    """An objective for gradient boosting with XGBoost, LightGBM or CatBoost.

    It works with the scikit-learn API and with the native API of each library: weighted, any number
    of classes in the library's own layout, its float32 (CatBoost: float64) arrays written by the
    kernels without a copy between.

    Parameters
    ----------
    loss : str or Loss
        A loss, or a name of `LOSSES`. A row-wise loss has a tree for each class, and a loss of a
        distribution one for each of its heads. A loss of a ranking takes the queries from the
        library's `group` or `qid`. CatBoost has no losses of distributions, rankings and worst
        cases.
    library : {"xgboost", "lightgbm", "catboost"}
    min_hessian : "auto" or float, default="auto"
        A leaf's value is minus the sum of its gradients over that of its hessians, which must not
        explode. A float, at least 0, gives the loss's own derivatives, and no sample's hessian is
        smaller than it (times the sample's weight); 0 is what the libraries do for their own
        Huber-like, Fair's and quantile losses (for LightGBM's Huber it is 1). "auto" is

        - where `hessian` is positive wherever boosting goes (squared error, those with a log link,
          log loss, softmax), the loss's own derivatives, with hessians of at least 1e-16;
        - for classification losses whose hessian is smaller, zero or negative (focal, Brier,
          squared hinge), hessians of at least the largest second derivative, at most 1;
        - for regression losses whose gradient falls behind the residual (Huber, pseudo-Huber,
          log-cosh, Fair, Cauchy and other robust ones, smooth quantile), the loss divided by its
          largest second derivative, with hessians of 1. Where the median residual is far out in the
          tails, so that such steps would be too short, the loss is multiplied by what makes them
          long enough;
        - for regression losses without a second derivative (absolute error, quantile,
          epsilon-insensitive, absolute percentage error), hessians of 1 (or relative to their
          median), and gradients multiplied by the median size of the residuals over the gradients'
          root mean square;
        - for losses of a distribution, hessians of at least what the distribution expects, its
          Fisher information (where that has no formula, what keeps the step of a sample within one
          scale, or within 1 of a logarithm); where the location is in the unit of y, the
          derivatives of each head over the mean of its hessians;
        - for worst means (`CVaRLoss`, ...), those of the loss within, gradients times how much more
          than its own share a sample has in the worst distribution, and hessians too where that is
          more than 1 (also where a float is given);
        - for losses of a ranking, the derivatives of their total times what makes hessians 1 on
          average where all raw predictions are equal, with hessians of at least 1e-16.

        With it, targets in any unit train alike, if the loss's parameters (`delta`, `c`, ...) are
        in that unit too. Where they are not, losses of the third kind train as absolute error does,
        but for those whose gradient falls to 0: with a `c` far below the residuals these are flat,
        and no tree can change that. For XGBoost, which makes no split that gains less than 1e-6, a
        regression loss of residuals below .01 is multiplied by what lifts their gains above it:
        there `reg_lambda` and `min_child_weight` count for less.

    Returns
    -------
    objective : callable (CatBoost: an object with `calc_ders_range` and `calc_ders_multi`)
        It can be pickled and cloned. ``objective.start_score(y, sample_weight=None, offset=None)``
        is the best constant; ``objective.start_params(y, sample_weight=None, offset=None,
        eval_set=None, eval_offset=None, classifier=False)`` is the same as the keyword arguments
        that the library takes, for the samples trained on and for those of evaluation sets.
        `min_hessian_` is the least hessian of a sample of weight 1. The objective of a ranking has
        no start: these losses see no number that is added to all raw predictions.

    Raises
    ------
    ValueError
        Where the loss is not a mean over samples, or a parameter holds several values: make one
        objective for each quantile; where the library cannot have the loss.

    Notes
    -----
    All three libraries boost raw predictions, and know neither a start nor a link of an objective
    that they did not bring: ``loss.predict`` turns raw predictions into predictions. ``start`` is
    ``objective.start_params(y)``. Early stopping needs the start of the evaluation sets too:
    ``start = objective.start_params(y, eval_set=[(X_val, y_val)])``. Without it LightGBM measures
    them from 0, where a robust loss may never improve; CatBoost refuses to.

    - XGBoost: ``XGBRegressor(objective=objective, eval_metric=as_metric(loss, "xgboost"),
      **start)``, or ``xgboost.train({**start}, data, obj=objective)``, with
      ``disable_default_eval_metric=1`` where its default metric cannot take several classes; the
      start is part of the model, of its predictions (which are raw) and of its evaluations. Ask
      ``predict(X, output_margin=True)`` of an `XGBClassifier`, which takes
      ``start_params(codes, classifier=True)``. With an `offset` the start goes to `fit`
      (`base_margin`), and ``predict(X, base_margin=start_score + offset, output_margin=True)``
      needs it again. Several classes: the diagonal of the second derivatives is doubled, as in its
      own ``multi:softprob`` (an upper bound of the matrix).
    - LightGBM: ``LGBMRegressor(objective=objective).fit(X, y, eval_set=[(X_val, y_val)],
      eval_metric=as_metric(loss, "lightgbm"), **start)``, or ``Dataset(X, y, init_score=...)`` for
      each set and ``lightgbm.train({"objective": objective}, data, valid_sets=...)``; ``metric=
      "None"`` lets early stopping look at that metric alone. The start is no part of the model: add
      `start_score` (and an `offset`) to ``predict(X, raw_score=True)``. Several classes: the
      diagonal is multiplied by ``n_classes / (n_classes - 1)``, as in its own ``multiclass``.
    - CatBoost: ``CatBoostRegressor(loss_function=objective, eval_metric=as_metric(loss,
      "catboost")).fit(X, y, **start)``, which hands over the evaluation sets as pools; it insists
      on a metric. The start is no part of the model: add it (and an `offset`) to ``predict(X,
      prediction_type="RawFormulaVal")``, or call ``model.set_scale_and_bias(1, start_score)``.
      Several classes: it needs `class_names`, and calls Python for each sample, which is slow; the
      matrix of second derivatives is exact for the losses that take rows of probabilities, and the
      doubled diagonal for others. It calls for 1,000 samples at a time, whose own medians "auto"
      takes.

    Losses of a distribution: with ``num_class=loss.n_heads`` the libraries hand over a raw
    prediction for each head of the one target; ``metric="None"`` in LightGBM, and
    ``disable_default_eval_metric=True`` in XGBoost, turn off metrics that would take classes.
    ``loss.distribution_of(raw)`` makes SciPy's distributions of raw predictions, which are those
    above with a column a head. An `offset` of one number a sample is added to the first head. Head
    after head has a tree of its own each round, or with XGBoost's
    ``multi_strategy="multi_output_tree"`` all have one, whose gains are those of all: standardise y
    for that. A head that is ``"constant"``, such as the power of `TweedieNLL` where it is not
    given, stays one number in XGBoost, which follows the others; LightGBM drops the trees of one
    leaf that this takes, and refuses. Labels of `AFT` are times,
    negative where censored, or in XGBoost a `DMatrix` without a label whose `label_lower_bound` and
    `label_upper_bound` are set.

    Worst means: `GroupRobustLoss` takes the groups from `group`, the sizes of groups that stand one
    after another, of `lightgbm.Dataset` or `DMatrix`; `start_params` from `group_target`. The worst
    samples of today are those that the next trees are for: small learning rates suit them.

    Losses of a ranking: ``LGBMRanker(objective=objective).fit(X, relevance, group=sizes)``, or a
    `Dataset` with a `group`; for XGBoost ``xgboost.train(params, DMatrix(X, relevance, qid=qid),
    obj=objective)``, as its `XGBRanker` takes no objective of others. Both want queries whole, one
    after another.

    A row-wise loss of two classes works in the libraries' classifiers, on one raw prediction a
    sample, the second class's minus the first's; ``start_params(codes, classifier=True)`` is its
    start.

    The libraries' own absolute error, quantile and (LightGBM) absolute percentage error set each
    leaf to a quantile of its residuals after the tree is grown. A custom objective cannot: its
    trees have the same first splits, and leaves that move by the mean gradient.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_losses import as_objective
    >>> objective = as_objective("poisson", "lightgbm")
    >>> objective.start_params([1.0, 3.0], eval_set=[([[0.0]], [2.0])])
    {'init_score': array([0.69314718, 0.69314718]), 'eval_init_score': [array([0.69314718])]}
    >>> gradient, hessian = objective(np.array([1.0, 2.0]), np.array([0.0, 0.0]))
    >>> gradient, hessian
    (array([ 0., -1.], dtype=float32), array([1., 1.], dtype=float32))
    """
    loss = get_loss(loss)
    joint = WORST_CASE_OBJECTIVES if type(loss) in ROBUST_MEANS else JOINT_OBJECTIVES
    return _of(loss, library, OBJECTIVES, joint)(loss, min_hessian)


def as_metric(loss, library, *, raw=True):
    """The mean of a loss as an evaluation metric of XGBoost, LightGBM or CatBoost.

    It works with the scikit-learn API and with the native API of each library. Smaller is better.

    Parameters
    ----------
    loss : str or Loss
        A loss, or a name of `LOSSES`.
    library : {"xgboost", "lightgbm", "catboost"}
    raw : bool, default=True
        Whether the library hands over raw predictions. It does beside an objective of
        `as_objective`; beside an objective of their own, XGBoost and LightGBM hand over
        predictions (``raw=False``), and CatBoost raw ones.

    Returns
    -------
    metric : callable (CatBoost: an object with `evaluate`, `get_final_error`, `is_max_optimal`)
        For ``eval_metric=`` of the scikit-learn API; ``custom_metric=`` of `xgboost.train`,
        ``feval=`` of `lightgbm.train`.

    Notes
    -----
    LightGBM measures its own metric too; ``metric="None"`` turns that off.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_losses import as_metric
    >>> as_metric("mse", "lightgbm")(np.array([1.0, 2.0]), np.array([1.0, 4.0]))
    ('mse', 2.0, False)
    """
    loss = get_loss(loss)
    return _of(loss, library, METRICS, JOINT_METRICS)(loss, raw)


# ------------------------------------------------------------------------------------------ PyTorch


def as_torch(loss, reduction="mean"):
    """A `torch.nn.Module` that runs the loss's compiled kernels on tensors of the CPU or of a CUDA
    device.

    The forward pass evaluates value and gradient at once, on the tensors' own memory; the backward
    pass returns that gradient.

    Parameters
    ----------
    loss : str, Loss, ContrastiveLoss or GANLoss
        A loss, or a name of `LOSSES`; or a loss of pairs, or of a game.
    reduction : {"mean", "sum", "none"}, default="mean"
        "mean" divides by the sum of the weights. A loss of pairs is a mean, and so are those of a
        game.

    Returns
    -------
    module : torch.nn.Module, or of a `GANLoss` two of them
        ``module(raw_prediction, y_true, sample_weight=None)``, in the order of torch's own losses.
        Of a `GANLoss` ``discriminator(real_scores, fake_scores, real_weight=None,
        fake_weight=None)`` and ``generator(fake_scores, fake_weight=None)``.

        - `raw_prediction`, float32 or float64: any shape for a pointwise loss, (n_samples,
          n_classes) for a row-wise one.
        - `y_true`: the same shape; (n_samples,) class codes for a row-wise loss, or rows of
          probabilities where the loss takes them. There is no broadcasting.
        - `sample_weight`, not negative: the shape of the losses, that of `raw_prediction` or
          (n_samples,). A sample of weight 0 counts for nothing in value and gradient, even where
          its loss is infinite or NaN; where all weights are 0, so are value and gradient.

        A second backward pass (``create_graph=True``) works for pointwise losses by their hessian
        and for the cross-entropies of a softmax, and says so where there is none.

        A loss of pairs gives ``module(X, Y, positives=None)``, ``module(X, y)`` or, of a matrix of
        pairs, ``module(X)``, as its own `loss_gradient`: tensors of the CPU, differentiated once,
        with respect to X and Y.

    Raises
    ------
    ImportError
        Where PyTorch is not installed.
    ValueError
        Where the loss is not a mean over samples, or a parameter holds several values: make one
        module for each quantile.

    Examples
    --------
    >>> import torch  # doctest: +SKIP
    >>> from sklearn_losses import HuberLoss, as_torch
    >>> raw = torch.tensor([0.5, 3.0], requires_grad=True)  # doctest: +SKIP
    >>> as_torch(HuberLoss(delta=1.0))(raw, torch.zeros(2)).backward()  # doctest: +SKIP
    >>> raw.grad  # doctest: +SKIP
    tensor([0.2500, 0.5000])
    """
    from sklearn_losses._torch import (
        TorchContrastiveLoss,
        TorchDiscriminatorLoss,
        TorchGeneratorLoss,
        TorchLoss,
    )

    if isinstance(loss, ContrastiveLoss):
        return TorchContrastiveLoss(loss, reduction)
    if isinstance(loss, GANLoss):
        if reduction != "mean":
            raise ValueError(f"reduction must be 'mean' for a GANLoss; got {reduction!r}")
        return TorchDiscriminatorLoss(loss), TorchGeneratorLoss(loss)
    return TorchLoss(one_output(get_loss(loss), "as_torch"), reduction)
