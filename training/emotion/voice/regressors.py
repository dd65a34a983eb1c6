"""Support vector regression on principal components, as scikit-learn has it and as the graph that ships."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from streamsed.errors import BundleError
from training.emotion.features.base import import_package
from training.emotion.svr import Point

Floats = npt.NDArray[np.float64]
# Largest difference between scikit-learn and the graph, of levels in [0, 1].
TOLERANCE = 1e-5


def fit_regressors(
    features: npt.ArrayLike, levels: npt.ArrayLike, points: Sequence[Point], components: int
) -> Any:
    """Return a scikit-learn pipeline: MinMaxScaler, PCA, and one SVR with a kernel of radial basis functions a level.

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
    preprocessing, decomposition, svm, multioutput, pipeline = (
        import_package(f"sklearn.{name}", "support vector regression")
        for name in ("preprocessing", "decomposition", "svm", "multioutput", "pipeline")
    )
    rows, targets = np.asarray(features, np.float64), np.asarray(levels, np.float64)
    scaler = preprocessing.MinMaxScaler().fit(rows)
    scaled = scaler.transform(rows)
    unit = 1.0 / (scaled.shape[1] * max(float(scaled.var()), 1e-12))
    pca = decomposition.PCA(min(components, *rows.shape), svd_solver="full").fit(scaled)
    projected = pca.transform(scaled)
    several = multioutput.MultiOutputRegressor(svm.SVR())
    several.estimators_ = [
        svm.SVR(C=point.cost, epsilon=point.epsilon, gamma=point.gamma_scale * unit).fit(projected, column)
        for point, column in zip(points, targets.T, strict=True)
    ]
    return pipeline.Pipeline([("scale", scaler), ("components", pca), ("regress", several)])


def to_onnx(fitted: Any, features: npt.NDArray[np.float32]) -> bytes:
    """Return the graph (B, D) float32 -> (B, K) of a fitted pipeline.

    Parameters
    ----------
    fitted : sklearn Pipeline
        Of :func:`fit_regressors`.
    features : ndarray, shape (n, D), float32
        Rows that graph and pipeline are compared with, one by one as a stream gives them, and all at once.

    Raises
    ------
    BundleError
        If they differ by more than :data:`TOLERANCE`.
    """
    skl2onnx = import_package("skl2onnx", "the export of regressors")
    types = import_package("skl2onnx.common.data_types", "the export of regressors")
    initial = [("functionals", types.FloatTensorType([None, features.shape[1]]))]
    content: bytes = skl2onnx.convert_sklearn(fitted, initial_types=initial).SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    expected = fitted.predict(features)
    parts = [session.run(None, {"functionals": part})[0] for part in (features, features[:1], features[-1:])]
    rows = [expected, expected[:1], expected[-1:]]
    difference = max(float(np.abs(part - row).max()) for part, row in zip(parts, rows, strict=True))
    if not difference <= TOLERANCE:
        raise BundleError(
            f"graph: expected what scikit-learn predicts within {TOLERANCE:g}, got a difference of {difference:.2g}"
        )
    return content
