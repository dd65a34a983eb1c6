"""What the ensemble says about one respiratory cycle."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from streamsed.bundle import CycleBundle
from streamsed.config import require
from streamsed.cycles import CycleFeatures
from streamsed.errors import BundleError
from streamsed.models import Network
from streamsed.postprocess import fuse

Floats = npt.NDArray[np.float32]


class CycleClassifier:
    """The networks of a bundle on whole cycles; const, and safe to share between threads.

    Posteriors are the mean over the chunks of a cycle and the weighted mean over the networks.

    Parameters
    ----------
    bundle : CycleBundle
    networks : sequence of Network
        Those of ``bundle.classifier``.

    Attributes
    ----------
    labels : tuple of str
    member_count : int

    Raises
    ------
    BundleError
        If the networks do not take the chunks that the bundle's preparation makes.
    """

    def __init__(self, bundle: CycleBundle, networks: Sequence[Network]) -> None:
        assert bundle.classifier.front_end is not None  # the manifest saw to it
        self.labels = bundle.labels
        self.member_count = len(networks)
        self._features = CycleFeatures(bundle.classifier.front_end, bundle.cycles.preparation)
        expected, found = self._features.chunk_frames, bundle.classifier.time_stride
        if expected != found:
            raise BundleError(
                f"bundle {bundle.path}: classifier.time_stride: expected {expected}, the frames of a chunk "
                f"by cycles.preparation, got {found}"
            )
        weights = bundle.classifier.fusion.weights
        # Those with the largest weights first, the first ones among equals.
        ranked = sorted(zip(weights, networks, strict=True), key=lambda item: -item[0])
        self._networks = [network for _, network in ranked]
        self._weights = [weight for weight, _ in ranked]

    def __call__(self, samples: Floats, members: int | None = None) -> Floats:
        """Classify a cycle.

        Parameters
        ----------
        samples : ndarray, shape (n,), float32
            The whole cycle at the model's rate, n >= 1.
        members : int, optional
            How many networks take part, those with the largest weights; all by default.

        Returns
        -------
        ndarray, shape (K,), float32
            Posteriors, in the order of ``labels``.

        Raises
        ------
        ConfigError
            Samples that cannot be used, or another number of members than there are.
        """
        count = self.member_count if members is None else members
        require(1 <= count <= self.member_count, "members", f"from 1 to {self.member_count}", count)
        chunks = self._features(samples)
        outputs = [network.run(chunks, ())[0].posteriors[:, 0] for network in self._networks[:count]]
        fused = outputs[0] if count == 1 else fuse(np.stack(outputs), None, self._weights[:count])
        return np.asarray(fused.mean(axis=0, dtype=np.float64), np.float32)
