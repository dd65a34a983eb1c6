#include "frontend/log_mel_lanes.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <utility>
#include <vector>

#include "base/errors.hpp"

namespace streamsed {
namespace {

// Number of the first sample that is NaN or infinite; -1: none.
std::int64_t first_not_finite(const float* samples, std::int64_t count) {
  constexpr std::int64_t kBlock = 256;
  for (std::int64_t at = 0; at < count; at += kBlock) {
    const std::int64_t end = std::min(at + kBlock, count);
    // All bits of an exponent set: Inf or NaN. Integers and no early exit, so that the loop becomes vectors.
    std::uint32_t found = 0;
    for (std::int64_t i = at; i < end; ++i) {
      const auto bits = std::bit_cast<std::uint32_t>(samples[i]);
      found |= static_cast<std::uint32_t>((bits & 0x7F800000U) == 0x7F800000U);
    }
    if (found == 0) continue;
    for (std::int64_t i = at; i < end; ++i) {
      if (!std::isfinite(samples[i])) return i;
    }
  }
  return -1;
}

class CpuLogMelLanes final : public LogMelLanes {
 public:
  CpuLogMelLanes(std::shared_ptr<const LogMel> log_mel, int lanes)
      : LogMelLanes(std::move(log_mel), lanes), scratch_(this->log_mel()) {
    states_.reserve(static_cast<std::size_t>(lanes));
    for (int lane = 0; lane < lanes; ++lane) states_.emplace_back(shared_log_mel());
  }

 private:
  LogMelState& state(int lane) { return states_[static_cast<std::size_t>(lane)]; }
  const FrameGrid& grid_of(int lane) const override { return states_[static_cast<std::size_t>(lane)].grid(); }

  void run(std::span<LaneChunk> chunks, Memory input, Memory output, std::uint64_t) override {
    require(input != Memory::device, "input", "host memory for the lanes of a CPU", "device memory");
    require(output != Memory::device, "output", "host memory for the lanes of a CPU", "device memory");
    for (LaneChunk& chunk : chunks) {
      chunk.bad = first_not_finite(chunk.in, chunk.count);
      if (chunk.bad < 0) state(chunk.lane).process(chunk.in, chunk.count, scratch_, chunk.out);
    }
  }

  std::int64_t skip_lane(int lane, std::int64_t missing) override { return state(lane).skip(missing); }
  void flush_lane(int lane) override { state(lane).flush(); }
  void reset_lane(int lane) override { state(lane).reset(); }

  std::vector<LogMelState> states_;
  LogMel::Scratch scratch_;
};

}  // namespace

LogMelLanes::LogMelLanes(std::shared_ptr<const LogMel> log_mel, int lanes)
    : log_mel_(std::move(log_mel)), numbers_(lanes) {}

const FrameGrid& LogMelLanes::grid(int lane) const {
  numbers_.require_lane(lane);
  return grid_of(lane);
}

void LogMelLanes::require_open(int lane) const {
  if (!grid(lane).flushed) return;
  throw StateError(detail::concat("LogMelLanes: lane ", lane, ": expected reset() after flush(), got another call"));
}

std::int64_t LogMelLanes::frames_after(int lane, std::int64_t n) const {
  require(n >= 0, "n", "samples of 0 or more", n);
  return grid(lane).frames_after(log_mel_->config(), n);
}

void LogMelLanes::process(std::span<LaneChunk> chunks, Memory input, Memory output, std::uint64_t producer_stream) {
  numbers_.require_each_once(chunks);
  for (const LaneChunk& chunk : chunks) require_open(chunk.lane);
  run(chunks, input, output, producer_stream);
}

std::int64_t LogMelLanes::skip(int lane, std::int64_t missing) {
  require_open(lane);
  return skip_lane(lane, missing);
}

void LogMelLanes::flush(int lane) {
  require_open(lane);
  flush_lane(lane);
}

void LogMelLanes::reset(int lane) {
  numbers_.require_lane(lane);
  reset_lane(lane);
}

std::unique_ptr<LogMelLanes> make_cpu_log_mel_lanes(std::shared_ptr<const LogMel> log_mel, int lanes) {
  return std::make_unique<CpuLogMelLanes>(std::move(log_mel), lanes);
}

}  // namespace streamsed
