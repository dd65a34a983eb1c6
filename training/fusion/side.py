"""What a scene has beside its log-mels."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Side(NamedTuple):
    """Embeddings of sound or pictures, or with a leading axis B a batch of them.

    Attributes
    ----------
    features : Tensor, shape (T', D), float32
        What is known at each posterior frame.
    present : Tensor, shape (T',), float32
        1 where there are any, 0 where not.
    """

    features: Tensor
    present: Tensor
