#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/busy.hpp"
#include "base/lane_chunk.hpp"
#include "base/lane_numbers.hpp"
#include "post/edge_mode.hpp"

namespace streamsed {

// Running medians of many streams with the same widths, called together: lane l gives what an OnlineMedianFilter of its
// own would give, bit by bit. One owner.
class MedianLanes {
 public:
  virtual ~MedianLanes() = default;
  MedianLanes(const MedianLanes&) = delete;
  MedianLanes& operator=(const MedianLanes&) = delete;

  int lanes() const { return numbers_.count(); }
  int classes() const { return static_cast<int>(widths_.size()); }
  const std::vector<int>& widths() const { return widths_; }
  std::int64_t latency_frames() const { return reach_; }

  // Rows that a chunk and flush() will write for a lane.
  std::int64_t rows_after(int lane, std::int64_t rows) const;
  std::int64_t rows_after_flush(int lane) const;

  // Every chunk is of another lane: `count` rows of `classes` values in, rows_after(lane, count) rows out. A chunk with
  // a NaN gets its index in `bad`. `input` and `output` say where the pointers lead, and device memory must be complete
  // on `producer_stream` (a CUDA stream handle, 0: the default stream). The results are complete when the call returns.
  // Throws ConfigError or, for a lane that was flushed, StateError, before anything is changed.
  void process(std::span<LaneChunk> chunks, Memory input, Memory output, std::uint64_t producer_stream = 0);
  // The last rows of the lanes that the chunks name, without input; afterwards they can only be reset.
  void flush(std::span<LaneChunk> chunks, Memory output);
  void reset(std::span<const int> lanes);

  BusyFlag& busy() { return busy_; }

 protected:
  MedianLanes(std::vector<int> widths, EdgeMode mode, float cval, int lanes);

  EdgeMode mode() const { return mode_; }
  float cval() const { return cval_; }
  std::int64_t taken(int lane) const { return clocks_[static_cast<std::size_t>(lane)].taken; }

 private:
  struct Clock {
    std::int64_t taken = 0;  // rows
    bool flushed = false;
  };

  // The chunks have passed the checks; the clocks go on afterwards.
  virtual void run(std::span<LaneChunk> chunks, Memory input, Memory output, std::uint64_t producer_stream) = 0;
  virtual void finish(std::span<LaneChunk> chunks, Memory output) = 0;
  virtual void begin(int lane) = 0;

  const Clock& clock(int lane) const;
  void check(std::span<const LaneChunk> chunks);

  std::vector<int> widths_;
  EdgeMode mode_;
  float cval_;
  std::int64_t reach_ = 0;  // half of the widest window
  LaneNumbers numbers_;
  std::vector<Clock> clocks_;
  BusyFlag busy_;
};

// On the calling thread.
std::unique_ptr<MedianLanes> make_cpu_median_lanes(std::vector<int> widths, EdgeMode mode, float cval, int lanes);

}  // namespace streamsed
