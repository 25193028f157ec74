"""Fitted estimators elsewhere: as ONNX graphs, and in files of skops. The peers are imported when
they are needed."""

import numpy as np
from scipy import sparse

from sklearn_losses import links
from sklearn_losses._array import to_host
from sklearn_losses._solvers.fit import Model
from sklearn_losses.density_ratio import DensityRatio, KLIEPLoss, LSIFLoss
from sklearn_losses.linear_model import SGDClassifierX, SGDRegressorX
from sklearn_losses.losses import LOSSES, FunctionLoss
from sklearn_losses.optimizers import OPTIMIZERS
from sklearn_losses.penalties import PENALTIES
from sklearn_losses.schedules import SCHEDULES, BatchGrowth, LossSchedule

__all__ = ["register_onnx_converters", "skops_trusted_types"]

# ------------------------------------------------------------------------- an array that is a graph
#
# Links and predictions are written once, over an array namespace. This is a namespace whose
# functions add nodes to a graph: what a link does with its argument is then in the graph.

_FUNCTIONS = {"abs": "Abs", "exp": "Exp", "log": "Log", "sqrt": "Sqrt", "tanh": "Tanh"}
_OPERATORS = {"add": "Add", "sub": "Sub", "mul": "Mul", "truediv": "Div", "pow": "Pow"}
_COMPARISONS = {"lt": "Less", "gt": "Greater", "eq": "Equal"}  # Python swaps their operands itself
# From these versions of ONNX on the axes are an input; before, an attribute.
_AXES_ARE_INPUT = {"ReduceSum": 13, "ReduceMax": 18}


def _refuse(what):
    def method(self, *args, **kwargs):
        raise TypeError(f"a graph cannot hold {what}")

    return method


class _Traced:
    """An array of a graph. Its values are not known."""

    __array_ufunc__ = None  # so that NumPy's functions raise TypeError: they would not be recorded
    __array__ = _refuse("functions of NumPy; take them from array_namespace(raw_prediction)")
    __bool__ = _refuse("decisions by value; where(...) makes them by element")
    __float__ = _refuse("functions of Python's numbers")
    __hash__ = None

    def __init__(self, graph, name, ndim):
        self.graph = graph
        self.name = name
        self.ndim = ndim

    @property
    def dtype(self):
        return self.graph.dtype

    def __array_namespace__(self, api_version=None):
        return self.graph

    def __neg__(self):
        return self.graph.node("Neg", self)


def _method(op, swapped=False):
    def method(self, other):
        return self.graph.node(op, *((other, self) if swapped else (self, other)))

    return method


for _name, _op in (_OPERATORS | _COMPARISONS).items():
    setattr(_Traced, f"__{_name}__", _method(_op))
    if _name in _OPERATORS:
        setattr(_Traced, f"__r{_name}__", _method(_op, swapped=True))


class _Graph:
    """The array namespace of `_Traced`; its functions have the names and the meaning of the array
    API standard.

    Parameters
    ----------
    scope, container : skl2onnx's
    dtype : dtype
        That the graph computes in.
    n_columns : int
        Of its arrays of two dimensions.
    """

    def __init__(self, scope, container, dtype, n_columns):
        self.scope = scope
        self.container = container
        self.dtype = dtype
        self.n_columns = n_columns

    def __getattr__(self, name):
        if name not in _FUNCTIONS:
            raise AttributeError(f"a graph has no function {name!r}")
        return lambda x: self.node(_FUNCTIONS[name], x)

    def constant(self, values, dtype=None):
        """An array of known values; text, or numbers of the graph's dtype if none is given."""
        from onnx import TensorProto, helper

        values = np.asarray(values, dtype=dtype or self.dtype)
        text = values.dtype.kind == "U"
        name = self.scope.get_unique_variable_name("constant")
        self.container.add_initializer(
            name,
            TensorProto.STRING if text else helper.np_dtype_to_tensor_dtype(values.dtype),
            values.shape,
            [v.encode() if text else v for v in values.ravel().tolist()],
        )
        return _Traced(self, name, values.ndim)

    def node(self, op, *inputs, ndim=None, output=None, n_outputs=1, **attributes):
        """The first output of a new node.

        Parameters
        ----------
        op : str
        *inputs : _Traced, number or ndarray
        ndim : int or None, default=None
            Of the output; None: as after broadcasting.
        output : skl2onnx's variable or None, default=None
            Of the whole graph, that the node's output is.
        n_outputs : int, default=1
        **attributes
        """
        inputs = [x if isinstance(x, _Traced) else self.constant(x) for x in inputs]
        names = [self.scope.get_unique_variable_name(op.lower()) for _ in range(n_outputs)]
        if output is not None:
            names[0] = output.full_name
        self.container.add_node(
            op,
            [x.name for x in inputs],
            names,
            name=self.scope.get_unique_operator_name(op),
            **attributes,
        )
        return _Traced(self, names[0], max(x.ndim for x in inputs) if ndim is None else ndim)

    def asarray(self, x, dtype=None):
        return x if isinstance(x, _Traced) else self.constant(x, dtype)

    def ones_like(self, x):
        return self.where(x == x, 1.0, 1.0)

    def where(self, condition, x, y):
        return self.node("Where", condition, x, y)

    def clip(self, x, min=None, max=None):
        x = x if min is None else self.node("Max", x, min)
        return x if max is None else self.node("Min", x, max)

    def expm1(self, x):
        # exp(x) - 1 = 2 tanh(x / 2) / (1 - tanh(x / 2)), where the left side cancels.
        t = self.tanh(x / 2)
        return self.where(self.abs(x) < 0.5, 2 * t / (1 - t), self.exp(x) - 1)

    def log1p(self, x):
        # What 1 + x rounds off is a factor that its logarithm has as well (Kahan).
        u = 1 + x
        same = u == 1
        return self.where(same, x, self.log(u) * (x / self.where(same, 1.0, u - 1)))

    def _reduce(self, op, x, axis, keepdims):
        options = {"keepdims": int(keepdims), "ndim": x.ndim if keepdims else x.ndim - 1}
        if self.container.target_opset < _AXES_ARE_INPUT[op]:
            return self.node(op, x, axes=[axis], **options)
        return self.node(op, x, self.constant([axis], np.int64), **options)

    def sum(self, x, axis, keepdims=False):
        return self._reduce("ReduceSum", x, axis, keepdims)

    def max(self, x, axis, keepdims=False):
        return self._reduce("ReduceMax", x, axis, keepdims)

    def reshape(self, x, shape, output=None):
        sizes = self.constant(shape, np.int64)
        return self.node("Reshape", x, sizes, ndim=len(shape), output=output)

    def stack(self, arrays, axis):
        if axis != 1 or any(x.ndim != 1 for x in arrays):
            raise TypeError("a graph stacks arrays of one dimension alone, as columns")
        columns = [self.reshape(x, (-1, 1)) for x in arrays]
        return self.node("Concat", *columns, axis=axis)

    def sort(self, x, axis):
        k = self.constant([self.n_columns], np.int64)
        return self.node("TopK", x, k, axis=axis, largest=0, n_outputs=2)

    def take(self, x, indices, axis=0, ndim=None, output=None):
        if not isinstance(indices, _Traced):
            indices = self.constant(indices, np.int64)
        return self.node("Gather", x, indices, axis=axis, ndim=ndim, output=output)

    def astype(self, x, dtype, output=None):
        from onnx import helper

        to = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        return self.node("Cast", x, to=to, output=output)


# ----------------------------------------------------------------------------------------- skl2onnx


def _trace(scope, operator, container):
    """The graph of a fitted estimator, and its raw predictions, of one dimension if of one
    output."""
    from skl2onnx.common.data_types import FloatTensorType

    model, [X] = operator.raw_operator, operator.inputs
    coef, intercept = to_host((model.coef_, model.intercept_))
    coef = coef.toarray() if sparse.issparse(coef) else np.atleast_2d(coef)
    # What `predict` computes in.
    of_x = np.float32 if isinstance(X.type, FloatTensorType) else np.float64
    graph = _Graph(scope, container, np.result_type(of_x, coef.dtype), len(coef))
    X = graph.astype(_Traced(graph, X.full_name, 2), graph.dtype)
    raw = graph.node("MatMul", X, coef.T) + intercept
    return graph, graph.reshape(raw, (-1,)) if len(coef) == 1 else raw


def _record(model, method, raw):
    """What `method` makes of raw predictions, or an error that says which loss has no graph."""
    try:
        made = method(raw)
        if not isinstance(made, _Traced):
            raise TypeError(f"it returns {type(made).__name__}, not what its functions gave it")
    except (AttributeError, TypeError) as error:
        raise NotImplementedError(
            f"{model.loss_!r} has no ONNX form: its link {model.loss_.link!r} must be made of "
            f"arithmetic and the functions where, clip, sum, max, expm1, log1p, "
            f"{', '.join(_FUNCTIONS)} of array_namespace(raw_prediction); {error}"
        ) from error
    return made


def _dtype_of(variable):
    from skl2onnx.common.data_types import guess_numpy_type

    return guess_numpy_type(variable.type)


def _convert_regressor(scope, operator, container):
    graph, raw = _trace(scope, operator, container)
    y_pred = _record(operator.raw_operator, operator.raw_operator._prediction_of, raw)
    [output] = operator.outputs
    y_pred = graph.astype(y_pred, _dtype_of(output))
    graph.reshape(y_pred, (-1, graph.n_columns), output=output)


def _labels(scope, model):
    """The classes as ONNX has them: text or int64."""
    from skl2onnx.common.utils_classifier import get_label_classes

    classes = np.asarray(get_label_classes(scope, model))
    if classes.dtype.kind in "OU":
        return classes.astype(str)
    if not np.array_equal(classes, classes.astype(np.int64)):
        raise ValueError(f"classes must be integers or strings in ONNX; got {classes!r}")
    return classes.astype(np.int64)


def _convert_classifier(scope, operator, container):
    model = operator.raw_operator
    graph, raw = _trace(scope, operator, container)
    label, scores = operator.outputs
    if model._multilabel:
        graph.astype(raw > 0, np.int64, output=label)
    else:
        code = (
            graph.astype(raw > 0, np.int64)
            if raw.ndim == 1
            else graph.node("ArgMax", raw, axis=1, keepdims=0, ndim=1)
        )
        classes = _labels(scope, model)
        graph.take(graph.constant(classes, classes.dtype), code, output=label)
    raw_scores = container.get_options(model, {"raw_scores": False})["raw_scores"]
    if hasattr(model, "predict_proba") and not raw_scores:
        values = _record(model, model._proba_of, raw)
    else:
        values = graph.stack([-raw, raw], axis=1) if raw.ndim == 1 else raw
    graph.astype(values, _dtype_of(scores), output=scores)


def _classifier_shapes(operator):
    from skl2onnx.common.shape_calculator import calculate_linear_classifier_output_shapes

    calculate_linear_classifier_output_shapes(operator)
    if operator.raw_operator._multilabel:
        label, scores = operator.outputs
        label.type.shape = list(scores.type.shape)


def register_onnx_converters():
    """Teach skl2onnx to convert fitted `SGDRegressorX` and `SGDClassifierX`.

    Call it once in a session; again does no harm. ``skl2onnx.to_onnx(model, X[:1])`` then converts
    them, alone, in pipelines and in searches. The graph computes what `predict` and `predict_proba`
    compute, without offset:

    - A regressor has one output, of shape (n_samples, n_outputs): the predictions, through the
      loss's inverse link, sorted where `non_crossing` is set.
    - A classifier has two: the label, of shape (n_samples,), or (n_samples, n_classes) where a
      sample may have several; and the probabilities, of shape (n_samples, n_classes). Where the
      loss gives none, raw predictions stand in their place, as in skl2onnx's own converter of
      `SGDClassifier`; two classes have two columns, of which the first is minus the second.

    The graph takes float32, float64, int64 or bool, and returns float64 for float64, else float32.
    It computes in the type that `predict` computes in, which is float64 where the weights are.

    Classifiers have skl2onnx's options ``zipmap`` (True, False, "columns"), ``nocl``,
    ``output_class_labels`` and ``raw_scores``. Its default ``zipmap=True`` is for float32 alone;
    with float64 pass ``options={"zipmap": False}``.

    Raises
    ------
    ImportError
        Where skl2onnx is not installed.

    Notes
    -----
    A link of your own is recorded while it works on the graph's arrays, so it is converted where it
    takes its functions from `sklearn_losses.links.array_namespace`, and uses those alone that a
    graph has. `to_onnx` raises NotImplementedError for any other. Labels must be strings or
    integers. A subclass of an estimator is not converted as its base class is.

    Examples
    --------
    >>> import numpy as np
    >>> from skl2onnx import to_onnx  # doctest: +SKIP
    >>> from sklearn_losses import SGDRegressorX, register_onnx_converters
    >>> register_onnx_converters()  # doctest: +SKIP
    >>> model = SGDRegressorX("poisson").fit([[0.0], [1.0], [2.0]], [1.0, 2.0, 4.0])
    >>> graph = to_onnx(model, np.array([[1.0]]))  # doctest: +SKIP
    """
    try:
        from skl2onnx import update_registered_converter
        from skl2onnx.common.shape_calculator import calculate_linear_regressor_output_shapes
    except ImportError as error:
        raise ImportError(
            "register_onnx_converters needs skl2onnx: pip install 'sklearn-losses[integrations]'"
        ) from error
    update_registered_converter(
        SGDRegressorX,
        "SklearnLossesSGDRegressorX",
        calculate_linear_regressor_output_shapes,
        _convert_regressor,
    )
    update_registered_converter(
        SGDClassifierX,
        "SklearnLossesSGDClassifierX",
        _classifier_shapes,
        _convert_classifier,
        options={
            "zipmap": [True, False, "columns"],
            "nocl": [True, False],
            "output_class_labels": [False, True],
            "raw_scores": [True, False],
        },
    )


# -------------------------------------------------------------------------------------------- skops


def skops_trusted_types():
    """The types of this package that a file of skops may hold.

    skops loads scikit-learn's and NumPy's types, and those that it is told to trust. These are the
    estimators, and what they hold: losses, links, optimizers, penalties, schedules, and the state
    that ``warm_start="resume"`` goes on from. None of them runs code that comes with the file.

    `CompiledLoss` is not among them: it holds addresses of functions, which no file can vouch for.
    A `FunctionLoss` is, but its functions are not: skops asks for each by its name. mlflow takes
    the list too, as `skops_trusted_types` of ``mlflow.sklearn.log_model``.

    Returns
    -------
    types : list of str

    Examples
    --------
    >>> import skops.io  # doctest: +SKIP
    >>> from sklearn_losses import SGDRegressorX, skops_trusted_types
    >>> model = SGDRegressorX("huber").fit([[0.0], [1.0], [2.0]], [0.0, 1.0, 2.0])
    >>> skops.io.dump(model, "model.skops")  # doctest: +SKIP
    >>> skops.io.load("model.skops", trusted=skops_trusted_types())  # doctest: +SKIP
    SGDRegressorX(loss='huber')
    """
    types = [
        SGDRegressorX,
        SGDClassifierX,
        *LOSSES.values(),
        FunctionLoss,
        *(getattr(links, name) for name in links.__all__),
        *OPTIMIZERS.values(),
        *PENALTIES.values(),
        *SCHEDULES.values(),
        BatchGrowth,
        LossSchedule,
        Model,
        DensityRatio,
        KLIEPLoss,
        LSIFLoss,
        type(LSIFLoss.link),
    ]
    return sorted(f"{cls.__module__}.{cls.__qualname__}" for cls in types)
