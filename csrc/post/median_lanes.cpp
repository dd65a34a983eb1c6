#include "post/median_lanes.hpp"

#include <algorithm>
#include <cmath>
#include <deque>
#include <utility>

#include "base/errors.hpp"
#include "post/median_filter.hpp"

namespace streamsed {
namespace {

class CpuMedianLanes final : public MedianLanes {
 public:
  CpuMedianLanes(std::vector<int> widths, EdgeMode mode, float cval, int lanes)
      : MedianLanes(widths, mode, cval, lanes), kernels_(post_kernels(active_isa())) {
    for (int lane = 0; lane < lanes; ++lane) filters_.emplace_back(widths, mode, cval);
  }

 private:
  OnlineMedianFilter& filter(int lane) { return filters_[static_cast<std::size_t>(lane)]; }

  void run(std::span<LaneChunk> chunks, Memory input, Memory output, std::uint64_t) override {
    require(input != Memory::device, "posteriors", "host memory for the lanes of a CPU", "device memory");
    require_host(output);
    for (LaneChunk& chunk : chunks) {
      chunk.bad = first_nan(kernels_, chunk.in, chunk.count * classes());
      if (chunk.bad < 0) filter(chunk.lane).process(chunk.in, chunk.count, chunk.out);
    }
  }

  void finish(std::span<LaneChunk> chunks, Memory output) override {
    require_host(output);
    for (const LaneChunk& chunk : chunks) filter(chunk.lane).flush(chunk.out);
  }

  void begin(int lane) override { filter(lane).reset(); }

  static void require_host(Memory output) {
    require(output != Memory::device, "out", "host memory for the lanes of a CPU", "device memory");
  }

  const PostKernels& kernels_;
  std::deque<OnlineMedianFilter> filters_;
};

}  // namespace

MedianLanes::MedianLanes(std::vector<int> widths, EdgeMode mode, float cval, int lanes)
    : widths_(checked_widths(std::move(widths))), mode_(mode), cval_(cval), numbers_(lanes) {
  require(!std::isnan(cval), "cval", "a number", cval);
  for (const int width : widths_) reach_ = std::max<std::int64_t>(reach_, width / 2);
  clocks_.resize(static_cast<std::size_t>(lanes));
}

const MedianLanes::Clock& MedianLanes::clock(int lane) const {
  numbers_.require_lane(lane);
  return clocks_[static_cast<std::size_t>(lane)];
}

std::int64_t MedianLanes::rows_after(int lane, std::int64_t rows) const {
  const Clock& at = clock(lane);
  if (at.flushed) return 0;
  return std::max<std::int64_t>(0, at.taken + rows - reach_) - std::max<std::int64_t>(0, at.taken - reach_);
}

std::int64_t MedianLanes::rows_after_flush(int lane) const {
  const Clock& at = clock(lane);
  return at.flushed ? 0 : std::min(at.taken, reach_);
}

void MedianLanes::check(std::span<const LaneChunk> chunks) {
  numbers_.require_each_once(chunks);
  for (const LaneChunk& chunk : chunks) {
    if (!clock(chunk.lane).flushed) continue;
    throw StateError(
        detail::concat("MedianLanes: lane ", chunk.lane, ": expected reset() after flush(), got another call"));
  }
}

void MedianLanes::process(std::span<LaneChunk> chunks, Memory input, Memory output, std::uint64_t producer_stream) {
  check(chunks);
  run(chunks, input, output, producer_stream);
  for (const LaneChunk& chunk : chunks) {
    if (chunk.bad < 0) clocks_[static_cast<std::size_t>(chunk.lane)].taken += chunk.count;
  }
}

void MedianLanes::flush(std::span<LaneChunk> chunks, Memory output) {
  check(chunks);
  finish(chunks, output);
  for (const LaneChunk& chunk : chunks) clocks_[static_cast<std::size_t>(chunk.lane)].flushed = true;
}

void MedianLanes::reset(std::span<const int> lanes) {
  for (const int lane : lanes) numbers_.require_lane(lane);
  for (const int lane : lanes) {
    begin(lane);
    clocks_[static_cast<std::size_t>(lane)] = {};
  }
}

std::unique_ptr<MedianLanes> make_cpu_median_lanes(std::vector<int> widths, EdgeMode mode, float cval, int lanes) {
  return std::make_unique<CpuMedianLanes>(std::move(widths), mode, cval, lanes);
}

}  // namespace streamsed
