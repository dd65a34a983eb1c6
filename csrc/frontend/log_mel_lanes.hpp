#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "base/busy.hpp"
#include "base/lane_chunk.hpp"
#include "base/lane_numbers.hpp"
#include "frontend/frame_grid.hpp"
#include "frontend/log_mel.hpp"

namespace streamsed {

// Many streams of one front-end, called together: lane l gives what an OnlineLogMel of its own would give. One owner.
class LogMelLanes {
 public:
  virtual ~LogMelLanes() = default;
  LogMelLanes(const LogMelLanes&) = delete;
  LogMelLanes& operator=(const LogMelLanes&) = delete;

  const LogMel& log_mel() const { return *log_mel_; }
  int lanes() const { return numbers_.count(); }

  // Frames that `n` further samples of a lane complete.
  std::int64_t frames_after(int lane, std::int64_t n) const;

  // Every chunk is of another lane and of any length, and its `out` has frames_after(lane, count) * n_mels values;
  // lanes without a chunk stay as they are. A chunk with a sample that is not finite gets that sample's number in
  // `bad`: its lane is then as it was before the call, what its `out` holds means nothing, and the other lanes go on.
  //
  // `input` and `output` say where the pointers of all chunks lead; the CPU's lanes know Memory::host and
  // Memory::pinned. Samples in device memory must be complete on `producer_stream` (a CUDA stream handle, 0: the
  // default stream). The results are complete when the call returns. Throws ConfigError naming the parameter, or
  // StateError for a lane that was flushed, before anything is changed.
  void process(std::span<LaneChunk> chunks, Memory input, Memory output, std::uint64_t producer_stream = 0);

  // As those of OnlineLogMel, for one lane.
  std::int64_t skip(int lane, std::int64_t missing);
  void flush(int lane);
  void reset(int lane);
  std::int64_t position_samples(int lane) const { return grid(lane).position; }
  std::int64_t position_frames(int lane) const { return grid(lane).next_frame; }
  int latency_samples() const { return log_mel_->config().window_length - 1; }

  BusyFlag& busy() { return busy_; }

 protected:
  LogMelLanes(std::shared_ptr<const LogMel> log_mel, int lanes);

  const std::shared_ptr<const LogMel>& shared_log_mel() const { return log_mel_; }

 private:
  virtual const FrameGrid& grid_of(int lane) const = 0;
  // The chunks have passed the checks of process().
  virtual void run(std::span<LaneChunk> chunks, Memory input, Memory output, std::uint64_t producer_stream) = 0;
  virtual std::int64_t skip_lane(int lane, std::int64_t missing) = 0;
  virtual void flush_lane(int lane) = 0;
  virtual void reset_lane(int lane) = 0;

  void require_open(int lane) const;
  const FrameGrid& grid(int lane) const;

  std::shared_ptr<const LogMel> log_mel_;
  LaneNumbers numbers_;
  BusyFlag busy_;
};

// On the calling thread, the same bits as OnlineLogMel.
std::unique_ptr<LogMelLanes> make_cpu_log_mel_lanes(std::shared_ptr<const LogMel> log_mel, int lanes);

}  // namespace streamsed
