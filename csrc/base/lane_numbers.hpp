#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/errors.hpp"
#include "base/lane_chunk.hpp"

namespace streamsed {

inline constexpr int kMostLanes = 1 << 20;

// The numbers of the lanes that an object has, and the checks of those that a call names.
class LaneNumbers {
 public:
  explicit LaneNumbers(int lanes) {
    require(lanes >= 1 && lanes <= kMostLanes, "lanes", "a number in [1, 1048576]", lanes);
    named_.assign(static_cast<std::size_t>(lanes), 0);
  }

  int count() const { return static_cast<int>(named_.size()); }

  void require_lane(int lane) const {
    if (lane >= 0 && lane < count()) return;
    throw ConfigError(detail::concat("lanes: expected numbers in [0, ", count(), "), got ", lane));
  }

  // Every chunk is of an existing lane and of another one, and no count is negative.
  void require_each_once(std::span<const LaneChunk> chunks) {
    for (const LaneChunk& chunk : chunks) {
      require_lane(chunk.lane);
      require(chunk.count >= 0, "count", "0 or more", chunk.count);
    }
    int twice = -1;
    for (const LaneChunk& chunk : chunks) {
      unsigned char& named = named_[static_cast<std::size_t>(chunk.lane)];
      if (named != 0) twice = chunk.lane;
      named = 1;
    }
    for (const LaneChunk& chunk : chunks) named_[static_cast<std::size_t>(chunk.lane)] = 0;
    require(twice < 0, "lanes", "each lane once", detail::concat("lane ", twice, " twice"));
  }

 private:
  std::vector<unsigned char> named_;  // all 0 between calls
};

}  // namespace streamsed
