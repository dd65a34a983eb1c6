"""Events of whole clips, by the post-processing that ships."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from streamsed.postprocess import PostChain
from training.labelled import Events


def decode(chain: PostChain, posteriors: npt.NDArray[np.float32]) -> Events:
    """Return the events of a clip.

    Parameters
    ----------
    chain : PostChain
        Begins anew.
    posteriors : ndarray, shape (T', K)

    Returns
    -------
    list of (onset, offset, label)
        In seconds.
    """
    chain.reset()
    decisions = [*chain.process(posteriors), *chain.flush()]
    return [
        (item.onset, item.offset, item.label)
        for item in decisions
        if item.kind == "event" and item.offset is not None
    ]
