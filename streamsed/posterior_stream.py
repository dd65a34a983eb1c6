"""From samples at the model's rate to fused posteriors: front-end, networks and fusion of one stream."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from streamsed.bundle import Manifest
from streamsed.config import LatencyProfile, require
from streamsed.evidence import PosteriorFrames, disagreement, join_frames
from streamsed.front_end_lanes import FrontEndLanes, LaneLogMel
from streamsed.frontend import LogMel, OnlineLogMel, OnlineWaveform
from streamsed.models import (
    ModelStream,
    Network,
    Outputs,
    Steps,
    look_ahead_frames,
    model_stream,
    run_alone,
    side_by_side,
    warm_up_frames,
)
from streamsed.postprocess import fuse
from streamsed.side_encoders import SideEncoder
from streamsed.side_streams import PresenceCallback, SideStreams

Floats = npt.NDArray[np.float32]

# Where Σ w c is below it, nobody is sure: see streamsed.postprocess.fuse.
_LEAST_CONFIDENCE = 1e-6


class PosteriorStream:
    """One endless signal through the front-end and the networks of a bundle.

    All members of an ensemble take part until :meth:`set_members` asks for fewer.

    Parameters
    ----------
    manifest : Manifest
    log_mel : LogMel or None
        Tables of the front-end, shared; None for networks that take samples.
    networks : sequence of Network
        The members, shared.
    profile : LatencyProfile
    with_disagreement : bool
        Whether to compute how much the members differ.
    encoders : sequence of SideEncoder
        Of the side inputs of the bundle, shared.
    lanes : FrontEndLanes, optional
        Where the log-mel frames are computed, together with those of other streams; by default alone on the CPU.

    Attributes
    ----------
    latency_frames : int
        Input frames after its own last one that a posterior waits for, at most.
    """

    def __init__(
        self,
        manifest: Manifest,
        log_mel: LogMel | None,
        networks: Sequence[Network],
        profile: LatencyProfile,
        with_disagreement: bool = False,
        encoders: Sequence[SideEncoder] = (),
        lanes: FrontEndLanes | None = None,
    ) -> None:
        frame_samples, _ = manifest.frame_shape
        self._front_end: OnlineWaveform | OnlineLogMel | LaneLogMel
        if log_mel is None:
            self._front_end = OnlineWaveform(frame_samples)
        else:
            self._front_end = OnlineLogMel(log_mel) if lanes is None else lanes.lane()
        self._sides = SideStreams(encoders, log_mel.config) if log_mel is not None and encoders else None
        self._stride = manifest.time_stride
        weights = manifest.fusion.weights
        self._members = [
            _Member(model_stream(network, manifest, profile), weight)
            for network, weight in zip(networks, weights, strict=True)
        ]
        self._with_disagreement = with_disagreement
        self._posterior_samples = manifest.time_stride * frame_samples
        # Where a windowed member may come back so that its windows end with those of the others.
        self._grid = manifest.streaming.hop_frames or manifest.time_stride
        self._is_windowed = manifest.streaming.kind == "windowed"
        self._warm_up = -(-warm_up_frames(manifest) // manifest.time_stride)
        self.latency_frames = look_ahead_frames(manifest, profile)
        self._frames = 0
        self._since_gap = 0  # input frames since the beginning or the last hole

    @property
    def frames(self) -> int:
        """Posterior frames so far, lost ones counted."""
        return self._frames

    @property
    def members(self) -> int:
        """How many members were asked for last."""
        return sum(member.is_wanted for member in self._members)

    def set_members(self, count: int) -> None:
        """Let so many members take part, those with the largest weights, the first ones among equals.

        One that is left out is fed nothing and keeps its state, as in a gap. When it is wanted again, it begins at
        the next frame where its outputs can fall in with those of the others, and has no say before it has heard
        :func:`~streamsed.models.warm_up_frames` frames.

        Parameters
        ----------
        count : int
            From 1 to the number of networks.
        """
        total = len(self._members)
        require(1 <= count <= total, "members", f"from 1 to {total}", count)
        ranked = sorted(self._members, key=lambda member: -member.weight)
        for rank, member in enumerate(ranked):
            member.is_wanted = rank < count
            member.is_fed &= member.is_wanted

    def process(self, samples: Floats) -> PosteriorFrames:
        """Take samples, shape (n,) float32, any n; return the posterior frames that became final."""
        return run_alone(self.process_steps(samples))

    def process_steps(self, samples: Floats) -> Steps[PosteriorFrames]:
        """As :meth:`process`, for :func:`~streamsed.models.run_together`."""
        if isinstance(self._front_end, LaneLogMel):
            frames = yield from self._front_end.process_steps(samples)
        else:
            frames = self._front_end.process(samples)
        if self._sides is not None:
            frames = self._sides.process(samples, frames)
        return (yield from self._advance(frames))

    def watch_pictures(self, callback: PresenceCallback) -> None:
        """Have ``callback`` called with the times of new input frames and whether they have a picture."""
        assert self._sides is not None  # a model without pictures is not watched
        self._sides.on_presence = callback

    def push_picture(self, features: Floats, time_seconds: float) -> None:
        """Take the embedding, shape (D,), of a picture; see :meth:`SideStreams.push_picture`."""
        assert self._sides is not None  # a model without pictures gets none
        self._sides.push_picture(features, time_seconds)

    def _advance(self, frames: Floats) -> Steps[PosteriorFrames]:
        returning = [member for member in self._members if member.is_wanted and not member.is_fed]
        if not returning:
            return (yield from self._run(frames))
        ahead = -self._since_gap % self._grid
        if ahead > len(frames):
            return (yield from self._run(frames))
        before = yield from self._run(frames[:ahead])
        for member in returning:
            member.return_(0 if self._is_windowed and self._since_gap == 0 else self._warm_up)
        return join_frames([before, (yield from self._run(frames[ahead:]))])

    def _run(self, frames: Floats) -> Steps[PosteriorFrames]:
        self._since_gap += len(frames)
        if len(frames):
            self._note_absence()
        steps = [member.stream.process_steps(frames) for member in self._members if member.is_fed]
        return self._fuse((yield from side_by_side(steps)))

    def gap(self) -> PosteriorFrames:
        """Return what is due before a hole in the signal; call :meth:`resume` after it."""
        return run_alone(self.gap_steps())

    def gap_steps(self) -> Steps[PosteriorFrames]:
        """As :meth:`gap`, for :func:`~streamsed.models.run_together`."""
        if self._sides is None:
            return (yield from self._end())
        before = yield from self._advance(self._sides.end())
        return join_frames([before, (yield from self._end())])

    def _note_absence(self) -> None:
        for member in self._members:
            member.has_missed |= not member.is_fed

    def _end(self, finish: bool = False) -> Steps[PosteriorFrames]:
        self._note_absence()
        fed = [member.stream for member in self._members if member.is_fed]
        steps = [stream.flush_steps() if finish else stream.gap_steps() for stream in fed]
        fused = self._fuse((yield from side_by_side(steps)))
        if self._is_windowed:
            # Behind a hole every windowed member starts anew, so that none lags behind the others.
            for member in self._members:
                member.quiet = 0
        return fused

    def resume(self, frame: int) -> int:
        """Go on after a hole with the first sample of posterior frame ``frame``.

        Returns
        -------
        int
            How many posterior frames were lost.
        """
        self._front_end.skip(frame * self._posterior_samples - self._front_end.position_samples)
        if self._sides is not None:
            self._sides.resume(frame * self._stride)
        lost = frame - self._frames
        self._frames = frame
        self._since_gap = 0
        return lost

    def flush(self) -> PosteriorFrames:
        """Return what is due at the end; afterwards only :meth:`reset` is legal."""
        return run_alone(self.flush_steps())

    def flush_steps(self) -> Steps[PosteriorFrames]:
        """As :meth:`flush`, for :func:`~streamsed.models.run_together`."""
        frames = self._front_end.flush()
        if self._sides is not None:
            # Nothing is left in a front-end whose frames are left-aligned.
            frames = self._sides.end()
        before = yield from self._advance(frames)
        return join_frames([before, (yield from self._end(finish=True))])

    def reset(self) -> None:
        """Become equal to a new stream."""
        self._front_end.reset()
        if self._sides is not None:
            self._sides.reset()
        for member in self._members:
            member.reset()
        self._frames = self._since_gap = 0

    def _fuse(self, outputs: Sequence[Outputs]) -> PosteriorFrames:
        """Fuse what the fed members gave; all rows end with the same frame, those of a returning one begin later."""
        fed = [member for member in self._members if member.is_fed]
        if len(fed) == 1 and fed[0].quiet == 0:
            return self._fuse_rows([(fed[0].weight, outputs[0])])
        rows = max(len(item.posteriors) for item in outputs)
        begins = [
            rows - len(item.posteriors) + member.be_quiet(len(item.posteriors))
            for member, item in zip(fed, outputs, strict=True)
        ]
        if not any(begins):
            return self._fuse_rows([(member.weight, item) for member, item in zip(fed, outputs, strict=True)])
        bounds = sorted({0, rows, *begins})
        parts = []
        for begin, end in zip(bounds, bounds[1:] or [0], strict=False):
            taking_part = [
                (member.weight, _rows(item, rows, begin, end))
                for member, item, first in zip(fed, outputs, begins, strict=True)
                if first <= begin
            ]
            parts.append(self._fuse_rows(taking_part))
        return join_frames(parts)

    def _fuse_rows(self, taking_part: Sequence[tuple[float, Outputs]]) -> PosteriorFrames:
        weights = [weight for weight, _ in taking_part]
        outputs = [item for _, item in taking_part]
        first, rows = self._frames, len(outputs[0].posteriors)
        self._frames += rows
        members = np.empty(rows, np.int64)
        members.fill(len(outputs))
        differs = self._with_disagreement and len(self._members) > 1
        if len(outputs) == 1 or rows == 0:
            same = np.zeros(rows, np.float32) if differs else None
            return PosteriorFrames(first, outputs[0].posteriors, outputs[0].confidence, same, members)
        # np.stack takes three times as long for arrays of this size.
        posteriors = np.concatenate([item.posteriors for item in outputs]).reshape(len(outputs), rows, -1)
        given = [item.confidence for item in outputs if item.confidence is not None]
        confidences = np.concatenate(given).reshape(len(given), rows) if given else None
        fused = fuse(posteriors, confidences, weights)
        return PosteriorFrames(
            first,
            fused,
            None if confidences is None else _mean(confidences, weights),
            disagreement(posteriors, _shares(confidences, weights, rows), fused) if differs else None,
            members,
        )


class _Member:
    """The stream of one network, and whether it takes part."""

    def __init__(self, stream: ModelStream, weight: float) -> None:
        self.stream = stream
        self.weight = weight
        self._begin()

    def _begin(self) -> None:
        self.is_wanted = self.is_fed = True
        self.has_missed = False
        self.quiet = 0  # posteriors to come that have no say

    def reset(self) -> None:
        self.stream.reset()
        self._begin()

    def return_(self, warm_up: int) -> None:
        self.is_fed = True
        if self.has_missed:
            self.stream.rejoin()
            self.has_missed, self.quiet = False, warm_up

    def be_quiet(self, rows: int) -> int:
        """Return how many of so many rows have no say."""
        count = min(self.quiet, rows)
        self.quiet -= count
        return count


def _rows(item: Outputs, rows: int, begin: int, end: int) -> Outputs:
    """Rows ``begin`` to ``end`` of ``rows``, of which ``item`` may have the last ones only."""
    if begin == 0 and end == rows:
        return item
    missing = rows - len(item.posteriors)
    own = slice(begin - missing, end - missing)
    return Outputs(item.posteriors[own], None if item.confidence is None else item.confidence[own])


def _mean(confidences: Floats, weights: Sequence[float]) -> Floats:
    """Σ w_m c_m / Σ w_m, shape (T',); member by member, so that the bits do not depend on T'."""
    weighted = np.asarray(weights, np.float32)[:, np.newaxis] * confidences
    # Not np.sum, whose order depends on the shape.
    total = np.add.accumulate(weighted, axis=0, dtype=np.float64)[-1]
    return np.asarray(total / sum(weights), np.float32)


def _shares(confidences: Floats | None, weights: Sequence[float], rows: int) -> npt.NDArray[np.float64]:
    """Shares of the members in the fused posterior, shape (M, T'), 1 together."""
    plain = np.repeat(np.asarray(weights, np.float64)[:, np.newaxis], rows, axis=1)
    weighted = plain if confidences is None else plain * confidences
    weighted = np.where(weighted.sum(axis=0) < _LEAST_CONFIDENCE, plain, weighted)
    return np.asarray(weighted / weighted.sum(axis=0), np.float64)
