"""Respiratory cycles on the stream: where one ends and the next begins.

Three segmenters with the same methods, all of them chunk invariant: fixed windows (:class:`GridSegmenter`), the
envelope of the breath sounds (:class:`EnvelopeSegmenter`) and, on the boundary posteriors of a network,
:class:`CycleDecoder`. Research software, not a medical device.
"""

from streamsed.segmentation.base import Boundary, Segmenter
from streamsed.segmentation.decoder import CycleDecoder
from streamsed.segmentation.envelope import EnvelopeConfig, EnvelopeSegmenter
from streamsed.segmentation.grid import GridSegmenter

__all__ = ["Boundary", "CycleDecoder", "EnvelopeConfig", "EnvelopeSegmenter", "GridSegmenter", "Segmenter"]
