#pragma once

#include <algorithm>
#include <cstdint>

#include "base/errors.hpp"
#include "frontend/log_mel_config.hpp"

namespace streamsed {

// Where a stream is on its grid of frames; of its samples it only counts those that are kept.
// Invariant: frame `next_frame` begins at position - pending + to_skip, and pending = 0 or to_skip = 0.
struct FrameGrid {
  std::int64_t position = 0;    // samples taken in, lost ones counted
  std::int64_t next_frame = 0;  // number of the next frame
  std::int64_t pending = 0;     // samples from the start of the next frame on, fewer than a window between calls
  std::int64_t to_skip = 0;     // samples to drop before the next frame begins (hop > window, or after a gap)
  bool flushed = false;

  void require_open() const {
    if (flushed) throw StateError("OnlineLogMel: expected reset() after flush(), got another call");
  }

  // Frames that `n` further samples complete.
  std::int64_t frames_after(const LogMelConfig& config, std::int64_t n) const {
    return config.frame_count(pending + n - std::min(to_skip, n));
  }

  // Takes `n` samples in; returns how many frames they complete.
  std::int64_t advance(const LogMelConfig& config, std::int64_t n) {
    const std::int64_t count = frames_after(config, n);
    const std::int64_t skipped = std::min(to_skip, n);
    const std::int64_t ahead = pending + n - skipped - count * config.hop_length;
    pending = std::max<std::int64_t>(ahead, 0);
    to_skip = to_skip - skipped + std::max<std::int64_t>(-ahead, 0);
    position += n;
    next_frame += count;
    return count;
  }

  // The next sample is the one `missing` samples behind the last one, and unfinished frames do not exist. Returns how
  // many frames are skipped.
  std::int64_t skip(const LogMelConfig& config, std::int64_t missing) {
    require(missing >= 0, "missing", "samples of 0 or more", missing);
    if (missing == 0) return 0;
    position += missing;
    const std::int64_t hop = config.hop_length;
    const std::int64_t next = (position + hop - 1) / hop;
    const std::int64_t frame = std::max(next, next_frame);
    const std::int64_t lost = frame - next_frame;
    next_frame = frame;
    to_skip = frame * hop - position;
    pending = 0;
    return lost;
  }
};

}  // namespace streamsed
