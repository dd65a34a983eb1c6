"""Support vector regression on principal components, as scikit-learn has it and as the graph that ships."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from streamsed.errors import BundleError
from streamsed.models import load_graph
from training.emotion.features.base import import_package
from training.emotion.svr import Point

Floats = npt.NDArray[np.float64]
# Largest difference between scikit-learn and the graph, of levels in [0, 1].
TOLERANCE = 1e-5


@dataclass(frozen=True)
class Regressors:
    """One support vector regression a level, of the same components of the same scaled features.

    Attributes
    ----------
    scaler, components : sklearn MinMaxScaler, PCA
    each : tuple of K sklearn SVR
        Fitted to the same rows, with a kernel of radial basis functions.
    rows : ndarray, shape (n, C)
        The components that they were fitted to.
    """

    scaler: Any
    components: Any
    each: tuple[Any, ...]
    rows: Floats

    def predict(self, features: npt.ArrayLike) -> Floats:
        """Return what scikit-learn says of features (B, D): levels (B, K)."""
        projected = self.components.transform(self.scaler.transform(np.asarray(features, np.float64)))
        return np.stack([svr.predict(projected) for svr in self.each], axis=1)


def fit_regressors(
    features: npt.ArrayLike, levels: npt.ArrayLike, points: Sequence[Point], components: int
) -> Regressors:
    """Fit to scaled features.

    Parameters
    ----------
    features : array_like, shape (n, D)
    levels : array_like, shape (n, K)
    points : sequence of K Point
        γ is a multiple of 1 / (D σ²) of the scaled features before the components: distances between their first
        principal components are nearly those between themselves.
    components : int
        At most n and D; there are no more.
    """
    preprocessing, decomposition, svm = (
        import_package(f"sklearn.{name}", "support vector regression")
        for name in ("preprocessing", "decomposition", "svm")
    )
    given, targets = np.asarray(features, np.float64), np.asarray(levels, np.float64)
    scaler = preprocessing.MinMaxScaler().fit(given)
    scaled = scaler.transform(given)
    unit = 1.0 / (scaled.shape[1] * max(float(scaled.var()), 1e-12))
    pca = decomposition.PCA(min(components, *given.shape), svd_solver="full").fit(scaled)
    rows = pca.transform(scaled)
    each = tuple(
        svm.SVR(C=point.cost, epsilon=point.epsilon, gamma=point.gamma_scale * unit).fit(rows, column)
        for point, column in zip(points, targets.T, strict=True)
    )
    return Regressors(scaler, pca, each, rows)


def to_onnx(fitted: Regressors, features: npt.NDArray[np.float32]) -> bytes:
    """Return the graph (B, D) float32 -> (B, K).

    skl2onnx would write the support vectors once a level, and sum in single precision, which costs 6e-5 with a thousand
    of them: here they are stored once, and what follows the distances to them is double.

    Parameters
    ----------
    fitted : Regressors
    features : ndarray, shape (n, D), float32
        Rows that graph and scikit-learn are compared with, one by one as a stream gives them, and all at once.

    Raises
    ------
    BundleError
        If they differ by more than :data:`TOLERANCE`.
    """
    content = _graph(fitted)
    graph = load_graph(content, "exported graph")
    parts = [features, features[:1], features[-1:]]
    found = [next(iter(graph.call([part]).values())) for part in parts]
    difference = max(
        float(np.abs(values - fitted.predict(part)).max()) for values, part in zip(found, parts, strict=True)
    )
    if not difference <= TOLERANCE:
        raise BundleError(
            f"graph: expected what scikit-learn predicts within {TOLERANCE:g}, got a difference of {difference:.2g}"
        )
    return content


def _graph(fitted: Regressors) -> bytes:
    onnx = import_package("onnx", "the export of regressors")
    helper, kinds = onnx.helper, onnx.TensorProto
    support, dual = _support(fitted)
    scaler, pca = fitted.scaler, fitted.components
    # (x s + o - m) P = (x - c) (s P) + (c s + o - m) P. Single precision is lost where a feature's range is small
    # beside its values, unless they are centred first, which is exact.
    centre = (0.5 * (scaler.data_min_ + scaler.data_max_)).astype(np.float32)
    matrix = scaler.scale_[:, np.newaxis] * pca.components_.T
    shift = (centre * scaler.scale_ + scaler.min_ - pca.mean_) @ pca.components_.T
    singles = {
        "centre": centre,
        "matrix": matrix,
        "shift": shift,
        "support_t": support.T,
        "squares": (support**2).sum(axis=1),
        "minus_two": np.array(-2.0),
    }
    doubles = {
        **{f"minus_gamma{i}": np.array(-svr.gamma) for i, svr in enumerate(fitted.each)},
        "intercepts": np.concatenate([svr.intercept_ for svr in fitted.each]),
        **{f"dual{i}": column[:, np.newaxis] for i, column in enumerate(dual.T)},
    }
    nodes: list[Any] = []
    initializers = [
        onnx.numpy_helper.from_array(np.asarray(value, dtype), name)
        for dtype, values in ((np.float32, singles), (np.float64, doubles))
        for name, value in values.items()
    ]

    def node(kind: str, inputs: list[str], output: str, **attributes: Any) -> None:
        nodes.append(helper.make_node(kind, inputs, [output], **attributes))

    node("Sub", ["functionals", "centre"], "centred")
    node("MatMul", ["centred", "matrix"], "projected")
    node("Add", ["projected", "shift"], "components")
    node("ReduceSumSquare", ["components"], "own_squares", axes=[1], keepdims=1)
    node("MatMul", ["components", "support_t"], "products")
    node("Mul", ["products", "minus_two"], "twice")
    node("Add", ["twice", "squares"], "partly")
    node("Add", ["partly", "own_squares"], "distances_single")
    node("Cast", ["distances_single"], "distances", to=kinds.DOUBLE)
    for i in range(len(fitted.each)):
        node("Mul", ["distances", f"minus_gamma{i}"], f"exponent{i}")
        node("Exp", [f"exponent{i}"], f"kernel{i}")
        node("MatMul", [f"kernel{i}", f"dual{i}"], f"sum{i}")
    node("Concat", [f"sum{i}" for i in range(len(fitted.each))], "sums", axis=1)
    node("Add", ["sums", "intercepts"], "levels_double")
    node("Cast", ["levels_double"], "levels", to=kinds.FLOAT)
    width = len(fitted.scaler.scale_)
    graph = helper.make_graph(
        nodes,
        "regressors",
        [helper.make_tensor_value_info("functionals", kinds.FLOAT, [None, width])],
        [helper.make_tensor_value_info("levels", kinds.FLOAT, [None, len(fitted.each)])],
        initializers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content


def _support(fitted: Regressors) -> tuple[Floats, Floats]:
    """Return the rows that are support vectors of any level, and their coefficients (n, K)."""
    dual = np.zeros((len(fitted.rows), len(fitted.each)))
    for column, svr in enumerate(fitted.each):
        dual[svr.support_, column] = svr.dual_coef_[0]
    used = dual.any(axis=1)
    return fitted.rows[used], dual[used]
