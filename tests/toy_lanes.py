"""A network that counts, and lanes that need it, for tests of how runs are shared."""

from __future__ import annotations

import numpy as np

from streamsed.errors import BundleError
from streamsed.models.base import Outputs
from streamsed.models.steps import NetworkCall


class Adder:
    """A network that adds its input to its state, and counts how often it was run with how many lanes."""

    device = "cpu"

    def __init__(self, takes_lanes=True, poison=None):
        self.takes_lanes = takes_lanes
        self.poison = poison
        self.batches = []

    def run(self, frames, state):
        self.batches.append(len(frames))
        if self.poison is not None and (frames == self.poison).any():
            raise BundleError(f"poison: {self.poison}")
        total = state[0] + frames.sum(axis=1)
        return Outputs(np.repeat(total[:, np.newaxis], frames.shape[1], axis=1), None), (total,)


def lane(network, values):
    """Feed ``values`` one by one; return the last output."""
    state = (np.zeros((1, 1), np.float32),)
    last = None
    for value in values:
        (answer,) = yield (NetworkCall(network, np.full((1, 1, 1), value, np.float32), state),)
        state, last = answer.state, answer.outputs.posteriors[0, -1, 0]
    return last
