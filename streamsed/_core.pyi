"""
Compiled core of streamsed: ring buffer, log-mel front-end, median filter, fusion, event decoder
"""
from __future__ import annotations
import collections.abc
import numpy
import numpy.typing
import typing
__all__: list[str] = ['CaptureContext', 'ClipPooling', 'EventDecoder', 'FusionLanes', 'LogMel', 'LogMelLanes', 'MedianLanes', 'OnlineBinaryMedian', 'OnlineLogMel', 'OnlineMedianFilter', 'PolyphaseTaps', 'PostChain', 'Resampler', 'RingBuffer', 'SignalMonitor', 'active_isa', 'cuda_build', 'cuda_describe', 'cuda_device_count', 'force_isa', 'fuse', 'median_filter', 'require_cuda']
class RingBuffer:
    """
    Lock-free ring of float32 audio between one writer and one reader; drops the oldest and says what (docs/capture.md).
    """
    def __init__(self, capacity_frames: typing.SupportsInt | typing.SupportsIndex, channels: typing.SupportsInt | typing.SupportsIndex, start_position: typing.SupportsInt | typing.SupportsIndex = 0) -> None:
        ...
    def close(self) -> None:
        """
        End of stream: wakes the reader; what is stored can still be read.
        """
    def read(self, max_frames: typing.SupportsInt | typing.SupportsIndex, timeout_seconds: typing.SupportsFloat | typing.SupportsIndex, min_frames: typing.SupportsInt | typing.SupportsIndex = 1) -> tuple[int, numpy.typing.NDArray[numpy.float32], int]:
        """
        Wait for min_frames, the end or the time-out; return (start_position, float32 (n, channels), missing_frames).
        """
    def write(self, samples: typing.Any) -> None:
        """
        Store float samples (n,) or (n, channels). Never waits. StateError once closed.
        """
    @property
    def available_frames(self) -> int:
        """
        Frames that can be read now.
        """
    @property
    def capacity_frames(self) -> int:
        """
        Frames that fit.
        """
    @property
    def channels(self) -> int:
        """
        Samples in a frame.
        """
    @property
    def closed(self) -> bool:
        """
        Whether close() has been called.
        """
    @property
    def dropped_frames(self) -> int:
        """
        Frames lost so far, those included that the reader has yet to be told of.
        """
    @property
    def read_position(self) -> int:
        """
        Position of the next frame to read.
        """
    @property
    def write_position(self) -> int:
        """
        Position behind the newest frame.
        """
class CaptureContext:
    """
    userData and counters of the C capture callback (docs/capture.md); keep it until the stream is closed.
    """
    def __init__(self, ring: RingBuffer) -> None:
        ...
    @property
    def callback_address(self) -> int:
        """
        Address of a C function with PortAudio's PaStreamCallback signature.
        """
    @property
    def callbacks(self) -> int:
        """
        Calls so far.
        """
    @property
    def empty_blocks(self) -> int:
        """
        Calls without an input buffer.
        """
    @property
    def frames_captured(self) -> int:
        """
        Frames written to the ring so far.
        """
    @property
    def last_adc_time(self) -> float:
        """
        inputBufferAdcTime of the newest call, seconds on PortAudio's clock.
        """
    @property
    def last_callback_monotonic_ns(self) -> int:
        """
        time.monotonic_ns() of the newest call, 0 before the first.
        """
    @property
    def overflow_flags(self) -> int:
        """
        Calls that carried paInputOverflow.
        """
    @property
    def ring(self) -> RingBuffer:
        """
        The ring that it fills.
        """
    @property
    def user_data_address(self) -> int:
        """
        Address to pass as its userData.
        """
class LogMel:
    """
    Plan of one log-mel front-end; const, shared by streams.
    """
    def __call__(self, samples: numpy.ndarray) -> numpy.typing.NDArray[numpy.float32]:
        """
        Log-mel (T, n_mels) float32 of samples (n,).
        """
    def __init__(self, *, sample_rate: typing.SupportsInt | typing.SupportsIndex, n_fft: typing.SupportsInt | typing.SupportsIndex, window_length: typing.SupportsInt | typing.SupportsIndex, hop_length: typing.SupportsInt | typing.SupportsIndex, n_mels: typing.SupportsInt | typing.SupportsIndex, f_min: typing.SupportsFloat | typing.SupportsIndex, f_max: typing.SupportsFloat | typing.SupportsIndex | None, warp_factor: typing.SupportsFloat | typing.SupportsIndex, warp_high_hz: typing.SupportsFloat | typing.SupportsIndex | None, window: str, periodic: bool, mel_scale: str, area_norm: bool, spectrum: str, log: str, floor: typing.SupportsFloat | typing.SupportsIndex, clamp_min: typing.SupportsFloat | typing.SupportsIndex | None, clamp_max: typing.SupportsFloat | typing.SupportsIndex | None, normalisation: str, mean: collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex], std: collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex], running_seconds: typing.SupportsFloat | typing.SupportsIndex, center: bool, precision: str) -> None:
        ...
    def frame_count(self, samples: typing.SupportsInt | typing.SupportsIndex) -> int:
        """
        Number of frames that so many samples give.
        """
    @property
    def empty_bands(self) -> list[int]:
        """
        Bands that no FFT bin falls into.
        """
    @property
    def isa(self) -> str:
        """
        Instruction set of its kernels.
        """
class OnlineLogMel:
    """
    State of one stream of log-mel frames; one owner.
    """
    def __init__(self, log_mel: LogMel) -> None:
        ...
    def flush(self) -> numpy.typing.NDArray[numpy.float32]:
        """
        End the stream; an unfinished frame is no frame, so (0, n_mels). Then only reset() is legal.
        """
    def process(self, samples: numpy.ndarray) -> numpy.typing.NDArray[numpy.float32]:
        """
        Frames (t, n_mels) float32 that these samples (n,) complete; any n, 0 included.
        """
    def reset(self) -> None:
        """
        Back to a new stream.
        """
    def skip(self, missing_samples: typing.SupportsInt | typing.SupportsIndex) -> int:
        """
        Advance the clock over lost audio; returns the number of frames that do not exist.
        """
    @property
    def latency_samples(self) -> int:
        """
        Samples after a frame's first one before it is known.
        """
    @property
    def position_frames(self) -> int:
        """
        Number of the next frame.
        """
    @property
    def position_samples(self) -> int:
        """
        Samples taken in, lost ones counted.
        """
class LogMelLanes:
    """
    Many streams of log-mel frames; see streamsed.lanes.LogMelLanes.
    """
    def __init__(self, log_mel: LogMel, lanes: typing.SupportsInt | typing.SupportsIndex, provider: str) -> None:
        ...
    def flush(self, lane: typing.SupportsInt | typing.SupportsIndex) -> None:
        """
        End a lane's stream; then only reset() is legal.
        """
    def position_frames(self, lane: typing.SupportsInt | typing.SupportsIndex) -> int:
        """
        Number of the lane's next frame.
        """
    def position_samples(self, lane: typing.SupportsInt | typing.SupportsIndex) -> int:
        """
        Samples taken in, lost ones counted.
        """
    def process(self, samples: typing.Any, lanes: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex] | None = None, lengths: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex] | None = None, out: typing.Any = None) -> tuple[list, list[tuple[int, str]]]:
        """
        Return the frames of each chunk (or with `out` how many there are), and [(chunk, complaint)].
        """
    def reset(self, lanes: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex] | None = None) -> None:
        """
        Lanes back to new streams; all of them by default.
        """
    def skip(self, lane: typing.SupportsInt | typing.SupportsIndex, missing_samples: typing.SupportsInt | typing.SupportsIndex) -> int:
        """
        Advance a lane's clock over lost audio; returns the number of frames that do not exist.
        """
    @property
    def lanes(self) -> int:
        """
        How many there are.
        """
    @property
    def latency_samples(self) -> int:
        """
        Samples after a frame's first one before it is known.
        """
class OnlineMedianFilter:
    """
    Running median along time, one odd width per class, of a stream of posteriors (T, K).
    
    Rows come out complete, `latency_frames` after they came in: half of the widest window. mode: reflect, mirror, nearest or constant, as in scipy.ndimage.median_filter.
    """
    def __init__(self, n_classes: typing.SupportsInt | typing.SupportsIndex, widths: typing.Any, mode: str = 'reflect', cval: typing.SupportsFloat | typing.SupportsIndex = 0.0) -> None:
        ...
    def flush(self) -> numpy.typing.NDArray[numpy.float32]:
        """
        Return the last rows, continued by `mode`; afterwards only reset() is legal.
        """
    def process(self, posteriors: typing.Any) -> numpy.typing.NDArray[numpy.float32]:
        """
        Take (T, K) float in; return the new rows as float32.
        """
    def reset(self) -> None:
        """
        Become equal to a new object.
        """
    @property
    def latency_frames(self) -> int:
        """
        Frames that a row waits for.
        """
    @property
    def n_classes(self) -> int:
        """
        Columns.
        """
    @property
    def widths(self) -> tuple:
        """
        Window of each class in frames.
        """
class OnlineBinaryMedian:
    """
    Running median of a stream of bool (T, K) that decides as soon as a majority is certain.
    
    A row comes out when all its classes are decided, `latency_frames` after it came in at the latest. Same values as OnlineMedianFilter.
    """
    def __init__(self, n_classes: typing.SupportsInt | typing.SupportsIndex, widths: typing.Any, mode: str = 'reflect', cval: bool = False) -> None:
        ...
    def flush(self) -> numpy.typing.NDArray[numpy.bool]:
        """
        Return the last rows, continued by `mode`; afterwards only reset() is legal.
        """
    def process(self, active: typing.Any) -> numpy.typing.NDArray[numpy.bool]:
        """
        Take (T, K) bool in; return the rows decided by them.
        """
    def reset(self) -> None:
        """
        Become equal to a new object.
        """
    @property
    def latency_frames(self) -> int:
        """
        Frames that a row waits for at most.
        """
    @property
    def n_classes(self) -> int:
        """
        Columns.
        """
    @property
    def widths(self) -> tuple:
        """
        Window of each class in frames.
        """
class EventDecoder:
    """
    Event decoder counting frames; see streamsed.postprocess.EventDecoder.
    """
    def __init__(self, threshold_on: collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex], threshold_off: collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex], min_duration: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], min_gap: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], half_step: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex] = [], merge_absolute: collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex] = [], merge_relative: collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex] = []) -> None:
        ...
    def flush(self) -> list[tuple[int, int, int, int, int, float, float, bool, bool, int]]:
        """
        Close everything; afterwards only reset() is legal.
        """
    def gap(self, frames: typing.SupportsInt | typing.SupportsIndex) -> list[tuple[int, int, int, int, int, float, float, bool, bool, int]]:
        """
        Account for lost frames.
        """
    def process(self, posteriors: typing.Any) -> list[tuple[int, int, int, int, int, float, float, bool, bool, int]]:
        """
        Return [(kind, number, class, onset, offset, confidence, uncertainty, spans_gap, truncated, decided)]: kind 0 onset, 1 retract, 2 event; frames.
        """
    def reset(self) -> None:
        """
        Become equal to a new object.
        """
class PostChain:
    """
    Median and decoder composed, counting frames; see streamsed.postprocess.PostChain.
    """
    def __init__(self, widths: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], threshold_on: collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex], threshold_off: collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex], min_duration: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], min_gap: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], half_step: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex] = [], merge_absolute: collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex] = [], merge_relative: collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex] = []) -> None:
        ...
    def flush(self) -> list[tuple[int, int, int, int, int, float, float, bool, bool, int]]:
        """
        Close everything; afterwards only reset() is legal.
        """
    def gap(self, frames: typing.SupportsInt | typing.SupportsIndex) -> list[tuple[int, int, int, int, int, float, float, bool, bool, int]]:
        """
        Account for lost frames.
        """
    def process(self, posteriors: typing.Any) -> list[tuple[int, int, int, int, int, float, float, bool, bool, int]]:
        """
        Return [(kind, number, class, onset, offset, confidence, uncertainty, spans_gap, truncated, decided)]: kind 0 onset, 1 retract, 2 event; frames.
        """
    def process_members(self, posteriors: typing.Any, confidences: typing.Any, weights: typing.Any) -> list[tuple[int, int, int, int, int, float, float, bool, bool, int]]:
        """
        Fuse, then process.
        """
    def reset(self) -> None:
        """
        Become equal to a new object.
        """
    @property
    def latency_frames(self) -> int:
        """
        Frames that a smoothed row waits for.
        """
class MedianLanes:
    """
    Running medians of many streams; see streamsed.lanes.MedianLanes.
    """
    def __init__(self, widths: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], mode: str, cval: typing.SupportsFloat | typing.SupportsIndex, lanes: typing.SupportsInt | typing.SupportsIndex, provider: str) -> None:
        ...
    def flush(self, lanes: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex] | None = None, out: typing.Any = None) -> list:
        """
        Return the last rows of these lanes; afterwards they can only be reset.
        """
    def process(self, posteriors: typing.Any, lanes: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex] | None = None, lengths: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex] | None = None, out: typing.Any = None) -> tuple[list, list[tuple[int, str]]]:
        """
        Return the new rows of each chunk (or with `out` how many there are), and [(chunk, complaint)].
        """
    def reset(self, lanes: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex] | None = None) -> None:
        """
        Lanes back to new streams; all of them by default.
        """
    @property
    def lanes(self) -> int:
        """
        How many there are.
        """
    @property
    def latency_frames(self) -> int:
        """
        Frames that a row waits for.
        """
    @property
    def n_classes(self) -> int:
        """
        Columns.
        """
    @property
    def widths(self) -> tuple:
        """
        Window of each class in frames.
        """
class FusionLanes:
    """
    Fused ensembles of many streams; see streamsed.lanes.FusionLanes.
    """
    def __init__(self, provider: str) -> None:
        ...
    def process(self, posteriors: typing.Any, confidences: typing.Any = None, weights: typing.Any = None, lengths: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex] | None = None, out: typing.Any = None) -> tuple[list, list[tuple[int, str]]]:
        """
        Return the fused rows of each lane (or with `out` how many there are), and [(lane, complaint)].
        """
class SignalMonitor:
    """
    What is wrong with one signal, step by step; see streamsed.health.SignalMonitor.
    """
    CLIPPING_LEVEL: typing.ClassVar[float] = 0.999
    CLIPPING_SAMPLES: typing.ClassVar[int] = 3
    MAX_LEVEL: typing.ClassVar[float] = 1000000.0
    def __init__(self, sample_rate: typing.SupportsInt | typing.SupportsIndex) -> None:
        ...
    def gap(self) -> None:
        """
        Begin anew after lost audio: zeros before and after it are not one silence.
        """
    def process(self, samples: typing.Any, position: typing.SupportsInt | typing.SupportsIndex) -> tuple[numpy.typing.NDArray[numpy.float32], list[tuple[int, int]]]:
        """
        Look at a step (n, channels), n > 0, whose first frame has this number. Return it, or a copy with 0 for what cannot be used, and [(condition, position)]: 0 non_finite, 1 clipping, 2 digital_silence, 3 dc.
        """
    @property
    def non_finite_samples(self) -> int:
        """
        How many values were replaced so far.
        """
class PolyphaseTaps:
    """
    Taps of a polyphase filter, shared by streams.
    """
    def __init__(self, table: typing.Any, down: typing.SupportsInt | typing.SupportsIndex) -> None:
        """
        Rows of a float array (up, 2·half): row r is for an output r / up after an input. Without columns everything passes through.
        """
class Resampler:
    """
    Resamples one channel; see streamsed.sources.Resampler.
    """
    def __init__(self, taps: PolyphaseTaps) -> None:
        ...
    def flush(self) -> numpy.typing.NDArray[numpy.float32]:
        """
        Return what is left, so that round(n · rate_out / rate_in) outputs were made of n inputs. StateError when called twice.
        """
    def process(self, samples: typing.Any) -> numpy.typing.NDArray[numpy.float32]:
        """
        Take samples, shape (n,) float32, any n; return the outputs that they complete. ConfigError for another type or shape; StateError after flush, and from a second thread inside a running call.
        """
    def reset(self, offset: typing.SupportsInt | typing.SupportsIndex = 0) -> None:
        """
        Become equal to a new resampler whose output 0 lies `offset` later than input 0, in units of 1 / (rate_in · up) seconds.
        """
class ClipPooling:
    """
    Exact sums over the posterior frames of a clip; see streamsed.tagging.
    """
    def __init__(self, n_labels: typing.SupportsInt | typing.SupportsIndex, window_frames: typing.SupportsInt | typing.SupportsIndex = 0) -> None:
        """
        Of the newest window_frames, lost ones counted; 0 for all.
        """
    def add(self, posteriors: typing.Any, present: typing.Any = None) -> bool:
        """
        Take frames (T, K), of which those count that are present (T,). Return whether all that count are in [0, 1]; nothing changes if not.
        """
    def gap(self, frames: typing.SupportsInt | typing.SupportsIndex) -> None:
        """
        Go on after so many lost frames.
        """
    def reset(self) -> None:
        """
        Become equal to a new object.
        """
    @property
    def largest(self) -> list[int]:
        """
        Of each label, in steps of 2^-24.
        """
    @property
    def present_frames(self) -> int:
        """
        How many of those count.
        """
    @property
    def span_frames(self) -> int:
        """
        How many newest frames the sums are about, lost ones counted.
        """
    @property
    def squares(self) -> list[int]:
        """
        Sums of the squares of each label, in steps of 2^-48.
        """
    @property
    def sums(self) -> list[int]:
        """
        Of each label, in steps of 2^-24.
        """
def active_isa() -> str:
    """
    Name of the instruction set that new objects will use.
    """
def cuda_build() -> str:
    """
    What GPU kernels are in this build: none, emulated, or a CUDA version and architectures.
    """
def cuda_describe() -> str:
    """
    The GPU in use in words, or why there is none.
    """
def cuda_device_count() -> int:
    """
    How many GPUs can be used.
    """
def force_isa(name: str) -> None:
    """
    Restrict dispatch to one instruction set: auto, baseline, avx2, avx512 or neon.
    """
def fuse(posteriors: typing.Any, confidences: typing.Any, weights: typing.Any, out: typing.Any) -> numpy.typing.NDArray[numpy.float32]:
    """
    Fuse (M, T, K) with confidences (M, T) and weights (M,); see streamsed.postprocess.fuse.
    """
def median_filter(posteriors: typing.Any, widths: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], mode: str, cval: typing.SupportsFloat | typing.SupportsIndex) -> numpy.typing.NDArray[numpy.float32]:
    """
    Running median of (T, K) along time; see streamsed.postprocess.median_filter.
    """
def require_cuda() -> None:
    """
    Raise ConfigError naming `provider` unless there is a usable GPU.
    """
