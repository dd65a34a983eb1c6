"""Which of several settings a label gets."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def choose(scores: npt.NDArray[np.float64], shared_weight: float) -> list[int]:
    """Return the number of the best setting of every label.

    Parameters
    ----------
    scores : ndarray, shape (settings, K)
        Best is the highest mixture of the label's own score and the mean over all labels, the first one among equals.
    shared_weight : float
        Of the latter, in [0, 1].
    """
    mixed = (1.0 - shared_weight) * scores + shared_weight * scores.mean(axis=1, keepdims=True)
    return [int(number) for number in mixed.argmax(axis=0)]
